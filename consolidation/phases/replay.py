"""NREM replay: noisy rehearsal of memories, held to the logits that were stored when they were made.

L = ce CE(f(x; noise), y) + distill D(f(x; noise), z) + reconstruct R(h(clean), h(noisy))
    + anchor 1/2 sum_i F_i (theta_i - theta_ref_i)^2
R is the denoising objective of `reconstructing`.
(dark experience replay: Buzzega et al. 2020; elastic weights: Kirkpatrick et al. 2017, Schwarz et al. 2018.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from consolidation.estimate import replay_budget
from consolidation.events import Decision
from consolidation.families.described import PADDING
from consolidation.families.tokens import token_ids
from consolidation.fit import io_widths, vocabulary_of
from consolidation.memory.sampling import Batch, Sampler
from consolidation.objectives.objective import Objective, Stored, narrowed
from consolidation.phases.accumulating import Terms
from consolidation.phases.noise import noisy, recorded
from consolidation.phases.optimizers import clear_gradients
from consolidation.phases.precision import passes
from consolidation.phases.range_test import find_rate
from consolidation.phases.reconstructing import LinearDecoders, consistency
from consolidation.phases.training import LoopPlan, Training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run


def rehearsal(
    objective: Objective, out: Tensor, batch: Batch, recipe: SleepRecipe, stored: bool | None = None
) -> Terms:
    """The terms of labels and of stored answers, means over the batch. A record without stored answers puts
    both weights on its label.

    Args:
        out: [n, *S, C].
        stored: whether all records have stored answers, or none has; None: the batch is asked.
    """
    if stored is None:
        known = bool(batch.stored.all())
        stored = known if known or not bool(batch.stored.any()) else None
    targets = objective.targets(batch.x, batch.y)
    label = objective.loss(narrowed(out, batch.head), targets)
    ce = label.mean()
    parts = {"ce": ce}
    if recipe.distill == 0 or stored is False:
        return Terms(ce * (recipe.ce + recipe.distill), parts, label.detach())
    kept = Stored(batch.z, batch.top)
    apart = objective.distance(out, targets, kept, recipe.distill_loss, recipe.temperature, batch.head)
    if stored:
        parts["distill"] = apart.mean()
        return Terms(recipe.ce * ce + recipe.distill * parts["distill"], parts, label.detach())
    parts["distill"] = torch.where(batch.stored, apart, 0.0).mean()
    weight = torch.where(batch.stored, recipe.ce, recipe.ce + recipe.distill)
    return Terms((weight * label).mean() + recipe.distill * parts["distill"], parts, label.detach())


def elastic(
    weights: Mapping[str, Tensor], reference: Mapping[str, Tensor], fisher: Mapping[str, Tensor]
) -> Tensor:
    """1/2 sum_i F_i (theta_i - theta_ref_i)^2."""
    terms = [(fisher[name] * (theta - reference[name]).square()).sum() for name, theta in weights.items()]
    return 0.5 * torch.stack(terms).sum()


class ReplayLoss:
    """What one batch of memories costs in this night.

    Args:
        memories: told whether all have logits, or none, the loss need not ask each batch.

    Attributes:
        extra: weights trained beside the model's (the linear decoders), often none.
    """

    def __init__(
        self, run: Run, recipe: SleepRecipe, reference: nn.Module | None, memories: Sequence[Records] = ()
    ) -> None:
        self.run, self.recipe = run, recipe
        self.blocks = run.adapter.blocks(run.model)
        self.denoise = recipe.reconstruct != "off" and bool(self.blocks)
        self.texts = vocabulary_of(run.model) is not None
        # what a user's own modules give in three dimensions may be channels just as well
        self.tokens = getattr(run.model, "nocturne_family", None) not in (None, "module")
        self.decoders: LinearDecoders | None = None
        if self.denoise and recipe.reconstruct == "linear-decoder":
            self.decoders = LinearDecoders(run.model, self.blocks, io_widths(run.model)[0], run.device)
        self.extra = self.decoders.weights if self.decoders else {}
        have = {records.z is not None for records in memories}
        self.stored = have.pop() if len(have) == 1 else None
        self.fisher: dict[str, Tensor] = {}
        if recipe.anchor > 0:
            kept = run.kept.items()
            self.fisher = {n.removeprefix("reference/"): t for n, t in kept if n.startswith("reference/")}
        self.weights = dict(run.model.named_parameters())
        self.reference = {n: p.detach() for n, p in reference.named_parameters()} if reference else {}

    def __call__(self, batch: Batch) -> Terms:
        run, recipe, model = self.run, self.recipe, self.run.model
        if not self.denoise:
            with passes(recipe.precision, run.device), self._noisy():
                logits = model(batch.x)
            terms = rehearsal(run.objective, logits.float(), batch, recipe, self.stored)
        else:
            with passes(recipe.precision, run.device), torch.no_grad(), recorded(self.blocks) as clean:
                model(batch.x)
            with passes(recipe.precision, run.device), self._noisy(), recorded(self.blocks) as noised:
                logits = model(batch.x)
            terms = rehearsal(run.objective, logits.float(), batch, recipe, self.stored)
            clean, noised = [h.float() for h in clean], [h.float() for h in noised]
            real = token_ids(batch.x) != PADDING if self.texts else None
            guessed = self.decoders(noised) if self.decoders else noised
            apart = consistency(clean, guessed, real, self.tokens)
            terms.parts["reconstruct"] = apart
            terms = terms._replace(loss=terms.loss + recipe.reconstruct_weight * apart)
        if self.fisher:
            pull = elastic(self.weights, self.reference, self.fisher)
            terms.parts["anchor"] = pull
            terms = terms._replace(loss=terms.loss + recipe.anchor * pull)
        return terms

    def _noisy(self) -> AbstractContextManager[None]:
        return noisy(self.blocks, self.recipe.noise, self.run.generators["noise"], self.tokens)


def zero_masks(run: Run) -> dict[str, Tensor]:
    """Where prunable weights are zero now: in mask mode they stay so."""
    return {name: weight.detach() == 0 for name, weight in run.adapter.prunable(run.model).items()}


def replay(run: Run, recipe: SleepRecipe, memories: list[Records], reference: nn.Module | None) -> None:
    """The stage: the budget, the learning rate, the loop."""
    budget = replay_budget(recipe, sum(len(records) for records in memories))
    if budget.capped and run.entry.round == 1:
        run.stream.emit(
            Decision,
            name="pass_cap",
            kept=True,
            reason=f"The budget is cut to {recipe.pass_cap:g} passes over the memories.",
            detail={"steps": budget.steps, "asked": budget.asked},
        )
    if budget.steps == 0:
        run.stream.log("info", "The budget of this replay is under one step; nothing is replayed.")
        return
    steps = run.changes.steps(budget.steps)
    if run.changes.extended > 0:
        run.stream.emit(
            Decision,
            name="extended",
            kept=True,
            reason=f"Extended by {run.changes.extended:.0%}: {steps} steps instead of {budget.steps}.",
            detail={"steps": steps, "planned": budget.steps},
        )
    loss = ReplayLoss(run, recipe, reference, memories)
    rate = learning_rate(run, recipe, memories, loss)
    clear_gradients(loss.extra)
    seed = recipe.seed + 1000 * run.entry.round
    plan = LoopPlan(
        steps=steps, lr=rate, optimizer=recipe.optimizer, momentum=recipe.momentum, clip=recipe.clip,
        noise=recipe.noise, average=recipe.average, min_gain=recipe.min_gain,
        micro=recipe.micro_batch,
    )  # fmt: skip
    masks = {n.removeprefix("mask/"): t for n, t in run.kept.items() if n.startswith("mask/")}
    sampler = Sampler(memories, recipe.batch, recipe.sampling, seed)
    Training(run, plan, sampler, loss, masks, extra=loss.extra).go()


def learning_rate(run: Run, recipe: SleepRecipe, memories: list[Records], loss: ReplayLoss) -> float:
    """The recipe's; else a share of the wake's; else found by a short range test, once a night."""
    if recipe.lr is not None:
        return recipe.lr
    if recipe.wake_lr is not None:
        return recipe.lr_share * recipe.wake_lr
    if "lr" not in run.facts:
        found, losses = find_rate(run, recipe, memories, loss)
        run.facts["lr"] = found
        run.stream.emit(
            Decision,
            name="lr",
            kept=True,
            reason=f"The wake's learning rate is not known; a short range test chose {found:g}.",
            detail={"losses": {f"{rate:g}": value for rate, value in losses.items()}},
        )
    return float(run.facts["lr"])
