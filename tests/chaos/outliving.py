"""Trainers that live on after their lease or their worker: they may for five seconds, and no longer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
from django.conf import settings

from tests.chaos.crew import Trainer
from tests.chaos.operations import Violation
from webapp.cycles.choices import ACTIVE
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.crew import Crew

PATIENCE_SECONDS: Final = 5.0
EVERY_SECONDS: Final = 0.25
# What passes between two looks counts up to here: if nobody looked for longer, the machine was busy or stood
# still, and the workers had no more of it than we.
TIMELY_SECONDS: Final = 0.5


class Outliving:
    """Watches every trainer while the storm goes on; each is told of once.

    A frozen worker can end nothing, so for its trainer the clock starts at the thaw.
    """

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._looked = float("-inf")
        self._seconds: dict[psutil.Process, float] = {}
        self._told: set[psutil.Process] = set()

    def look(self, now: float) -> Iterator[Violation]:
        """Those that have outlived it for too long by `now` (seconds of a monotonic clock)."""
        if now - self._looked < EVERY_SECONDS:
            return
        passed, self._looked = min(now - self._looked, TIMELY_SECONDS), now
        overdue = dict(self._overdue())
        before, self._seconds = self._seconds, {}
        for process, violation in overdue.items():
            self._seconds[process] = before[process] + passed if process in before else 0.0
            if self._seconds[process] > PATIENCE_SECONDS and process not in self._told:
                self._told.add(process)
                yield violation

    def _overdue(self) -> Iterator[tuple[psutil.Process, Violation]]:
        """Every trainer that has nothing to do there any more, and what to say if it stays."""
        found = trainers()
        rows = Cycle.objects.filter(pk__in={trainer.cycle for trainer, _ in found}, state__in=ACTIVE)
        epochs = {str(pk): epoch for pk, epoch in rows.values_list("pk", "epoch")}
        workers = {member.process.pid: member for member in self._crew.members if member.alive}
        for trainer, parent in found:
            worker = workers.get(parent)
            if worker is not None and worker.thaw_at is not None:
                continue
            sentence = f"the trainer of epoch {trainer.epoch} outlived its"
            if epochs.get(trainer.cycle) != trainer.epoch:
                yield trainer.process, Violation("doubled", trainer.cycle, f"{sentence} lease")
            elif worker is None:
                yield trainer.process, Violation("broken", trainer.cycle, f"{sentence} worker")


def trainers() -> list[tuple[Trainer, int]]:
    """Every trainer of this installation that runs, and its parent's process id."""
    found = []
    for process in psutil.process_iter(["ppid", "cmdline"]):
        command = process.info["cmdline"] or []
        if any(Path(word).is_relative_to(settings.CYCLES_DIR) for word in command):
            trainer = Trainer.of(process, command)
            if trainer is not None:
                found.append((trainer, process.info["ppid"]))
    # What a trainer starts has its command at first, and ends with it.
    pids = {trainer.process.pid for trainer, _ in found}
    return [(trainer, parent) for trainer, parent in found if parent not in pids]


def leftovers() -> Iterator[Violation]:
    """Trainers that are still there when all workers have ended; they are ended here."""
    for trainer, _ in trainers():
        yield Violation("broken", f"process {trainer.process.pid}", "a trainer outlived its worker")
        trainer.process.kill()
