"""A learning rate when nobody knows the wake's: a few steps at each candidate, from the same weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.nn.utils import clip_grad_norm_

from consolidation.memory.sampling import Batch, Sampler
from consolidation.phases.optimizers import clear_gradients, make_optimizer
from consolidation.snapshot import Undo

if TYPE_CHECKING:
    from collections.abc import Callable

    from consolidation.memory.store import Records
    from consolidation.phases.training import Terms
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
    for rate in CANDIDATES[recipe.optimizer]:
        sampler = Sampler(memories, recipe.batch, recipe.sampling, recipe.seed + 500)
        optimizer = make_optimizer(weights, recipe.optimizer, rate, recipe.momentum)
        tail: list[float] = []
        for step in range(STEPS):
            run.check_stop()
            clear_gradients(weights)
            terms = loss(sampler.next(run.outputs, run.device))
            terms.loss.backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(weights.values(), recipe.clip or math.inf)
            optimizer.step()
            if step >= STEPS - STEPS // 4:
                tail.append(float(terms.loss.detach()))
        undo.restore(weights)
        value = sum(tail) / len(tail)
        losses[rate] = value if math.isfinite(value) else None
    undo.forget()
    finite = {rate: value for rate, value in losses.items() if value is not None}
    best = min(finite, key=lambda rate: finite[rate]) if finite else min(CANDIDATES[recipe.optimizer])
    return best, losses
