"""NREM replay: noisy rehearsal of memories, held to the logits that were stored when they were made.

L = ce CE(f(x; noise), y) + distill D(f(x; noise), z) + reconstruct sum_l |h_l(clean) - h_l(noisy)|^2 /
|h_l(clean)|^2
    + anchor 1/2 sum_i F_i (theta_i - theta_ref_i)^2
(dark experience replay: Buzzega et al. 2020; elastic weights: Kirkpatrick et al. 2017, Schwarz et al. 2018.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from consolidation.estimate import replay_budget
from consolidation.events import Decision
from consolidation.memory.sampling import Batch, Sampler
from consolidation.objectives.classification import cross_entropy, distillation
from consolidation.phases.noise import noisy, recorded
from consolidation.phases.range_test import find_rate
from consolidation.phases.training import LoopPlan, Terms, Training

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run


def rehearsal(logits: Tensor, batch: Batch, recipe: SleepRecipe) -> Terms:
    """The label and logit terms, means over the batch. One without logits puts both weights on its label."""
    n = len(batch.y)
    label = cross_entropy(logits, batch.y)
    parts = {"ce": label.mean()}
    weight = torch.where(batch.stored, recipe.ce, recipe.ce + recipe.distill)
    loss = (weight * label).mean()
    if recipe.distill > 0 and bool(batch.stored.any()):
        kept = batch.stored
        apart = distillation(logits[kept], batch.z[kept], recipe.distill_loss, recipe.temperature)
        parts["distill"] = apart.sum() / n
        loss = loss + recipe.distill * parts["distill"]
    return Terms(loss, parts)


def consistency(clean: list[Tensor], noised: list[Tensor]) -> Tensor:
    """sum over blocks of the batch mean of |clean - noised|^2 / |clean|^2."""
    terms = [
        ((a - b).flatten(1).square().sum(1) / a.flatten(1).square().sum(1).clamp_min(1e-12)).mean()
        for a, b in zip(clean, noised, strict=True)
    ]
    return torch.stack(terms).sum()


def elastic(
    weights: Mapping[str, Tensor], reference: Mapping[str, Tensor], fisher: Mapping[str, Tensor]
) -> Tensor:
    """1/2 sum_i F_i (theta_i - theta_ref_i)^2."""
    terms = [(fisher[name] * (theta - reference[name]).square()).sum() for name, theta in weights.items()]
    return 0.5 * torch.stack(terms).sum()


class ReplayLoss:
    """What one batch of memories costs in this night."""

    def __init__(self, run: Run, recipe: SleepRecipe, reference: nn.Module | None) -> None:
        self.run, self.recipe = run, recipe
        self.blocks = run.adapter.blocks(run.model)
        self.fisher = {
            n.removeprefix("reference/"): t for n, t in run.kept.items() if n.startswith("reference/")
        }
        self.reference = {n: p.detach() for n, p in reference.named_parameters()} if reference else {}

    def __call__(self, batch: Batch) -> Terms:
        run, recipe, model = self.run, self.recipe, self.run.model
        denoise = recipe.reconstruct == "consistency" and self.blocks
        clean: list[Tensor] = []
        if denoise:
            with torch.no_grad(), recorded(self.blocks) as clean:
                model(batch.x)
        with noisy(self.blocks, recipe.noise, run.generators["noise"]), recorded(self.blocks) as noised:
            terms = rehearsal(model(batch.x), batch, recipe)
        loss, parts = terms.loss, dict(terms.parts)
        if denoise:
            parts["reconstruct"] = consistency(clean, noised)
            loss = loss + recipe.reconstruct_weight * parts["reconstruct"]
        if recipe.anchor > 0 and self.fisher:
            parts["anchor"] = elastic(dict(model.named_parameters()), self.reference, self.fisher)
            loss = loss + recipe.anchor * parts["anchor"]
        return Terms(loss, parts)


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
    loss = ReplayLoss(run, recipe, reference)
    rate = learning_rate(run, recipe, memories, loss)
    seed = recipe.seed + 1000 * run.entry.round
    plan = LoopPlan(
        steps=budget.steps, lr=rate, optimizer=recipe.optimizer, momentum=recipe.momentum, clip=recipe.clip,
        noise=recipe.noise, average=recipe.average, min_gain=recipe.min_gain,
    )  # fmt: skip
    masks = {n.removeprefix("mask/"): t for n, t in run.kept.items() if n.startswith("mask/")}
    Training(run, plan, Sampler(memories, recipe.batch, recipe.sampling, seed), loss, masks).go()


def learning_rate(run: Run, recipe: SleepRecipe, memories: list[Records], loss: ReplayLoss) -> float:
    """The recipe's; else half of the wake's; else found by a short range test, once a night."""
    if recipe.lr is not None:
        return recipe.lr
    if recipe.wake_lr is not None:
        return recipe.wake_lr / 2
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
