"""The way back, offered in the toast that tells what was done: one click sends what restores it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from django.contrib import messages

if TYPE_CHECKING:
    from django.http import HttpRequest


# Pages that list more than one thing; whoever presses a button there stays there.
LISTS: Final = frozenset({"storage", "trash"})


def pressed_on(request: HttpRequest) -> dict[str, str]:
    """{"back": the list on which the button was pressed}, so that its undo leads there too; else {}."""
    back = request.POST.get("back", "")
    return {"back": back} if back in LISTS else {}


def done(request: HttpRequest, words: str, *, undo: str, **fields: str) -> None:
    """Tell what was done; `undo` is the address that the button "Undo" posts `fields` to.

    The offer travels with the message, which Django signs, and the address decides for itself whether the
    person may.
    """
    messages.success(request, words, extra_tags=json.dumps({"url": undo, "fields": fields}))


def offer(extra_tags: str | None) -> dict[str, object] | None:
    """What `done` put beside a message, for the template; None beside any other message."""
    if not extra_tags or not extra_tags.startswith("{"):
        return None
    found: dict[str, object] = json.loads(extra_tags)
    return found
