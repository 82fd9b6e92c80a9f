"""What a soak does to its processes, and when: all of it from the seed, before anything has started."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# What happens, and how often of a hundred times.
FAULTS: Final = {
    "trainer": 18,  # SIGKILL to a trainer
    "supervisor": 22,  # to its worker
    "both": 20,
    "freeze": 7,  # SIGSTOP to a worker until another has taken its cycle over, then SIGCONT
    "deploy": 5,  # SIGTERM to a worker
    "backends": 6,  # the database ends everybody's connections
    "chores": 5,
    "beat": 3,
    "cancel": 6,
    "pause": 8,
}
# Faults that end something by force.
KILLS: Final = frozenset({"trainer", "supervisor", "both", "backends", "chores", "beat", "point"})
KINDS: Final = {"wake": 60, "sleep": 20, "score": 20}
# Fault points (webapp.core.faults) of a worker that was started anew, and up to which time they strike.
WORKER_POINTS: Final = {
    "claim.after_commit:kill": 2,
    "lease.before_renew:kill": 8,
    "lease.before_renew:sleep:3": 5,
    "trainer.before_start:kill": 2,
    "trainer.after_start:kill": 2,
    "frame.before_write:kill": 30,
    "frame.before_commit:kill": 30,
    "frame.after_commit:kill": 30,
    "snapshot.before_link:kill": 6,
    "snapshot.after_link:kill": 6,
    "snapshot.before_row:kill": 6,
    "verify.begin:kill": 1,
    "store_put.before_rename:kill": 1,
    "store_put.after_rename:kill": 1,
    "publish.before_commit:kill": 1,
    "publish.after_commit:kill": 1,
    "settle.before_commit:kill": 1,
    "settle.after_commit:kill": 1,
}
TRAINER_POINTS: Final = {
    "trainer.load:kill": 2,
    "trainer.step:kill": 600,
    "leave.before_write:kill": 1,
    "leave.after_write:kill": 1,
    "leave.before_rename:kill": 1,
    "leave.after_rename:kill": 1,
}
CHORES_POINTS: Final = {"reap.before_commit:kill": 3, "reap.after_commit:kill": 3}


@dataclass(frozen=True, slots=True)
class Fault:
    """At `at` seconds, `kind` happens to the worker in place `slot` (or the next one that it suits)."""

    at: float
    kind: str
    slot: int


def faults(seed: int, *, seconds: float, slots: int, a_minute: float) -> Iterator[Fault]:
    """The faults of a run, in order, about `a_minute` of them each minute."""
    rng = random.Random(f"faults {seed}")
    at = 0.0
    while (at := at + rng.uniform(0.4, 1.6) * 60 / a_minute) < seconds:
        (kind,) = rng.choices(list(FAULTS), list(FAULTS.values()))
        yield Fault(round(at, 3), kind, rng.randrange(slots))


class Points:
    """Which fault point, if any, a newly started process is armed with.

    Args:
        share: how many of the processes are armed at all.
    """

    def __init__(self, seed: int, *, share: float = 0.4) -> None:
        self._rng = random.Random(f"points {seed}")
        self._share = share

    def draw(self, *, trainers: bool) -> str:
        """NOCTURNE_FAULTS for a nights worker, "" for none; `trainers`: its trainers may be struck too."""
        return self._one(WORKER_POINTS | (TRAINER_POINTS if trainers else {}))

    def draw_chores(self) -> str:
        """NOCTURNE_FAULTS for a chores worker."""
        return self._one(CHORES_POINTS)

    def _one(self, points: dict[str, int]) -> str:
        # Always the same number of draws, so that what is allowed now moves nothing later.
        struck, chosen, nth = self._rng.random(), self._rng.random(), self._rng.random()
        if struck >= self._share:
            return ""
        point = sorted(points)[int(chosen * len(points))]
        return f"{point}@{1 + int(nth * points[point])}"


def strikes_trainer(armed: str) -> bool:
    """Whether this NOCTURNE_FAULTS is one of TRAINER_POINTS."""
    return armed.partition("@")[0] in TRAINER_POINTS
