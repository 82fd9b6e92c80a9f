"""What the model has just learned from, used in the night while it is still at hand.

A sample of it, with the logits of the awake model, stands for the newest task's memories: those are few, and
the awake model has seen them as often as everything else. On 20-task permuted MNIST this and the Fisher on
such records, instead of on a handful of memories, are worth about a point (docs/results.md).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from consolidation.fit import check_fit, without_probes
from consolidation.memory.remembering import answers

if TYPE_CHECKING:
    from torch import nn

    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run

LOGITS, TOP = "day/z", "day/top"


def day_sample(
    model: nn.Module, awake: Records | None, probes: list[Records], recipe: SleepRecipe
) -> Records | None:
    """At most `recipe.fresh` records of `awake`, none of them in a probe, deleted or expired; None when there
    are none.

    Raises:
        NocturneInputError: as `fit.check_fit`; `memories.empty` when all of the sample is in the probes.
    """
    if awake is None or recipe.fresh == 0:
        return None
    alive = np.flatnonzero(awake.rights.alive(len(awake), time.time()))
    if not len(alive):
        return None
    chosen = np.random.default_rng((recipe.seed, 2)).permutation(len(alive))[: recipe.fresh]
    sample = awake.take(np.sort(alive[chosen]))
    check_fit(model, [sample], "training records")
    [sample], _ = without_probes([sample], probes, "training records")
    return sample


def remember_day(run: Run, day: Records) -> None:
    """Keeps the awake model's logits for the whole night, snapshots included."""
    told = answers(run.model, day, np.arange(len(day)), run.device, hidden=False)
    run.kept[LOGITS] = torch.from_numpy(told.z)
    if told.top is not None:
        run.kept[TOP] = torch.from_numpy(told.top.astype(np.int32))


def night_sets(run: Run, memories: list[Records], day: Records | None) -> list[Records]:
    """The sets that this night replays: the day's sample in the place of its task's memories."""
    if day is None:
        return memories
    z = run.kept[LOGITS].cpu().numpy()
    if TOP in run.kept:
        fresh = day.with_top(run.kept[TOP].cpu().numpy(), z)
    else:
        fresh = day.with_logits(z, run.outputs)
    return [*(records for records in memories if records.task != day.task), fresh]
