"""Merging with the model before waking, weight by weight, by how much each of the two needs it.

theta = (m F_ref theta_ref + F_new theta_new) / (m F_ref + F_new)   (Matena & Raffel 2022, with one factor m)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from consolidation.events import Decision
from consolidation.phases.significance import estimate_fisher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run


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
            total = old + new
            merged = (old * reference[name] + new * theta) / total
            theta.copy_(torch.where(total > 0, merged, theta))


def merging(
    run: Run,
    recipe: SleepRecipe,
    memories: list[Records],
    newest: str,
    reference: nn.Module,
    reference_fisher: Mapping[str, Tensor] | None,
) -> None:
    """The stage. F_new comes from the newest task's memories with the awake model; F_ref is given, or comes
    from the older tasks' memories with the reference. With an anchor it is kept for the replay.
    """
    new = [records for records in memories if records.task == newest]
    old = [records for records in memories if records.task != newest]
    if not new or not (old or reference_fisher):
        why = "no memories of the newest task" if not new else "no memories of older tasks"
        _decide(run, False, f"Nothing to merge by: there are {why}.")
        return

    def fisher(model: nn.Module, sets: list[Records]) -> Mapping[str, Tensor]:
        return estimate_fisher(
            model, sets, samples=recipe.fisher_samples, labels=recipe.fisher_labels, device=run.device,
            generator=run.generators["labels"], seed=recipe.seed, before_chunk=run.check_stop,
        ).tensors  # fmt: skip

    f_ref = reference_fisher if reference_fisher is not None else fisher(reference, old)
    if recipe.anchor > 0:
        run.kept |= {f"reference/{name}": tensor for name, tensor in f_ref.items()}
    if recipe.merge == 0:
        return
    f_new = fisher(run.model, new)
    run.stream.within(0.7)
    told = not run.probes.borrowed  # nothing is decided here, so memories need not be asked
    before = run.probe_watch("during") if told else {}
    merge_weights(
        dict(run.model.named_parameters()), dict(reference.named_parameters()), f_new, f_ref, recipe.merge
    )
    after = run.probe_watch("during") if told else {}
    detail = {"m": recipe.merge, "before": before, "after": after}
    _decide(run, True, f"Merged with the model before waking, its weight {recipe.merge:g}.", detail)


def _decide(run: Run, kept: bool, reason: str, detail: dict[str, object] | None = None) -> None:
    run.stream.emit(Decision, name="merge", kept=kept, reason=reason, detail=detail or {})
