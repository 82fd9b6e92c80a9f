"""Downscaling: prune what matters least, strengthen what matters most; both only as far as watch agrees.

Saliency is F theta^2 (Optimal Brain Damage, LeCun et al. 1990). Only the adapter's prunable tensors are
touched: never 1-D parameters, norms, embeddings or heads, and nothing that is frozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from consolidation.events import Histogram
from consolidation.phases.gate import propose
from consolidation.phases.histograms import SIGNIFICANCE_EDGES, WEIGHT_EDGES, log_histogram
from consolidation.phases.selecting import BLOCK, Chooser, find_cut, keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from consolidation.recipe import SleepRecipe
    from consolidation.run import Run


def rows(
    weights: Mapping[str, Tensor], fisher: Mapping[str, Tensor], how: str, outputs: Mapping[str, int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """(weights, saliencies) of a few outputs at a time, the outputs in the first place; the weights are views
    to work in, the saliencies F theta^2 ("obd") or F alone ("fisher").

    Args:
        outputs: the dimension that counts the outputs of a tensor; 0 where it is not named.
    """
    for name, weight in weights.items():
        axis = outputs.get(name, 0)
        theta, f = weight.detach().movedim(axis, 0), fisher[name].movedim(axis, 0)
        at_once = max(1, BLOCK * len(theta) // max(1, theta.numel()))
        for start in range(0, len(theta), at_once):
            part, size = theta[start : start + at_once], f[start : start + at_once]
            yield part, (size.clone() if how == "fisher" else size * part.square())


def prune_count(weights: Mapping[str, Tensor], share: float, cap: float) -> int:
    """How many more weights may go: `share` of all, but no more zeros than `cap` of all."""
    total = sum(weight.numel() for weight in weights.values())
    return max(0, min(round(share * total), int(cap * total) - zero_count(weights)))


def zero_count(weights: Mapping[str, Tensor]) -> int:
    """How many weights are exactly zero."""
    return sum(weight.numel() - int(torch.count_nonzero(weight.detach())) for weight in weights.values())


def prune(
    weights: Mapping[str, Tensor],
    fisher: Mapping[str, Tensor],
    how: str,
    k: int,
    outputs: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Zeroes exactly k weights that are not zero yet, the least salient ones, in place; O(n).

    Args:
        weights, fisher: of the same shapes, float32.
        outputs: see `rows`; it only decides between equal saliencies here.

    Returns:
        {"pruned", "sparsity"}.
    """
    axes = outputs or {}
    cut = find_cut(lambda: (keys(s, w != 0) for w, s in rows(weights, fisher, how, axes)), k)
    choose, before = Chooser(cut), zero_count(weights)
    for weight, saliency in rows(weights, fisher, how, axes):
        weight.masked_fill_(choose(keys(saliency, weight != 0)), 0.0)
    zeros = zero_count(weights)
    return {"pruned": zeros - before, "sparsity": zeros / sum(weight.numel() for weight in weights.values())}


def strengthen(
    weights: Mapping[str, Tensor],
    fisher: Mapping[str, Tensor],
    how: str,
    top: float,
    eta: float,
    outputs: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """theta *= 1 + eta for the `top` share of all weights by saliency, then each output's weights are scaled
    back to their old norm: what matters gains at the cost of its neighbours. In place, O(n).

    Args:
        weights, fisher: of the same shapes, float32.
        outputs: see `rows`.

    Returns:
        {"strengthened", "eta"}.
    """
    axes = outputs or {}
    total = sum(weight.numel() for weight in weights.values())
    cut = find_cut(lambda: (keys(s) for _, s in rows(weights, fisher, how, axes)), total - round(top * total))
    choose = Chooser(cut)
    for weight, saliency in rows(weights, fisher, how, axes):
        inputs = tuple(range(1, weight.dim()))
        before = torch.linalg.vector_norm(weight, dim=inputs, keepdim=True)
        rest = choose(keys(saliency))
        weight.mul_(saliency.fill_(1.0 + eta).masked_fill_(rest, 1.0))
        after = torch.linalg.vector_norm(weight, dim=inputs, keepdim=True)
        weight.mul_(torch.where(after > 0, before / after, 1.0))
    return {"strengthened": round(top * total), "eta": eta}


def tell_sizes(
    run: Run, recipe: SleepRecipe, weights: Mapping[str, Tensor], fisher: Mapping[str, Tensor], when: str
) -> None:
    """Two histograms over all prunable weights: their saliency and their size."""
    for name, edges, tensors in (
        ("significance", SIGNIFICANCE_EDGES, (s for _, s in rows(weights, fisher, recipe.saliency, {}))),
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


def output_dims(run: Run, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """{tensor: the dimension that counts its outputs}: 0, unless the family says otherwise (GPT-2's Conv1D
    stores [inputs, outputs])."""
    ask = getattr(run.adapter, "output_dim", None)
    return {name: int(ask(name)) if ask else 0 for name in weights}


def downscaling(run: Run, recipe: SleepRecipe) -> None:
    """The stage: two proposals, each verified on its own, and what they did to the weights' sizes."""
    prunable = run.adapter.prunable(run.model)
    weights: dict[str, Tensor] = {name: weight for name, weight in prunable.items() if weight.requires_grad}
    fisher = {n.removeprefix("fisher/"): t for n, t in run.kept.items() if n.startswith("fisher/")}
    outputs = output_dims(run, weights)
    if not weights:
        run.stream.log("info", "This model has no weights that may be pruned or strengthened.")
        return
    tell_sizes(run, recipe, weights, fisher, "before")
    caution: str = getattr(run.adapter, "caution", "")
    if caution and run.entry.round == 1:
        run.stream.log("warning", caution)
    k = prune_count(weights, recipe.prune, recipe.prune_cap)
    if recipe.prune > 0 and k == 0:
        run.stream.log(
            "info", f"Nothing more is pruned: {recipe.prune_cap:.0%} of the weights are zero already."
        )
    if k > 0:

        def fewer() -> dict[str, Any]:
            return prune(weights, fisher, recipe.saliency, k, outputs)

        kept = propose(run, recipe, "prune", weights, fewer)
        if kept and recipe.prune_mode == "mask":
            run.kept |= {f"mask/{name}": weight.detach() == 0 for name, weight in weights.items()}
    run.stream.within(0.5)
    run.check_stop()
    if recipe.strengthen_top > 0 and recipe.eta > 0:
        if recipe.eta > 0.05:
            run.stream.log("warning", f"eta is {recipe.eta:g}; values above 0.05 usually hurt.")

        def stronger() -> dict[str, Any]:
            return strengthen(weights, fisher, recipe.saliency, recipe.strengthen_top, recipe.eta, outputs)

        propose(run, recipe, "strengthen", weights, stronger)
    tell_sizes(run, recipe, weights, fisher, "after")
