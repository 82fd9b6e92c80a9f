"""The one error family: what happened, what it means, what to do, and a code that never changes."""

from __future__ import annotations

from typing import Any


class NocturneError(Exception):
    """An error whose message is written for the person who reads it.

    Args:
        code: stable, `area.word`, for support and tests.
        message: one sentence or two; never a path, a traceback or a library's text.
        status: the HTTP status it becomes.
        detail: JSON-able facts behind the sentence (numbers, names), for programs.
    """

    status = 400

    def __init__(self, code: str, message: str, *, status: int | None = None, **detail: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail
        if status is not None:
            self.status = status

    def to_json(self) -> dict[str, Any]:
        """The one JSON shape of an error."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail:
            body["detail"] = self.detail
        return body


class InvalidInput(NocturneError):
    """Content that cannot be accepted (422)."""

    status = 422


class Conflict(NocturneError):
    """The request was fine, but the state of things does not allow it (409)."""

    status = 409


class Forbidden(NocturneError):
    """A member of the workspace whose role is too small (403)."""

    status = 403

    def __init__(self, message: str) -> None:
        super().__init__("role.missing", message)


class NotFound(NocturneError):
    """Nothing there, or somebody else's: the same answer (404)."""

    status = 404

    def __init__(self, message: str = "There is nothing here, or it belongs to another workspace.") -> None:
        super().__init__("not_found", message)


def wants_json(path: str, accept: str) -> bool:
    """Whether an error is told to a program: every address under /api/, or whoever asks for JSON."""
    return path.startswith("/api/") or "application/json" in accept


def cut(text: object, limit: int = 80) -> str:
    """Foreign text as it may appear inside our sentences: one line, printable, at most `limit` characters."""
    line = "".join(c if c.isprintable() else "?" for c in str(text))
    return line if len(line) <= limit else line[: limit - 1] + "…"
