"""The processes of a soak: nights workers in numbered places, a chores worker and a clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.support.processes import BEAT, CHORES, NIGHTS, QUIET, ROOT, SHIFT, surroundings

_STOP_SECONDS: Final = 45.0


@dataclass(frozen=True)
class Trainer:
    """A process, the id of the cycle that it works on, and the epoch in which it does."""

    process: psutil.Process
    cycle: str
    epoch: int

    @classmethod
    def of(cls, process: psutil.Process, command: list[str]) -> Trainer | None:
        """From the path of its job, .../CYCLE/eEPOCH/job.json; None when it is no trainer. The rows cannot
        say: a worker that was killed and started anew has two under its name, until the older one is reaped.
        """
        if "workers.trainer" not in command:
            return None
        attempt = Path(command[command.index("--job") + 1]).parent
        return cls(process, attempt.parent.name, int(attempt.name[1:]))


@dataclass
class Member:
    """One place of the crew and the process that fills it now.

    Attributes:
        armed: NOCTURNE_FAULTS of the process.
        thaw_at: `time.monotonic()` at which it is to be woken; None: it is not frozen.
        leaving_since: since when it has been asked to end; None: it has not.
    """

    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[bytes]
    armed: str = ""
    thaw_at: float | None = None
    leaving_since: float | None = None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def disturbed(self) -> bool:
        """Something is being done to it already."""
        return not self.alive or self.thaw_at is not None or self.leaving_since is not None

    def trainer(self) -> Trainer | None:
        """Its trainer, while it has one."""
        with suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children():
                if trainer := Trainer.of(child, child.cmdline()):
                    return trainer
        return None

    def send(self, number: int) -> None:
        if self.alive:
            self.process.send_signal(number)


@dataclass
class Crew:
    """Starts, restarts and at the end stops everything, each by the process that it started itself.

    Args:
        folder: logs, operation logs and shared counts go here.
        environment: for every process besides what tests give to all.
    """

    folder: Path
    environment: dict[str, str]
    nights: list[Member] = field(default_factory=list)
    chores: Member | None = None
    beat: Member | None = None
    _starts: int = 0

    @property
    def oplog(self) -> Path:
        return self.folder / "operations"

    @property
    def members(self) -> list[Member]:
        return [*self.nights, *(member for member in (self.chores, self.beat) if member)]

    def start(self, workers: int, *, celery: int) -> None:
        """`workers` nights workers, of which the first `celery` are Celery's, and the two others."""
        for slot in range(workers):
            command = (*NIGHTS, "-n", f"nights{slot}@%h", *QUIET) if slot < celery else SHIFT
            self.nights.append(self._start(f"nights-{slot}", command))
        self.chores = self._start("chores", (*CHORES, *QUIET))
        self.beat = self._start("beat", (*BEAT, "--schedule", str(self.folder / "beat")))

    def again(self, member: Member, armed: str = "") -> None:
        """A new process in the place of one that has ended, armed with fault points."""
        fresh = self._start(member.name, member.command, armed)
        member.process, member.armed = fresh.process, armed
        member.thaw_at = member.leaving_since = None

    def freeze(self, member: Member, seconds: float) -> None:
        """SIGSTOP now, SIGCONT later (by `tend`)."""
        member.send(signal.SIGSTOP)
        member.thaw_at = time.monotonic() + seconds

    def tend(self) -> list[str]:
        """Wake whom it is time to wake; names of those that were asked to end and did not."""
        now, stuck = time.monotonic(), []
        for member in self.members:
            if member.thaw_at is not None and now >= member.thaw_at:
                member.send(signal.SIGCONT)
                member.thaw_at = None
            if (
                member.leaving_since is not None
                and member.alive
                and now - member.leaving_since > _STOP_SECONDS
            ):
                member.process.kill()
                stuck.append(member.name)
        return stuck

    def stop(self) -> list[str]:
        """SIGTERM to all, SIGKILL to those that stay; names of those."""
        for member in self.members:
            # A frozen one must wake to hear it.
            member.send(signal.SIGCONT)
            member.send(signal.SIGTERM)
        deadline, stuck = time.monotonic() + _STOP_SECONDS, []
        for member in self.members:
            try:
                member.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                stuck.append(member.name)
                member.process.kill()
                member.process.wait()
        return stuck

    def _start(self, name: str, command: tuple[str, ...], armed: str = "") -> Member:
        self._starts += 1
        environment = surroundings() | self.environment | {"NOCTURNE_OPLOG": str(self.oplog)}
        if name.startswith("nights-"):
            environment["NOCTURNE_WORKER_INDEX"] = name.removeprefix("nights-")
        if armed:
            counts = self.folder / "counts" / str(self._starts)
            environment |= {"NOCTURNE_FAULTS": armed, "NOCTURNE_FAULT_COUNTS": str(counts)}
        with (self.folder / f"{name}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=os.environ | environment, stdout=out, stderr=out
            )
        return Member(name, command, process, armed)
