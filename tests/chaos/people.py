"""Who asks for things in a soak: cycles that never run out, now and then a cancel, a pause and its end."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from consolidation.demo import digits
from tests.chaos.plan import KINDS
from webapp.core.errors import Conflict
from webapp.cycles.choices import TERMINAL, Kind, State
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.cycles.steering import cycle_cancel, cycle_pause, cycle_resume
from webapp.memories.models import RecordSet, Use

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tests.support.jobs import Lab
    from webapp.core.oplog import OpLog

# One runs and one waits: enough that no worker is idle, little to drain at the end.
UNFINISHED_EACH: Final = 2
PAUSED_SECONDS: Final = (0.5, 4.0)
WAKE: Final[dict[str, Any]] = {"epochs": 24, "snapshot_every_steps": 100, "snapshot_every_s": 0}
SLEEP: Final[dict[str, Any]] = {"snapshot_every_steps": 50, "snapshot_every_s": 0}


@dataclass
class People:
    """alice, who has a project for each place.

    Attributes:
        asked: how often each request was acknowledged.
    """

    labs: list[Lab]
    log: OpLog
    seed: int
    asked: Counter[str] = field(default_factory=Counter)
    _resume_at: dict[UUID, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = random.Random(f"requests {self.seed}")

    def keep_busy(self) -> None:
        """Every project has work, and what was paused goes on in its time."""
        for lab in self.labs:
            unfinished = Cycle.objects.filter(project=lab.project).exclude(state__in=TERMINAL)
            if unfinished.count() < UNFINISHED_EACH:
                self._start(lab)
        self.resume(time.monotonic())

    def resume(self, now: float = float("inf")) -> None:
        """Let go on what has been paused for long enough; without `now` everything."""
        for pk in [pk for pk, at in self._resume_at.items() if now >= at]:
            cycle = Cycle.objects.get(pk=pk)
            if cycle.state == State.PAUSING:
                continue  # it has not come to rest
            del self._resume_at[pk]
            if cycle.state == State.PAUSED:
                self._ask("cycle_resume", lambda paused: cycle_resume(actor=self._alice, cycle=paused), cycle)

    def cancel(self, place: int) -> bool:
        """The oldest cycle of the project in this place; whether that was accepted."""
        oldest = self._oldest(place)
        return oldest is not None and self._ask(
            "cycle_cancel", lambda cycle: cycle_cancel(actor=self._alice, cycle=cycle), oldest
        )

    def pause(self, place: int) -> bool:
        """The same, to be resumed a little later."""
        oldest = self._oldest(place)
        if oldest is None or not self._ask(
            "cycle_pause", lambda cycle: cycle_pause(actor=self._alice, cycle=cycle), oldest
        ):
            return False
        self._resume_at[oldest.pk] = time.monotonic() + self._rng.uniform(*PAUSED_SECONDS)
        return True

    @property
    def _alice(self) -> Any:
        return self.labs[0].alice

    def _oldest(self, place: int) -> Cycle | None:
        project = self.labs[place % len(self.labs)].project
        return (
            Cycle.objects.filter(project=project).exclude(state__in=TERMINAL).order_by("number").first()
        )  # fmt: skip

    def _start(self, lab: Lab) -> None:
        (kind,) = self._rng.choices(list(KINDS), list(KINDS.values()))
        task = self._rng.randrange(2)
        recipe: dict[str, Any] = {}
        data = None
        if kind == Kind.WAKE:
            recipe = digits.wake_recipe(task).to_json() | WAKE
            data = RecordSet.objects.get(
                project=lab.project, task__name=digits.TASKS[task], use=Use.TRAINING, replaced_at=None
            )
        elif kind == Kind.SLEEP:
            recipe = digits.sleep_recipe().to_json() | SLEEP
        asked: dict[str, Any] = {
            "actor": lab.alice,
            "project": lab.project,
            "kind": kind,
            "recipe": recipe,
            "data": data,
        }
        self._ask("cycle_start", lambda _: cycle_start(**asked), None)

    def _ask(self, verb: str, request: Callable[[Any], Cycle], cycle: Cycle | None) -> bool:
        try:
            answer = request(cycle)
        except Conflict:
            return False  # too late, or two sleeps would meet on one base: refused, so nothing is owed
        self.log("acknowledged", verb=verb, cycle=answer.pk, state=answer.state)
        self.asked[verb] += 1
        return True
