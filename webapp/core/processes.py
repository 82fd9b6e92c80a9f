"""Telling processes apart by more than a number that the system may have given away again."""

from __future__ import annotations

import functools
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

_START_SLACK_S = 1.0


@functools.cache
def machine() -> str:
    """Where a process id means something: this host since it started, and the pid namespace in it.

    Two machines, or two containers, may bear one name and share a folder.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(parts)[:120]


def started_at(pid: int) -> float | None:
    """When the process began, in seconds since 1970; None when there is none (or only its zombie)."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def is_same(pid: int, started: float) -> bool:
    """Whether ``pid`` still is the process that began at ``started``."""
    now = started_at(pid)
    return now is not None and abs(now - started) < _START_SLACK_S


def working_in(folder: Path, *, name: str) -> list[int]:
    """The pids of the processes called ``name`` whose working directory is ``folder``."""
    found: list[int] = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == name and works_in(process.pid, folder, name=name):
            found.append(process.pid)
    return found


def works_in(pid: int, folder: Path, *, name: str) -> bool:
    """Whether ``pid`` lives, is called ``name`` and works in ``folder`` (if that is hidden, by name only)."""
    try:
        process = psutil.Process(pid)
        if process.name() != name or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return Path(process.cwd()) == folder
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def wait_gone(pid: int, timeout: float) -> bool:
    """Wait until the process, a child or not, has ended; False when ``timeout`` seconds were not enough."""
    deadline = time.monotonic() + timeout
    while started_at(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
