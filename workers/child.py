"""The trainer as the supervisor sees it: a process group that is started, watched, paused and ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from webapp.core import faults, oplog
from webapp.core.processes import is_same, machine, started_at
from workers.job import JOB_FILE, LOG_FILE

if TYPE_CHECKING:
    from workers.devices import Device

PROCESS_FILE: Final = "trainer.json"
_ROOT: Final = Path(__file__).resolve().parent.parent
# What a trainer may know of its surroundings; nothing of the database, the broker or any secret.
_PASSED_ON: Final = (
    "PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
    *faults.VARIABLES, oplog.VARIABLE,
)  # fmt: skip


class Trainer:
    """A started trainer; `events` is the read end of its pipe, to be closed by whoever reads it."""

    def __init__(self, process: subprocess.Popen[bytes], events: int, folder: Path) -> None:
        self._process = process
        self._record = folder / PROCESS_FILE
        self._paused = False
        self.events = events

    @classmethod
    def start(cls, folder: Path, *, device: Device, threads: int) -> Trainer:
        """Start the trainer on `folder`/job.json. Raises OSError when the system refuses."""
        reading, writing = os.pipe()
        command = [
            sys.executable, "-P", "-m", "workers.trainer",
            "--job", str(folder / JOB_FILE), "--events-fd", str(writing),
        ]  # fmt: skip
        try:
            with (folder / LOG_FILE).open("ab") as log:
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=_environment(folder, device, threads),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                    start_new_session=True,
                )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        trainer = cls(process, reading, folder)
        body = {
            "host": machine(),
            "pid": process.pid,
            "started": started_at(process.pid),
            "supervisor": os.getpid(),
            "supervisor_started": started_at(os.getpid()),
        }
        trainer._record.write_text(json.dumps(body))
        return trainer

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code (a signal as its negative number), or None while it runs."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to write a snapshot and stop; one that is paused is woken to hear it."""
        self.resume()
        self._signal(signal.SIGTERM)

    @property
    def paused(self) -> bool:
        """We stopped it ourselves."""
        return self._paused

    @property
    def frozen(self) -> bool:
        """Somebody stopped it (a debugger, SIGSTOP), and it was not us."""
        if self._paused:
            return False
        with contextlib.suppress(psutil.Error):
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        return False

    def pause(self) -> None:
        """Freeze the whole group; it keeps its memory and does nothing."""
        if not self._paused:
            self._paused = True
            self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._signal_group(signal.SIGCONT)

    def kill(self) -> None:
        """End the whole group now."""
        self._signal_group(signal.SIGKILL)

    def close(self) -> int:
        """Make sure that it has ended, free what it held, and give its exit code."""
        if self.poll() is None:
            self.kill()
        code = self._process.wait()
        # Helpers that it left behind are in its group.
        self._signal_group(signal.SIGKILL)
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._record.unlink(missing_ok=True)
        return code

    def _signal(self, number: int) -> None:
        if self.poll() is None:
            self._process.send_signal(number)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _environment(folder: Path, device: Device, threads: int) -> dict[str, str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(_ROOT),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",  # nothing asks the hub; should a library ever want to, it may not
        "TOKENIZERS_PARALLELISM": "false",
        **({"CUBLAS_WORKSPACE_CONFIG": ":4096:8"} if device.kind == "cuda" else {}),
    }


def kill_recorded(record: Path, *, of: int | None = None) -> bool:
    """Kill a recorded trainer whose supervisor is dead, or is the process `of`, if it still is the same
    process; whether it was.

    The folder may be shared: a record of another machine is that machine's business.
    """
    try:
        body = json.loads(record.read_text())
        if body["host"] != machine():
            return False
        pid, started = int(body["pid"]), float(body["started"])
        supervisor = int(body["supervisor"])
        if supervisor != of and is_same(supervisor, float(body["supervisor_started"])):
            return False
    except (OSError, ValueError, TypeError, KeyError):
        return False
    alive = is_same(pid, started)
    if alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    record.unlink(missing_ok=True)
    return alive


def signal_name(code: int) -> str:
    """SIGKILL for -9."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
