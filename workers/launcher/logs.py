"""Children's output: all of it in a file each, only what needs a person on the terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT_BYTES = 5_000_000
_BURST = 5
_BURST_SECONDS = 10.0
_LINE_LIMIT = 300
# Django's lines ("2026-.. WARNING name: text") and Celery's ("[2026-..: WARNING/MainProcess] text").
_PATTERNS = (
    re.compile(r"^\d{4}-\d\d-\d\d \S+ (?P<level>WARNING|ERROR|CRITICAL) (?P<text>.*)"),
    re.compile(r"^\[\d{4}-[^\]]*: (?P<level>WARNING|ERROR|CRITICAL)/\S+\] (?P<text>.*)"),
)


class ChildLog:
    """``<folder>/<name>.log``, at most 5 MB and one older file of the same size.

    Args:
        say: takes one line for the terminal; a child that says too much is cut there, never in its file.
    """

    def __init__(self, folder: Path, name: str, say: Callable[[str], None]) -> None:
        self.path = folder / f"{name}.log"
        self.last_line = ""
        self._name = name
        self._say = say
        self._rest = b""
        self._lost = False
        self._handle = self.path.open("ab")
        self._shown: list[float] = []

    def feed(self, data: bytes) -> None:
        """Take bytes as they come from the child; lines may be cut anywhere."""
        self._write(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-64_000:]
        for raw in lines:
            line = raw.decode(errors="replace").rstrip()
            if line:
                self.last_line = line[:_LINE_LIMIT]
                self._show(line)

    def _write(self, data: bytes) -> None:
        """Into the file; a disk that is full costs lines of a log and nothing else."""
        try:
            if self._handle.tell() > _LIMIT_BYTES:
                self._rotate()
            self._handle.write(data)
            self._handle.flush()
        except (OSError, ValueError) as error:
            if not self._lost:
                self._say(f"{self._name:<7} its log cannot be written ({error}); lines are lost")
            self._lost = True
        else:
            self._lost = False

    def note(self, text: str) -> None:
        """A line of the launcher's own in the child's file."""
        self.feed(f"{time.strftime('%Y-%m-%d %H:%M:%S')} INFO launcher: {text}\n".encode())

    def close(self) -> None:
        """Nothing more will come."""
        with suppress(OSError):
            self._handle.close()

    def _rotate(self) -> None:
        self._handle.close()
        self.path.replace(self.path.with_suffix(".log.1"))
        self._handle = self.path.open("ab")

    def _show(self, line: str) -> None:
        match = next(filter(None, (pattern.match(line) for pattern in _PATTERNS)), None)
        if match is None:
            return
        now = time.monotonic()
        self._shown = [moment for moment in self._shown if now - moment < _BURST_SECONDS]
        if len(self._shown) > _BURST:
            return
        self._shown.append(now)
        text = f"{match['level']} {match['text']}"[:_LINE_LIMIT]
        self._say(f"{self._name:<7} {text if len(self._shown) <= _BURST else f'says more in {self.path}'}")
