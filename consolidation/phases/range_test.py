"""A learning rate when nobody knows the wake's: a few steps at each candidate, from the same weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from consolidation.memory.sampling import Batch, Sampler
from consolidation.phases.accumulating import descend
from consolidation.phases.optimizers import clip_gradients, gradient_norm, make_optimizer
from consolidation.snapshot import Undo

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.nn import Parameter

    from consolidation.memory.store import Records
    from consolidation.phases.accumulating import Terms
    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run

CANDIDATES = {"sgd": (0.3, 0.1, 0.03, 0.01, 0.003, 0.001), "adamw": (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)}
STEPS = 20


def find_rate(
    run: Run, recipe: SleepRecipe, memories: list[Records], loss: Callable[[Batch], Terms]
) -> tuple[float, dict[float, float | None]]:
    """The candidate with the lowest mean loss in its last quarter, and every candidate's loss.

    The weights are as before when it returns, bit for bit.
    """
    weights = dict(run.model.named_parameters())
    undo = Undo(run.folder, "range-test")
    undo.keep(weights)
    losses: dict[float, float | None] = {}
    try:
        for rate in CANDIDATES[recipe.optimizer]:
            value = _try(run, recipe, memories, loss, weights, rate)
            losses[rate] = value if math.isfinite(value) else None
            undo.restore(weights)
    except BaseException:
        undo.restore(weights)
        raise
    finally:
        undo.forget()
    finite = {rate: value for rate, value in losses.items() if value is not None}
    best = min(finite, key=lambda rate: finite[rate]) if finite else min(CANDIDATES[recipe.optimizer])
    return best, losses


def _try(
    run: Run,
    recipe: SleepRecipe,
    memories: list[Records],
    loss: Callable[[Batch], Terms],
    weights: dict[str, Parameter],
    rate: float,
) -> float:
    sampler = Sampler(memories, recipe.batch, recipe.sampling, recipe.seed + 500)
    optimizer = make_optimizer(weights, recipe.optimizer, rate, recipe.momentum)
    tail: list[float] = []
    for step in range(STEPS):
        run.check_stop()
        terms = descend(run, loss, sampler.next(run.outputs, run.device), weights, recipe.micro_batch)
        clip_gradients(weights, float(gradient_norm(weights)), recipe.clip)
        optimizer.step()
        if step >= STEPS - STEPS // 4:
            tail.append(float(terms.loss))
    return sum(tail) / len(tail)
