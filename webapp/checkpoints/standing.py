"""What speaks against using a checkpoint: its night was rejected, proved nothing, or came too late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from webapp.checkpoints.choices import Standing
from webapp.cycles.choices import Verdict

if TYPE_CHECKING:
    from webapp.checkpoints.models import Checkpoint
    from webapp.cycles.models import Cycle

BASE_MOVED: Final = (
    "The project's current checkpoint changed while this cycle ran, so the result is kept as a branch "
    "(conflict.base_moved)."
)
SKEWED: Final = (
    "Records that this night replayed look skewed or planted, so nothing was promoted by itself: look at "
    "them, then promote the result by hand or replace them (replay.skew_warning)."
)
NON_FINITE: Final = "The new weights hold NaN or infinite numbers (weights.non_finite)."
_NOT_IMPROVED: Final = frozenset({Verdict.REJECTED.value, Verdict.UNCHANGED.value})


@dataclass(frozen=True)
class Doubt:
    """Why the cycle itself did not make the checkpoint current.

    Attributes:
        kind: "rejected", "unchanged", "branch" (the current checkpoint had moved meanwhile) or "held" (it
            improved, on memories that look skewed).
        reasons: the guard's sentences; of the last two the one about that.
    """

    kind: str
    reasons: list[str]
    cycle: Cycle


def doubt_of(checkpoint: Checkpoint) -> Doubt | None:
    """None for what was promoted in the ordinary way. Reads `checkpoint.cycle`."""
    cycle = checkpoint.cycle
    if cycle is None:
        return None
    reasons = [str(reason) for reason in cycle.reasons]
    if cycle.verdict in _NOT_IMPROVED:
        return Doubt(cycle.verdict, reasons, cycle)
    if checkpoint.non_finite:
        return Doubt(Verdict.REJECTED, [NON_FINITE], cycle)
    if BASE_MOVED in reasons:
        return Doubt("branch", [BASE_MOVED], cycle)
    if SKEWED in reasons:
        return Doubt("held", [SKEWED], cycle)
    return None


def own_standing(checkpoint: Checkpoint) -> str:
    """The standing that its own cycle gave it, before anybody promoted it by hand."""
    doubt = doubt_of(checkpoint)
    if doubt is None:
        return Standing.PROMOTED
    return Standing.BRANCH if doubt.kind == "branch" else Standing.CANDIDATE
