"""The trainer: one cycle in a process of its own, started by exec with a clean environment.

It knows no database and no broker. It reads job.json, runs the engine, tells what happens as JSON lines on a
pipe, and leaves its result in a folder that appears whole or not at all. It ends when its parent does.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from consolidation.errors import NocturneInputError, Stopped
from webapp.core.oplog import note
from workers.confine import confine_trainer, python_folders
from workers.job import BAD_INPUT, FAULT, OK, STOPPED, Job
from workers.telling import Teller

_PR_SET_PDEATHSIG = 1
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
# What PyTorch and the system's libraries look at.
_SYSTEM = [
    Path(entry)
    for entry in (
        "/proc", "/sys", "/usr/share", "/usr/local/lib", "/dev/urandom", "/dev/null",
        "/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/etc/os-release",
    )
]  # fmt: skip
_BUG = (
    "Something in Nocturne itself went wrong while it worked on this model; your data is fine. "
    "Try again; if it happens once more, report it with this code."
)
_MEMORY = (
    "The computer ran out of memory while it worked on this model. Nothing was changed. "
    "Use a smaller batch, close other programs, or use a worker with more memory."
)
_DISK = (
    "The disk of the worker is full, so the cycle could not go on. Nothing was changed. "
    "Free some space there, then try again."
)
_IO = "The worker could not read or write its disk. Nothing was changed; the cycle is tried again."


def main(argv: list[str] | None = None) -> int:
    """Run one job; the exit code is one of workers.job's."""
    parser = argparse.ArgumentParser(prog="trainer")
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--events-fd", type=int, required=True)
    arguments = parser.parse_args(argv)
    stop = _stop_on_sigterm()
    teller = Teller(arguments.events_fd)
    try:
        job = Job.load(arguments.job)
        note("trainer", cycle=job.cycle, epoch=job.epoch, parent=os.getppid())
        # Walls first: they must stand before any thread does, and the kernel forgets a parent-death signal
        # when a process gives up rights.
        walls = confine_trainer(
            read=[*python_folders(), *_SYSTEM, *job.inputs()],
            write=arguments.job.parent,
            file_bytes=job.file_bytes,
            memory_bytes=job.memory_bytes,
            device=job.device,
        )
        print("Walls of this process:", ", ".join(walls), flush=True)  # to the log
        _end_with_parent()
        if stop.is_set():
            raise Stopped("stop")
        # Only now: importing torch takes most of the start-up.
        from workers.training import train

        teller.tell({"kind": "result", **train(job, teller, lambda: "stop" if stop.is_set() else None)})
    except Stopped as stopped:
        teller.tell({"kind": "stopped", "reason": stopped.reason})
        return STOPPED
    except NocturneInputError as error:
        blame = "resource" if error.code == "cycle.out_of_memory" else "user"
        teller.tell(_error(error.code, error.message, blame))
        return BAD_INPUT
    except BaseException as error:
        traceback.print_exc()
        teller.tell(_classified(error))
        return FAULT
    return OK


def _error(code: str, message: str, blame: str) -> dict[str, Any]:
    return {"kind": "error", "code": code, "message": message, "class": blame}


def _classified(error: BaseException) -> dict[str, Any]:
    """Whose fault it is; the traceback stays in the log."""
    text = str(error)
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator: can't allocate memory" in text
        or "CUDA out of memory" in text
    ):
        return _error("cycle.out_of_memory", _MEMORY, "resource")
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return _error("cycle.disk_full", _DISK, "room")
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return _error("cycle.disk_error", _IO, "infra")
    return _error("cycle.bug", _BUG, "bug")


def _stop_on_sigterm() -> threading.Event:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C at a terminal goes to everybody; whether to stop is the supervisor's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stop


def _end_with_parent() -> None:
    """Two ways, for platforms and races: the kernel's parent-death signal, and the end of our stdin."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch_stdin, daemon=True).start()


def _watch_stdin() -> None:
    while os.read(0, 4096):
        pass
    # The supervisor is gone, so nobody would take the result and another worker will go on from the snapshot.
    os._exit(FAULT)


if __name__ == "__main__":
    sys.exit(main())
