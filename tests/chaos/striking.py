"""The faults of a soak as they strike, within the rules that keep a fault from being the cycle's own."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil
from django.db import connection

from tests.chaos.plan import Points, strikes_trainer
from webapp.cycles.choices import TERMINAL
from webapp.cycles.claim import CHARGED_ATTEMPTS
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.crew import Crew, Member, Trainer
    from tests.chaos.operations import Operation
    from tests.chaos.people import People
    from tests.chaos.plan import Fault

# A dead trainer is charged (five are failure, three in one place quarantine); ten lost workers are free.
TRAINER_DEATHS: Final = 2
LOSSES: Final = 6
PATIENCE_SECONDS: Final = 3.0
FREEZE_SECONDS: Final = 4.5  # a lease, two ticks, and somebody who takes over


@dataclass
class Striker:
    """Does to a crew what the plan says.

    Attributes:
        done: how often each kind of fault struck.
        spared: how many faults found nobody whom they might hit.
    """

    crew: Crew
    people: People
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    spared: int = 0
    _deaths: Counter[str] = field(default_factory=Counter)
    _trainers: dict[int, Operation] = field(default_factory=dict)
    _struck: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._points = Points(self.seed)
        self._ways = {
            "trainer": self._trainer,
            "supervisor": self._supervisor,
            "both": self._both,
            "freeze": self._freeze,
            "deploy": self._deploy,
            "backends": self._backends,
            "chores": lambda _: _end(self.crew.chores),
            "beat": lambda _: _end(self.crew.beat),
            "cancel": self.people.cancel,
            "pause": self.people.pause,
        }

    def strike(self, fault: Fault, late: float) -> bool:
        """One fault of the plan, on the first worker from its slot on that it suits.

        Args:
            late: seconds since its time; nobody may be in a state to be hit just then.

        Returns:
            Whether it is over: it struck, or it has found nobody for too long.
        """
        struck = self._ways[fault.kind](fault.slot)
        if struck:
            self.done[fault.kind] += 1
            self.people.log("struck", kind=fault.kind, slot=fault.slot)
        over = struck or late > PATIENCE_SECONDS
        self.spared += over and not struck
        return over

    def restart(self, *, armed: bool) -> None:
        """New processes for those that have ended; `armed`: some of them with a fault point."""
        for member in self.crew.members:
            if member.alive:
                continue
            points = ""
            if member in self.crew.nights:
                points = self._points.draw(trainers=armed and self._trainers_may_die())
            elif member is self.crew.chores:
                points = self._points.draw_chores()
            self.crew.again(member, points if armed else "")

    def notice(self, news: Sequence[Operation]) -> None:
        """Count what fault points killed: a trainer among it is charged like the others."""
        self._trainers |= {each.pid: each for each in news if each.what == "trainer"}
        for each in news:
            if each.what == "fault" and each.facts["action"] == "kill":
                self.done["point"] += 1
                if (trainer := self._trainers.get(each.pid)) is not None:
                    self._deaths[trainer.cycle] += 1
                    self._struck.add(trainer.facts["parent"])

    # ------------------------------------------------------------ ways to strike

    def _trainer(self, slot: int) -> bool:
        for _, trainer in self._working(slot):
            if self._deaths[trainer.cycle] + self._armed() < TRAINER_DEATHS:
                self._deaths[trainer.cycle] += 1
                _kill(trainer)
                return True
        return False

    def _supervisor(self, slot: int) -> bool:
        for member, _ in self._working(slot):
            member.process.kill()
            return True
        for member in self._from(slot):
            if member.trainer() is None:
                member.process.kill()
                return True
        return False

    def _both(self, slot: int) -> bool:
        for member, trainer in self._working(slot):
            member.process.kill()
            _kill(trainer)
            return True
        return False

    def _freeze(self, slot: int) -> bool:
        for member, _ in self._working(slot):
            self.crew.freeze(member, FREEZE_SECONDS)
            return True
        return False

    def _deploy(self, slot: int) -> bool:
        for member in self._from(slot):
            member.leaving_since = time.monotonic()
            member.process.terminate()
            return True
        return False

    def _backends(self, _: int) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND backend_type = 'client backend'"
            )
            return bool(cursor.fetchone()[0])

    # ------------------------------------------------------------ whom

    def _working(self, slot: int) -> Iterator[tuple[Member, Trainer]]:
        """Workers with a trainer, whose cycle may lose one more worker."""
        for member in self._from(slot):
            trainer = member.trainer()
            if trainer is None:
                continue
            cycle = Cycle.objects.filter(pk=trainer.cycle).first()
            if cycle is not None and cycle.max_attempts - CHARGED_ATTEMPTS < LOSSES:
                yield member, trainer

    def _from(self, slot: int) -> Iterator[Member]:
        nights = self.crew.nights
        for step in range(len(nights)):
            member = nights[(slot + step) % len(nights)]
            if not member.disturbed:
                yield member

    def _trainers_may_die(self) -> bool:
        """One armed worker at a time, and only while no cycle has lost all that it may."""
        unfinished = Cycle.objects.exclude(state__in=TERMINAL).values_list("pk", flat=True)
        return not self._armed() and all(self._deaths[str(pk)] < TRAINER_DEATHS for pk in unfinished)

    def _armed(self) -> bool:
        """Whether a fault point waits for some cycle's trainer."""
        nights = [member for member in self.crew.nights if strikes_trainer(member.armed)]
        return any(member.alive and member.process.pid not in self._struck for member in nights)


def _kill(trainer: Trainer) -> None:
    with suppress(psutil.NoSuchProcess):
        trainer.process.kill()


def _end(member: Member | None) -> bool:
    if member is None or member.disturbed:
        return False
    member.process.kill()
    return True
