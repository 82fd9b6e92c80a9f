"""The two exceptions that cross the engine's border."""

from __future__ import annotations

from functools import partial
from typing import Any


def shorten(text: object, limit: int = 80) -> str:
    """`text` fit for a sentence: control characters replaced, cut to `limit` characters."""
    printable = "".join(c if c.isprintable() else "?" for c in str(text))
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"


class NocturneInputError(ValueError):
    """The input (a file, a recipe, a set of records) is at fault, not the program.

    Args:
        code: stable machine-readable code, `area.word`.
        message: one sentence for a person: what happened, what it means, what to do.
        **detail: JSON-able facts (numbers, names) for support; never a server path.
    """

    def __init__(self, code: str, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        """Whole through a process pool; an exception's own way calls the class with the message alone."""
        return partial(NocturneInputError, **self.detail), (self.code, self.message)

    def to_json(self) -> dict[str, Any]:
        """`{"code", "message"}` and, when there is any, `"detail"`."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail:
            body["detail"] = self.detail
        return body


class Stopped(Exception):
    """`stop()` returned a reason. When a workdir was given, the snapshot is durable before this is raised."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
