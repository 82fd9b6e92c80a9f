"""One launcher per data folder, and a note of its children for the one that comes after a crash."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from webapp.core.processes import is_same, wait_gone
from workers.launcher.errors import LauncherError

if TYPE_CHECKING:
    from pathlib import Path

_END_SECONDS = 3.0


@dataclass(frozen=True)
class Recorded:
    """A child as the note names it: leader of its process group, told from a later namesake by its start."""

    name: str
    pid: int
    started: float


class RunFile:
    """``<data_dir>/run/launcher.lock`` (held while a launcher lives) and ``launcher.json`` beside it."""

    def __init__(self, data_dir: Path) -> None:
        self._lock_path = data_dir / "run" / "launcher.lock"
        self._note = data_dir / "run" / "launcher.json"
        self._data_dir = data_dir
        self._lock: int | None = None

    def acquire(self) -> None:
        """Become the only launcher of this data folder. The system frees the lock however this process ends.

        Raises:
            LauncherError: ``up.already_running``, ``data.not_writable``.
        """
        try:
            self._lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise LauncherError(
                "data.not_writable",
                f"The data folder {self._data_dir} cannot be written to by this user. "
                "Give this user write access to it, or name another folder with NOCTURNE_DATA.",
            ) from problem
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note = self._read()
            os.close(self._lock)
            self._lock = None
            where = f", {note['url']}" if note.get("url") else ""
            raise LauncherError(
                "up.already_running",
                f"Nocturne already runs on this data folder (process {note.get('pid', 'unknown')}{where}). "
                "Stop it first, or name another folder with NOCTURNE_DATA.",
            ) from None

    def write(self, *, url: str, children: list[Recorded]) -> None:
        """Note what runs now; replaced in one step, so that a reader never sees half of it."""
        fresh = self._note.with_suffix(".new")
        fresh.write_text(
            json.dumps({"pid": os.getpid(), "url": url, "children": [asdict(each) for each in children]})
        )
        fresh.replace(self._note)

    def end_leftovers(self) -> list[str]:
        """End the children of a launcher that was killed; returns their names. Only under the lock."""
        leftovers = [
            Recorded(**each)
            for each in self._read().get("children", [])
            if is_same(each["pid"], each["started"])
        ]
        for each in leftovers:
            os.kill(each.pid, signal.SIGTERM)
        for each in leftovers:
            if not wait_gone(each.pid, _END_SECONDS):
                os.killpg(each.pid, signal.SIGKILL)
                wait_gone(each.pid, _END_SECONDS)
        return [each.name for each in leftovers]

    def release(self) -> None:
        """Let another launcher have the data folder."""
        if self._lock is not None:
            self._note.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _read(self) -> dict[str, Any]:
        try:
            note: Any = json.loads(self._note.read_text())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}
