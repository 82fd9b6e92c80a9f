"""Synaptic significance: the diagonal of the Fisher information, per sample.

F_i = E_x E_{y ~ p(y|x)} (d log p(y|x) / d theta_i)^2. For a Linear layer with input a and output gradient g
of one sample the squared gradient of its weight is (g^2)(a^2)^T, so a whole batch costs one matrix product
and no loop (Goodfellow 2015). Squaring a batch's mean gradient instead is about 1/batch too small.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.memory.sampling import Sampler, gather
from consolidation.weights import Fisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consolidation.memory.store import Records

CHUNK = 256


def estimate_fisher(
    model: nn.Module,
    sets: list[Records],
    *,
    samples: int,
    labels: str,
    generator: torch.Generator,
    device: torch.device,
    seed: int = 0,
    before_chunk: Callable[[], None] | None = None,
) -> Fisher:
    """Fisher over `samples` memories, spread evenly over the sets, each used at most once.

    Args:
        labels: "sampled" from the model's own p(y|x), "true" (empirical Fisher), or "exact" (all classes,
        weighted). before_chunk: called before each chunk (to ask for a stop).
    """
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = _choose(sets, samples, seed)
    count = sum(len(rows) for _, rows in groups)
    training = model.training
    model.eval()
    with _layers(model) as seen:
        for index, rows in groups:
            for place in range(0, len(rows), CHUNK):
                if before_chunk:
                    before_chunk()
                batch = gather(sets, [(index, rows[place : place + CHUNK])], sets[index].classes, device)
                seen.clear()
                logits = model(batch.x)
                for targets, weights in _targets(logits.detach(), batch.y, labels, generator):
                    loss = functional.cross_entropy(logits, targets, reduction="sum")
                    outputs = [output for _, _, output in seen]
                    gradients = torch.autograd.grad(loss, outputs, retain_graph=True)
                    for (layer, a, _), g in zip(seen, gradients, strict=True):
                        _add(total, names, layer, a.detach(), g, weights)
    model.train(training)
    return Fisher({name: tensor / count for name, tensor in total.items()}, count, labels)


def _choose(sets: list[Records], samples: int, seed: int) -> list[tuple[int, Any]]:
    """Rows of each set: an even share, what small sets cannot give going to the others."""
    left, quota = min(samples, sum(len(s) for s in sets)), [0] * len(sets)
    while left > 0:
        open_ones = [i for i, s in enumerate(sets) if quota[i] < len(s)]
        share = max(1, left // len(open_ones))
        for i in open_ones:
            more = min(share, len(sets[i]) - quota[i], left)
            quota[i], left = quota[i] + more, left - more
    walks = Sampler(sets, 1, seed=seed + 1).walks
    return [(i, walks[i].take(n)) for i, n in enumerate(quota) if n]


def _targets(
    logits: Tensor, truth: Tensor, labels: str, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """(labels [n], weight of each [n] or None) pairs whose squared gradients are added up."""
    if labels == "true":
        yield truth, None
        return
    p = functional.softmax(logits, 1)
    if labels == "sampled":
        yield torch.multinomial(p, 1, generator=generator).squeeze(1), None
        return
    for label in range(logits.shape[1]):
        yield torch.full_like(truth, label), p[:, label]


@contextmanager
def _layers(model: nn.Module) -> Iterator[list[tuple[nn.Linear, Tensor, Tensor]]]:
    """Inside, each pass through a Linear layer is noted as (layer, input, output).

    Raises TypeError for a model with parameters outside Linear layers: their squares would be missing.
    """
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    covered = {id(p) for layer in linear for p in layer.parameters()}
    if any(id(p) not in covered for p in model.parameters()):
        raise TypeError("the per-sample Fisher is implemented for models made of Linear layers")
    seen: list[tuple[nn.Linear, Tensor, Tensor]] = []

    def hook(module: nn.Module, args: Any, output: Tensor) -> None:
        if any(layer is module for layer, _, _ in seen):
            raise TypeError("a layer used twice in one pass has no per-sample square of this form")
        seen.append((cast("nn.Linear", module), args[0], output))

    handles = [layer.register_forward_hook(hook) for layer in linear]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _add(
    total: dict[str, Tensor],
    names: dict[int, str],
    layer: nn.Linear,
    a: Tensor,
    g: Tensor,
    weights: Tensor | None,
) -> None:
    squares = g.square() if weights is None else g.square() * weights[:, None]
    total[names[id(layer.weight)]] += squares.T @ a.square()
    if layer.bias is not None:
        total[names[id(layer.bias)]] += squares.sum(0)
