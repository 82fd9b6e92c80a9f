"""A proposal: remember, change, probe on watch, keep or take back exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from consolidation.events import Decision
from consolidation.metrics import SHARES_OF_BEST
from consolidation.probes import mean
from consolidation.snapshot import Undo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run


def propose(
    run: Run,
    recipe: SleepRecipe,
    name: str,
    tensors: Mapping[str, Tensor],
    change: Callable[[], dict[str, Any]],
) -> bool:
    """Applies `change` to `tensors`; keeps it when the mean watch score falls by no more than `tolerance` and
    no task by more than `task_tolerance`, else puts the old bits back. Without probes the memories stand in
    for watch. Of scores that are told as shares (`metrics.SHARES_OF_BEST`) a fall is a share of the score
    before.

    Args:
        change: works in place and returns facts for the decision's detail.

    Returns:
        Whether it was kept.
    """
    before = run.standing or run.probe_watch("during")
    if not before:
        decide(run, name, False, "Not tried: without probes or memories nobody could tell if it hurts.", {})
        return False
    undo = Undo(run.folder, name)
    undo.keep(tensors)
    detail = change()
    after = run.probe_watch("during")
    shares = run.objective.name in SHARES_OF_BEST
    falls = {task: (value - after[task]) / ((shares and value) or 1.0) for task, value in before.items()}
    task, worst = max(falls.items(), key=lambda item: item[1])
    fall = mean(falls) if shares else mean(before) - mean(after)
    unit = " %" if shares else " points"
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
    on = " on the memories" if run.probes.borrowed else " on watch"
    where = "score on the memories" if run.probes.borrowed else "watch score"
    if not finite:
        reason = "Reverted: it made weights that are not finite numbers."
    elif fall > recipe.tolerance:
        reason = f"Reverted: the mean {where} fell by {100 * fall:.1f}{unit}."
    elif worst > recipe.task_tolerance:
        reason = f"Reverted: {task} fell by {100 * worst:.1f}{unit}{on}."
    else:
        points = round(-100 * fall, 1)
        moved = f"changed by {points:+.1f}{unit}" if points else "did not change"
        reason = f"Kept: the mean {where} {moved}."
    kept = reason.startswith("Kept")
    run.standing = after if kept else before
    if not kept:
        undo.restore(tensors)
    undo.forget()
    decide(run, name, kept, reason, detail | {"before": before, "after": after, "worst": worst_of(falls)})
    return kept


def worst_of(falls: Mapping[str, float], most: int = 3) -> dict[str, float]:
    """The tasks that fell furthest, the worst first; those that did not fall are left out."""
    ranked = sorted(falls.items(), key=lambda item: -item[1])[:most]
    return {task: fall for task, fall in ranked if fall > 0}


def decide(run: Run, name: str, kept: bool, reason: str, detail: dict[str, Any]) -> None:
    """Tells what became of a proposal, and has the report tell it."""
    run.stream.emit(Decision, name=name, kept=kept, reason=reason, detail=detail)
    run.facts.setdefault("decisions", []).append({"name": name, "kept": kept, "reason": reason})
