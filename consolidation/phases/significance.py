"""Synaptic significance: the diagonal of the Fisher information, per sample.

F_i = E_x E_{y ~ p(y|x)} (d log p(y|x) / d theta_i)^2 (Kirkpatrick et al. 2017; sampled and true labels:
Kunstner et al. 2019). Squares are formed sample by sample, in eval mode, in float32; squaring a batch's mean
gradient instead is about 1/batch too small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.errors import NocturneInputError
from consolidation.fit import vocabulary_of
from consolidation.memory.order import Walk
from consolidation.memory.sampling import Batch, gather
from consolidation.memory.store import Records
from consolidation.objectives import objective_of
from consolidation.objectives.objective import Objective, narrowed
from consolidation.phases.per_sample import add_plainly, choose_ways, recorded_layers, squares_by_rules
from consolidation.recipe import check_labels
from consolidation.token_fit import by_length
from consolidation.weights import Fisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRIED = 2  # samples on which the rules are compared with plain autograd


def estimate_fisher(
    model: nn.Module,
    sets: Records | list[Records],
    *,
    samples: int,
    labels: str,
    generator: torch.Generator,
    device: torch.device,
    seed: int = 0,
    before_chunk: Callable[[], None] | None = None,
) -> Fisher:
    """Fisher over `samples` records, spread evenly over the sets, each used at most once.

    Any model of any family: see `squares` and `per_sample`. O(n) in the parameters; extra memory is one
    chunk's activations, and at most `per_sample.GRADIENTS` gradients or one sample's. Parameters that are
    frozen (`requires_grad` false, as a reference's often are) have their significance like all others.

    Args:
        sets: memories, one set or several, or the awake data before it is discarded.
        labels: "sampled" from the model's own p(y|x), "true" (empirical Fisher), or "exact" (all classes,
            weighted; classification only).
        generator: of the sampled labels.
        seed: of the choice of records.
        before_chunk: called before each chunk (to ask for a stop).

    Raises:
        NocturneInputError: `fisher.non_finite`, when the model's answers or their gradients overflow;
            `fisher.exact_labels`.
    """
    sets = [sets] if isinstance(sets, Records) else sets
    groups = _choose(sets, samples, seed)
    count = sum(len(rows) for _, rows in groups)
    training = model.training
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    model.eval()
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        tensors = _squares(model, sets, groups, labels, generator, device, before_chunk)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        model.train(training)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise _overflow("the squares of the gradients are")
    return Fisher({name: tensor.div_(count) for name, tensor in tensors.items()}, count, labels)


def _overflow(what: str) -> NocturneInputError:
    return NocturneInputError(
        "fisher.non_finite",
        f"The significance of the weights cannot be told: {what} beyond the largest number, because the "
        "weights themselves are very large. Take an earlier checkpoint.",
    )


def _squares(
    model: nn.Module,
    sets: list[Records],
    groups: list[tuple[int, Any]],
    labels: str,
    generator: torch.Generator,
    device: torch.device,
    before_chunk: Callable[[], None] | None,
) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    total = {name: torch.zeros(p.shape, device=p.device) for name, p in parameters.items()}
    if vocabulary_of(model) is not None:
        groups = _longest_first(sets, groups)
    objective, outputs = objective_of(model), max(one.classes for one in sets)
    check_labels(labels, objective.name)
    first, rows = groups[0]
    few = gather(sets, [(first, rows[:TRIED])], outputs, device)
    ways = choose_ways(model, few, objective)
    plain = {name: total[name] for name in ways.plain}
    by_rules = {id(p): total[name] for name, p in parameters.items() if name not in plain}
    for index, rows in groups:
        for place in range(0, len(rows), ways.chunk):
            if before_chunk:
                before_chunk()
            batch = gather(sets, [(index, rows[place : place + ways.chunk])], outputs, device)
            with recorded_layers(ways.layers) as seen:
                out = narrowed(model(batch.x), batch.head)
            if not bool(torch.isfinite(out).all()):
                raise _overflow("the answers are")
            for targets, weights in _targets(objective, out.detach(), batch, labels, generator):
                loss = objective.nll(out, targets).sum()
                for parameter, squares in squares_by_rules(seen, loss, weights, len(targets)):
                    if id(parameter) in by_rules:
                        by_rules[id(parameter)] += squares
                if plain:
                    add_plainly(model, plain, batch, targets, weights, objective)
            del seen, out, loss  # or they would lie beside those of the next chunk
    return total


def _choose(sets: list[Records], samples: int, seed: int) -> list[tuple[int, Any]]:
    """Rows of each set: an even share, what small sets cannot give going to the others."""
    left, quota = min(samples, sum(len(s) for s in sets)), [0] * len(sets)
    while left > 0:
        open_ones = [i for i, s in enumerate(sets) if quota[i] < len(s)]
        share = max(1, left // len(open_ones))
        for i in open_ones:
            more = min(share, len(sets[i]) - quota[i], left)
            quota[i], left = quota[i] + more, left - more
    return [(i, Walk(len(sets[i]), seed + 1, i).take(n)) for i, n in enumerate(quota) if n]


def _longest_first(sets: list[Records], groups: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Texts by their length: what is measured on the first of them is enough for all the others."""
    ordered = [(i, *by_length(sets[i], rows)) for i, rows in groups]
    return [(i, rows) for i, rows, _ in sorted(ordered, key=lambda one: -one[2])]


def _targets(
    objective: Objective, out: Tensor, batch: Batch, labels: str, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """(targets [n, *S], weight of each record [n] or None) pairs whose squared gradients are added up."""
    truth = objective.targets(batch.x, batch.y)
    if labels == "true":
        yield truth, None
        return
    if labels == "sampled":
        yield objective.sampled(out, truth, generator), None
        return
    p = functional.softmax(out, 1)
    for label in range(out.shape[1]):
        yield torch.full_like(truth, label), p[:, label]
