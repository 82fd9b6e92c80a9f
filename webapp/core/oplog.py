"""What each process did and when, for tests that judge afterwards: one file of JSON lines a process.

NOCTURNE_OPLOG=folder turns it on; without it nothing happens. A line is one write, so one that was written
survives the kill that comes right after. No Django here: the trainer uses it too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "NOCTURNE_OPLOG"


class OpLog:
    """Appends to a file of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._pid = os.getpid()
        path = folder / f"{time.time_ns()}-{self._pid}.jsonl"
        # Opened now: a trainer may lose the right to open files before it has something to say.
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self("began", argv=sys.argv)

    def __call__(self, what: str, **facts: Any) -> None:
        """One line: what happened, with its facts, this process and both clocks (seconds)."""
        line = {"what": what, "pid": self._pid, "monotonic": time.monotonic(), "wall": time.time()}
        os.write(self._descriptor, (json.dumps(line | facts, default=str) + "\n").encode())


def _inert(what: str, **facts: Any) -> None:
    """Nothing."""


def from_environment(environment: Mapping[str, str]) -> Callable[..., None]:
    """What `note` is in this environment."""
    folder = environment.get(VARIABLE)
    return OpLog(Path(folder)) if folder else _inert


note: Final = from_environment(os.environ)
