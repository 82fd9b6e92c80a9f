"""What a run tells its listener: frozen events and the clock that stamps them. Torch-free.

Every event's JSON has `kind`, `t` (seconds since the run began, pauses left out), `step` (global) and
`progress` (0 to 1, by phase weights). One listener serves the command line, the trainer process and the
tests.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

STAGES_SLEEP = (
    "wake probe", "merging", "NREM replay", "significance", "downscaling", "REM dreaming", "morning probe",
)  # fmt: skip
STAGES_WAKE = ("wake probe", "learning", "morning probe")
STAGES_SCORE = ("scoring",)
# What is measured at each optimiser step, in the order in which a Step has it.
STEP_TERMS = ("loss", "ce", "distill", "reconstruct", "anchor", "grad_norm", "lr", "noise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; `t` in seconds, `progress` a fraction."""

    kind: ClassVar[str] = ""
    t: float = 0.0
    step: int = 0
    progress: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind} | dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    kind: ClassVar[str] = "stage_started"
    stage: str
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnded(Event):
    kind: ClassVar[str] = "stage_ended"
    stage: str
    round: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Event):
    """One optimiser step; a term that was not part of the loss is null."""

    kind: ClassVar[str] = "step"
    stage: str
    total_steps: int
    loss: float
    ce: float | None = None
    distill: float | None = None
    reconstruct: float | None = None
    anchor: float | None = None
    grad_norm: float | None = None
    lr: float | None = None
    noise: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Event):
    """Scores (fractions of 1) of every task on one half of the probes."""

    kind: ClassVar[str] = "probe"
    split: str
    when: str
    scores: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Event):
    """Something proposed and kept, or not, with the reason as a sentence."""

    kind: ClassVar[str] = "decision"
    name: str
    kept: bool
    reason: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram(Event):
    """How many weights have which size. `name` is "significance" (the saliency) or "weights" (|w|), `when`
    "before" or "after" the downscaling; `edges` [n + 1] are log10, `counts` [n]; what is below or above goes
    into the first or last bin, zeros are counted apart.
    """

    kind: ClassVar[str] = "histogram"
    name: str
    when: str
    round: int
    edges: list[float]
    counts: list[int]
    zeros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotWritten(Event):
    """`number` counts the snapshots of a run, over all its attempts; several stand at one step."""

    kind: ClassVar[str] = "snapshot"
    path: str
    stage: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Log(Event):
    """`level` is info, warning or error."""

    kind: ClassVar[str] = "log"
    level: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictGiven(Event):
    kind: ClassVar[str] = "verdict"
    verdict: str | None
    reasons: list[str]
    metrics: dict[str, Any]


Listener = Callable[[Event], None]


class Stream:
    """Stamps events with time, step and progress, and hands them to the listener.

    Args:
        listener: called with each event, in order; None: nobody listens.
        weights: progress weight of each entry of the run's plan, in order.
    """

    def __init__(self, listener: Listener | None, weights: list[float]) -> None:
        total = sum(weights) or 1.0
        self._listener = listener
        self._shares = [weight / total for weight in weights]
        self._began = time.monotonic()
        self._before = 0.0
        self.index = 0
        self.step = 0
        self._within = self._from = 0.0
        self.number = 0

    @property
    def seconds(self) -> float:
        """Run time so far, counting the attempts before a resume."""
        return self._before + time.monotonic() - self._began

    @property
    def progress(self) -> float:
        done = sum(self._shares[: self.index])
        current = self._shares[self.index] if self.index < len(self._shares) else 0.0
        return min(1.0, done + current * self._within)

    def enter(self, index: int) -> None:
        """Entry `index` of the plan begins."""
        self.index, self._within, self._from = index, 0.0, 0.0

    def within(self, fraction: float) -> None:
        """How much of the current entry is done, 0 to 1."""
        self._within = self._from + (1 - self._from) * fraction

    def rest(self) -> None:
        """From here on `within` tells of what is left of the current entry."""
        self._from = self._within

    @property
    def heard(self) -> bool:
        """Whether anybody listens; a hot loop need not make values that nobody reads."""
        return self._listener is not None

    def emit(self, cls: type[Event], **values: Any) -> None:
        self.number += 1
        if self._listener is not None:
            progress = round(self.progress, 6)
            self._listener(cls(t=round(self.seconds, 6), step=self.step, progress=progress, **values))

    def log(self, level: str, message: str) -> None:
        self.emit(Log, level=level, message=message)

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "step": self.step, "number": self.number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The clock goes on where the snapshot left it."""
        self._before, self._began = float(state["seconds"]), time.monotonic()
        self.step, self.number = int(state["step"]), int(state["number"])
