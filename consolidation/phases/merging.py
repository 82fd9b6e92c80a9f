"""Merging with the model before waking, weight by weight, by how much each of the two needs it.

theta = (m F_ref theta_ref + F_new theta_new) / (m F_ref + F_new)   (Matena & Raffel 2022, with one factor m)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from consolidation.events import Decision
from consolidation.families.registry import is_counter
from consolidation.memory.sampling import Sampler
from consolidation.phases.significance import estimate_fisher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run


FEW = 100  # memories a task
CALIBRATION_BATCH, CALIBRATION_BATCHES = 64, 8


def merge_weights(
    weights: Mapping[str, Tensor],
    reference: Mapping[str, Tensor],
    f_new: Mapping[str, Tensor],
    f_ref: Mapping[str, Tensor],
    m: float,
) -> None:
    """In place on `weights`, tensor by tensor. Where neither Fisher sees a weight it stays as it is."""
    with torch.no_grad():
        for name, theta in weights.items():
            old, new = m * f_ref[name], f_new[name]
            # as a share: the products of tiny Fishers and weights would lose their digits
            share = torch.nan_to_num(old / (old + new), nan=0.0)
            theta.add_(share * (reference[name] - theta))


def merge_weight(recipe: SleepRecipe, old: list[Records]) -> float:
    """The recipe's m; else .3 where the old tasks have few memories to be rehearsed by, else .15."""
    if recipe.merge is not None:
        return recipe.merge
    few = sum(len(records) for records in old) < FEW * len({records.task for records in old})
    return 0.3 if few else 0.15


def recalibrate(model: nn.Module, memories: list[Records], outputs: int, device: torch.device) -> None:
    """The running statistics of BatchNorm, taken anew from the memories, when a model has any.

    Those of the awake model belong to other weights (as with averaged weights: Izmailov et al. 2018).
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    counters = {name: tensor.clone() for name, tensor in model.named_buffers() if is_counter(name)}
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
        norm.train()
    sampler = Sampler(memories, CALIBRATION_BATCH, seed=0)
    try:
        with torch.no_grad():
            for _ in range(CALIBRATION_BATCHES):
                model(sampler.next(outputs, device).x)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
        for name, tensor in model.named_buffers():
            if name in counters:
                tensor.copy_(counters[name])


def merging(
    run: Run,
    recipe: SleepRecipe,
    memories: list[Records],
    newest: str,
    reference: nn.Module,
    reference_fisher: Mapping[str, Tensor] | None,
) -> None:
    """The stage. F_new comes from the newest task's memories with the awake model; F_ref is given, or comes
    from the older tasks' memories with the reference. With an anchor it is kept for the replay. Weights that
    are frozen (`requires_grad` false) stay as they are.
    """
    new = [records for records in memories if records.task == newest]
    old = [records for records in memories if records.task != newest]
    known = bool(old) or reference_fisher is not None
    if not known:
        anchored = " and nothing to hold weights to" if recipe.anchor > 0 else ""
        _decide(run, False, f"Nothing to merge by{anchored}: there are no memories of older tasks.")
    elif not new:
        _decide(run, False, "Nothing to merge by: there are no memories of the newest task.")
    if not known or (not new and recipe.anchor == 0):
        return

    def fisher(model: nn.Module, sets: list[Records]) -> Mapping[str, Tensor]:
        return estimate_fisher(
            model, sets, samples=recipe.fisher_samples, labels=recipe.fisher_labels, device=run.device,
            generator=run.generators["labels"], seed=recipe.seed, before_chunk=run.check_stop,
        ).tensors  # fmt: skip

    f_ref = reference_fisher if reference_fisher is not None else fisher(reference, old)
    if recipe.anchor > 0:
        run.kept |= {f"reference/{name}": tensor for name, tensor in f_ref.items()}
    if recipe.merge == 0 or not new:
        return
    m = merge_weight(recipe, old)
    f_new = fisher(run.model, new)
    run.stream.within(0.7)
    told = not run.probes.borrowed  # nothing is decided here, so memories need not be asked
    before = run.probe_watch("during") if told else {}
    learning = {name: weight for name, weight in run.model.named_parameters() if weight.requires_grad}
    merge_weights(learning, dict(reference.named_parameters()), f_new, f_ref, m)
    recalibrate(run.model, memories, run.outputs, run.device)
    after = run.probe_watch("during") if told else {}
    detail = {"m": m, "before": before, "after": after}
    _decide(run, True, f"Merged with the model before waking, its weight {m:g}.", detail)


def _decide(run: Run, kept: bool, reason: str, detail: dict[str, object] | None = None) -> None:
    run.stream.emit(Decision, name="merge", kept=kept, reason=reason, detail=detail or {})
