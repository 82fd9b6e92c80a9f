"""Downscaling: prune what matters least, strengthen what matters most; both only as far as watch agrees.

Saliency is F theta^2 (Optimal Brain Damage, LeCun et al. 1990). Only the adapter's prunable tensors are
touched: never 1-D parameters, norms, embeddings or heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from consolidation.events import Histogram
from consolidation.phases.gate import propose
from consolidation.phases.histograms import SIGNIFICANCE_EDGES, WEIGHT_EDGES, log_histogram
from consolidation.phases.selecting import select_lowest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run


def saliencies(
    weights: Mapping[str, Tensor], fisher: Mapping[str, Tensor], how: str
) -> dict[str, Callable[[], Tensor]]:
    """{tensor: maker of its saliencies}; "obd" is F theta^2, "fisher" F alone."""

    def make(name: str) -> Callable[[], Tensor]:
        if how == "fisher":
            return lambda: fisher[name]
        return lambda: fisher[name] * weights[name].detach().square()

    return {name: make(name) for name in weights}


def prune_count(weights: Mapping[str, Tensor], share: float, cap: float) -> int:
    """How many more weights may go: `share` of all, but no more zeros than `cap` of all."""
    total = sum(weight.numel() for weight in weights.values())
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    return max(0, min(round(share * total), int(cap * total) - zeros))


def prune(weights: Mapping[str, Tensor], fisher: Mapping[str, Tensor], how: str, k: int) -> dict[str, Any]:
    """Zeroes exactly k weights that are not zero yet, the least salient ones, in place."""

    def nonzero(name: str) -> Callable[[], Tensor]:
        return lambda: weights[name].detach() != 0

    chosen = select_lowest(saliencies(weights, fisher, how), {name: nonzero(name) for name in weights}, k)
    with torch.no_grad():
        for name, mask in chosen.items():
            weights[name].masked_fill_(mask, 0.0)
    pruned = sum(int(mask.sum()) for mask in chosen.values())
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    return {"pruned": pruned, "sparsity": zeros / sum(weight.numel() for weight in weights.values())}


def strengthen(
    weights: Mapping[str, Tensor], fisher: Mapping[str, Tensor], how: str, top: float, eta: float
) -> dict[str, Any]:
    """theta *= 1 + eta for the `top` share of all weights by saliency, then each output row is scaled
    back to its old norm: what matters gains at the cost of its neighbours."""
    total = sum(weight.numel() for weight in weights.values())
    all_of = {name: (lambda name=name: torch.ones_like(weights[name], dtype=torch.bool)) for name in weights}
    rest = select_lowest(saliencies(weights, fisher, how), all_of, total - round(top * total))
    with torch.no_grad():
        for name, weight in weights.items():
            before = weight.norm(dim=1, keepdim=True)
            weight.mul_(torch.where(rest[name], 1.0, 1.0 + eta))
            after = weight.norm(dim=1, keepdim=True)
            weight.mul_(torch.where(after > 0, before / after, torch.ones_like(after)))
    return {"strengthened": round(top * total), "eta": eta}


def tell_sizes(
    run: Run, recipe: SleepRecipe, weights: Mapping[str, Tensor], fisher: Mapping[str, Tensor], when: str
) -> None:
    """Two histograms over all prunable weights: their saliency and their size."""
    makers = saliencies(weights, fisher, recipe.saliency)
    for name, edges, tensors in (
        ("significance", SIGNIFICANCE_EDGES, (make() for make in makers.values())),
        ("weights", WEIGHT_EDGES, (weight.detach() for weight in weights.values())),
    ):
        counts, zeros = log_histogram(tensors, edges)
        run.stream.emit(
            Histogram,
            name=name,
            when=when,
            round=run.entry.round,
            edges=list(edges),
            counts=counts,
            zeros=zeros,
        )


def downscaling(run: Run, recipe: SleepRecipe) -> None:
    """The stage: two proposals, each verified on its own, and what they did to the weights' sizes."""
    weights: dict[str, Tensor] = dict(run.adapter.prunable(run.model))
    fisher = {n.removeprefix("fisher/"): t for n, t in run.kept.items() if n.startswith("fisher/")}
    if not weights:
        run.stream.log("info", "This model has no weights that may be pruned or strengthened.")
        return
    tell_sizes(run, recipe, weights, fisher, "before")
    k = prune_count(weights, recipe.prune, recipe.prune_cap)
    if recipe.prune > 0 and k == 0:
        run.stream.log(
            "info", f"Nothing more is pruned: {recipe.prune_cap:.0%} of the weights are zero already."
        )
    if k > 0:
        kept = propose(run, recipe, "prune", weights, lambda: prune(weights, fisher, recipe.saliency, k))
        if kept and recipe.prune_mode == "mask":
            run.kept |= {f"mask/{name}": weight.detach() == 0 for name, weight in weights.items()}
    run.stream.within(0.5)
    run.check_stop()
    if recipe.strengthen_top > 0 and recipe.eta > 0:
        if recipe.eta > 0.05:
            run.stream.log("warning", f"eta is {recipe.eta:g}; values above 0.05 usually hurt.")

        def stronger() -> dict[str, Any]:
            return strengthen(weights, fisher, recipe.saliency, recipe.strengthen_top, recipe.eta)

        propose(run, recipe, "strengthen", weights, stronger)
    tell_sizes(run, recipe, weights, fisher, "after")
