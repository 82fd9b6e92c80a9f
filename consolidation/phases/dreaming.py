"""REM dreaming: a short loop on what no memory holds as it is, gated.

mixup       memories recombined inside the network (manifold mixup, Verma et al. 2019): two of one task, or of
            any two tasks, are blended at a random depth, input included, with the same share for their labels
            and stored logits. Texts are blended inside only: ids of tokens have no middle.
inversion   inputs made from noise by what a frozen model knows (`inverting`): the model before waking when it
            is given, else the model as it stands. Its logits are what the dreams are replayed with.

Every dream is synthetic, of generation 1: made from memories or from a model, never from other dreams. None
is stored, so deleting a memory deletes its dreams.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from consolidation.estimate import dream_steps, inversion_budget
from consolidation.fit import vocabulary_of
from consolidation.memory.sampling import Batch, Sampler
from consolidation.objectives.objective import Stored, narrowed
from consolidation.phases.gate import decide, propose
from consolidation.phases.inverting import inverted_dreams
from consolidation.phases.precision import passes
from consolidation.phases.replay import ReplayLoss, learning_rate, rehearsal
from consolidation.phases.training import LoopPlan, Terms, Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run

SYNTHETIC = {"synthetic": True, "generation": 1}


@contextmanager
def mixed(block: nn.Module, partner: Tensor, share: float) -> Iterator[None]:
    """Inside, the block gives share * h + (1 - share) * h[partner]."""

    def hook(_module: nn.Module, _args: Any, h: Tensor) -> Tensor:
        return share * h + (1 - share) * h[partner]

    handle = block.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def partners(task: Tensor, across: bool, generator: torch.Generator) -> Tensor:
    """int64 [n]: whom each memory is blended with: a permutation, within each task unless `across`."""
    n = len(task)
    if across:
        return torch.randperm(n, generator=generator)
    partner = torch.arange(n)
    for one in torch.unique(task):
        rows = torch.nonzero(task == one).squeeze(1)
        partner[rows] = rows[torch.randperm(len(rows), generator=generator)]
    return partner


class DreamLoss:
    """What one blended batch costs."""

    def __init__(self, run: Run, recipe: SleepRecipe) -> None:
        self.run, self.recipe = run, recipe
        self.blocks = run.adapter.blocks(run.model)
        self.least = int(vocabulary_of(run.model) is not None)  # depth 0 is the input

    def __call__(self, batch: Batch) -> Terms:
        recipe, generator = self.recipe, self.run.generators["dreams"]
        seed = int(torch.randint(2**31, (1,), generator=generator))
        share = float(np.random.default_rng(seed).beta(recipe.dream_alpha, recipe.dream_alpha))
        depth = int(torch.randint(self.least, len(self.blocks) + 1, (1,), generator=generator))
        across = bool(torch.randint(2, (1,), generator=generator))
        partner = partners(batch.task.cpu(), across, generator).to(batch.x.device)
        with passes(recipe.precision, self.run.device):
            if depth == 0:
                logits = self.run.model(share * batch.x + (1 - share) * batch.x[partner])
            else:
                with mixed(self.blocks[depth - 1], partner, share):
                    logits = self.run.model(batch.x)
        out, objective = logits.float(), self.run.objective
        targets = objective.targets(batch.x, batch.y)
        own, other = _narrowed(out, batch.head), _narrowed(out, batch.head, partner)
        label = share * objective.loss(own, targets)
        label = label + (1 - share) * objective.loss(other, targets[partner])
        both = batch.stored & batch.stored[partner]
        weight = torch.where(both, recipe.ce, recipe.ce + recipe.distill)
        parts = {"ce": label.mean()}
        loss = (weight * label).mean()
        if recipe.distill > 0 and bool(both.any()):
            apart = self._apart(out, targets, batch, partner, share)
            parts["distill"] = apart[both].sum() / len(batch.y)
            loss = loss + recipe.distill * parts["distill"]
        return Terms(loss, parts)

    def _apart(self, out: Tensor, targets: Tensor, batch: Batch, partner: Tensor, share: float) -> Tensor:
        """[n]: from the blended logits; where only the likeliest are stored, or heads differ, the blend of
        the distances."""
        recipe, distance = self.recipe, self.run.objective.distance
        told = (recipe.distill_loss, recipe.temperature)
        if batch.top is None and batch.head is None:
            z = share * batch.z + (1 - share) * batch.z[partner]
            return distance(out, targets, Stored(z, None), *told)
        other = batch.take(partner)
        mine = distance(out, targets, Stored(batch.z, batch.top), *told, batch.head)
        its = distance(out, targets[partner], Stored(other.z, other.top), *told, other.head)
        return share * mine + (1 - share) * its


def _narrowed(out: Tensor, head: Tensor | None, rows: Tensor | None = None) -> Tensor:
    """As `narrowed`, by the heads of other rows of the batch when `rows` says so."""
    return narrowed(out, head if head is None or rows is None else head[rows])


class InvertedLoss:
    """What one batch of inverted dreams costs, by the labels meant and the frozen model's logits."""

    def __init__(self, run: Run, recipe: SleepRecipe) -> None:
        self.run, self.recipe = run, recipe

    def __call__(self, batch: Batch) -> Terms:
        with passes(self.recipe.precision, self.run.device):
            logits = self.run.model(batch.x)
        return rehearsal(self.run.objective, logits.float(), batch, self.recipe, stored=True)


def dreaming(run: Run, recipe: SleepRecipe, memories: list[Records], reference: nn.Module | None) -> None:
    """The stage: a short loop on dreams, kept only when watch agrees."""
    count = sum(len(records) for records in memories)
    steps = dream_steps(recipe, count)
    if steps == 0:
        run.stream.log("info", "The share of dreams is under one step; nothing is dreamt.")
        return
    rate = learning_rate(run, recipe, memories, ReplayLoss(run, recipe, None))
    plan = LoopPlan(
        steps=steps, lr=rate, optimizer=recipe.optimizer, momentum=recipe.momentum, clip=recipe.clip,
        average=recipe.average, micro=recipe.micro_batch,
    )  # fmt: skip
    seed = recipe.seed + 1000 * run.entry.round + 1
    loss: Callable[[Batch], Terms]
    if recipe.dream_kind == "inversion":
        frozen, whose = (
            (run.model, "the model") if reference is None else (reference, "the model before waking")
        )
        kept, made = inverted_dreams(run, recipe, memories, frozen, inversion_budget(recipe, count))
        if kept is None:
            why = f"Not tried: {whose} answers none of {made:,} inverted dreams as they were meant."
            decide(run, "dream", False, why, {"dreams": 0, "made": made} | SYNTHETIC)
            return
        dreams, told = (
            len(kept),
            f"{len(kept):,} of {made:,} inverted dreams are answered by {whose} as meant",
        )
        sampler, loss = Sampler([kept], recipe.batch, "uniform", seed), InvertedLoss(run, recipe)
    else:
        dreams, told = steps * recipe.batch, f"{steps * recipe.batch:,} dreams are mixed from memories"
        sampler, loss = Sampler(memories, recipe.batch, recipe.sampling, seed), DreamLoss(run, recipe)
    run.stream.log("info", f"{told}; all are synthetic, of generation 1, and none is stored.")
    masks = {n.removeprefix("mask/"): t for n, t in run.kept.items() if n.startswith("mask/")}

    def dream() -> dict[str, Any]:
        done = Training(run, plan, sampler, loss, masks, resumable=False).go()
        return {"steps": done, "dreams": dreams, "dream_kind": recipe.dream_kind} | SYNTHETIC

    propose(run, recipe, "dream", dict(run.model.named_parameters()), dream)
