"""The supervisor's end of the pipe: always read, whatever the database does: the engine never waits."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

# Lines kept in memory; while the database is away the rest goes to disk.
IN_MEMORY: Final = 5_000
LONGEST_LINE: Final = 4 * 2**20
_FINAL: Final = frozenset({"result", "error", "stopped"})


class EventPipe(threading.Thread):
    """Reads JSON lines until the trainer closes its end.

    Attributes:
        ready: what the trainer said of itself when it was about to begin.
        final: its last word: a result, an error or a stop.
        heard_at: `time.monotonic()` of the last bytes.

    Args:
        descriptor: the read end; closed here.
        spool: a file for what does not fit into memory.
    """

    def __init__(self, descriptor: int, spool: Path) -> None:
        super().__init__(name="events", daemon=True)
        self.ready: dict[str, Any] | None = None
        self.heard_at = time.monotonic()
        self.final: dict[str, Any] | None = None
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._spool = spool
        self._spooled = 0
        self._spool_read_at = 0
        self._news = threading.Condition()
        self._ended = False

    def run(self) -> None:
        """Read to the end."""
        rest = b""
        try:
            while chunk := os.read(self._descriptor, 1 << 16):
                self.heard_at = time.monotonic()
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    rest = b""
                with self._news:
                    for line in lines:
                        self._keep(line)
                    self._news.notify_all()
        finally:
            os.close(self._descriptor)
            with self._news:
                self._ended = True
                self._news.notify_all()

    def wait(self, timeout: float) -> None:
        """Return when there is something to take, when the pipe has ended, or after `timeout`."""
        with self._news:
            if not self._lines and not self._spooled and not self._ended:
                self._news.wait(timeout)

    @property
    def ended(self) -> bool:
        """The trainer closed the pipe and everything was taken."""
        with self._news:
            return self._ended and not self._lines and not self._spooled

    def take(self, limit: int = 500) -> list[dict[str, Any]]:
        """Up to `limit` events in order. `ready` and the final word are kept here and not handed on."""
        with self._news:
            if not self._lines and self._spooled:
                self._unspool()
            lines = [self._lines.popleft() for _ in range(min(limit, len(self._lines)))]
        events = []
        for line in lines:
            event = _parsed(line)
            if event is None:
                continue
            if event["kind"] == "ready":
                self.ready = event
            elif event["kind"] in _FINAL:
                self.final = event
            else:
                events.append(event)
        return events

    def _keep(self, line: bytes) -> None:
        if self._spooled or len(self._lines) >= IN_MEMORY:
            with self._spool.open("ab") as file:
                file.write(line + b"\n")
            self._spooled += 1
        else:
            self._lines.append(line)

    def _unspool(self) -> None:
        with self._spool.open("rb") as file:
            file.seek(self._spool_read_at)
            for _ in range(min(IN_MEMORY, self._spooled)):
                self._lines.append(file.readline().rstrip(b"\n"))
                self._spooled -= 1
            self._spool_read_at = file.tell()
        if not self._spooled:
            self._spool.unlink()
            self._spool_read_at = 0


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The event, or None for what is not one (a library that printed to our descriptor)."""
    try:
        event = json.loads(line, parse_constant=lambda _name: None)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
