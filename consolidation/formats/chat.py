"""Messages of a chat as a prompt and its completion, by one plain template that is the same for every model.

The chat template that a model came with is code, and never run. Ours writes each message as "User: ...",
"Assistant: ..." or "System: ...", a blank line after it; the prompt ends with "Assistant:", and what the
assistant says last is the completion. Messages behind it are left out.
"""

from __future__ import annotations

from typing import Any, Final

from consolidation.errors import shorten
from consolidation.formats.refusal import refuse

ROLES: Final = {"system": "System", "user": "User", "assistant": "Assistant"}
MOST: Final = 1000  # messages of a chat


def prompt_and_completion(messages: Any, column: str) -> tuple[str, str]:
    """What was said before the assistant's last message, and that message.

    Args:
        messages: [{"role": "user", "content": "..."}, ...] as it came.
        column: where it stands, for sentences.

    Raises:
        NocturneInputError: `replay.schema`; the message completes "Line 7: ...".
    """
    if not isinstance(messages, list) or not 0 < len(messages) <= MOST:
        raise refuse("replay.schema", f'its "{column}" is no list of 1 to {MOST:,} messages')
    said: list[tuple[str, str]] = []
    for number, message in enumerate(messages, 1):
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(role, str) or not isinstance(content, str):
            raise refuse("replay.schema", f'message {number:,} of its "{column}" has no "role" and "content"')
        if role not in ROLES:
            raise refuse(
                "replay.schema",
                f'message {number:,} of its "{column}" is by “{shorten(role, 40)}”; known are '
                f"{', '.join(ROLES)}",
            )
        said.append((role, content.strip()))
    last = max((at for at, (role, _) in enumerate(said) if role == "assistant"), default=-1)
    if last < 0 or not said[last][1]:
        raise refuse("replay.schema", f'in its "{column}" the assistant says nothing, so nothing is learned')
    before = "".join(f"{ROLES[role]}: {content}\n\n" for role, content in said[:last])
    return f"{before}{ROLES['assistant']}:", f" {said[last][1]}"
