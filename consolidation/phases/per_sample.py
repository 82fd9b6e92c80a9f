"""Which parameters the rules of `squares` are right for, and the plain way for the others.

Plain: the gradient of each sample by itself, through `torch.func.vmap(grad)` where the model allows it and
sample after sample where not. It is right for whatever autograd can do: weights used twice, parameters
outside any layer, layers that no rule knows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from consolidation.objectives.objective import Objective, narrowed
from consolidation.phases.squares import rule_of, tied

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from consolidation.memory.sampling import Batch

GRADIENTS = 2**24  # numbers of per-sample gradients held at once
ACTIVATIONS = 2**25  # numbers of layer outputs held at once
CHUNK = 256
LOOKED_AT = 2**14
ROUNDING = 1e-11  # of the largest square of all: below it a square says nothing


class Pass(NamedTuple):
    """One layer's part in a forward pass."""

    layer: nn.Module
    a: Tensor
    output: Tensor


@contextmanager
def recorded_layers(layers: list[nn.Module]) -> Iterator[list[Pass]]:
    """Inside, each pass through one of the layers is noted.

    The net goes on with a copy of the output, so that nothing done to it in place reaches what is noted.
    """
    seen: list[Pass] = []

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        if not args or not isinstance(args[0], Tensor) or not isinstance(output, Tensor):
            return None
        seen.append(Pass(module, args[0].detach(), output))
        return output.clone()

    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def squares_by_rules(
    seen: list[Pass], loss: Tensor, weights: Tensor | None, samples: int
) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """(parameter, sum_n w_n squares) of every noted layer, one tensor at a time.

    Only of parameters that the layer has: a norm may be without, a parametrised weight comes of others.
    """
    yield from _by_gradients(seen, _output_gradients(seen, loss), weights, samples)


def _output_gradients(seen: list[Pass], loss: Tensor) -> dict[int, Tensor | None]:
    """{id of an output: its gradient}, in one backward pass."""
    outputs = [one.output for one in seen if one.output.requires_grad]
    gradients = torch.autograd.grad(loss, outputs, retain_graph=True, allow_unused=True) if outputs else ()
    return {id(output): g for output, g in zip(outputs, gradients, strict=True)}


def _by_gradients(
    seen: list[Pass], found: Mapping[int, Tensor | None], weights: Tensor | None, samples: int
) -> Iterator[tuple[nn.Parameter, Tensor]]:
    def gradient(one: Pass) -> Tensor | None:
        g = found.get(id(one.output))
        if g is None or weights is None:
            return g
        # a square of sqrt(w) g is w g^2
        return (g.reshape(samples, -1) * weights.sqrt()[:, None]).reshape(g.shape)

    ties = _ties(seen)
    for one in seen:
        g, squares, words = gradient(one), rule_of(one.layer), ties.get(id(one.layer))
        if words is one or g is None or squares is None:
            continue
        if words is None:
            told = squares(one.layer, one.a, g, samples)
        elif (scattered := gradient(words)) is not None:
            told = tied(words.layer, words.a, scattered, one.layer, one.a, g, samples)
        else:
            continue
        for name, tensor in told.items():
            parameter = one.layer._parameters.get(name)
            if parameter is not None:
                yield parameter, tensor


def _ties(seen: list[Pass]) -> dict[int, Pass]:
    """{layer: the embedding's pass} of each embedding and Linear layer that are one matrix."""
    words = {id(one.layer.weight): one for one in seen if isinstance(one.layer, nn.Embedding)}
    heads = [one.layer for one in seen if isinstance(one.layer, nn.Linear) and id(one.layer.weight) in words]
    found = {id(head): words[id(head.weight)] for head in heads}
    return found | {id(one.layer): one for one in found.values()}


def add_plainly(
    model: nn.Module,
    total: Mapping[str, Tensor],
    batch: Batch,
    targets: Tensor,
    weights: Tensor | None,
    objective: Objective,
) -> None:
    """Adds sum_n w_n (d loss_n / d theta)^2 to `total` {parameter: tensor}, whatever the model does."""
    own = {name: p.detach() for name, p in model.named_parameters()}
    some = {name: own[name] for name in total}
    rest = {name: p for name, p in own.items() if name not in total} | dict(model.named_buffers())

    x, heads = batch.x, batch.head
    if heads is None:  # vmap wants a tensor
        heads = torch.zeros(len(x), 0, device=x.device)

    def loss(chosen: dict[str, Tensor], one: Tensor, target: Tensor, head: Tensor) -> Tensor:
        out = functional_call(model, {**rest, **chosen}, (one[None],))
        out = narrowed(out, head[None] if head.numel() else None)
        return objective.nll(out, target[None])[0]

    factors = torch.ones(len(x), device=x.device) if weights is None else weights
    step = max(1, min(CHUNK, GRADIENTS // max(1, sum(p.numel() for p in some.values()))))
    for place in range(0, len(x), step):
        part = slice(place, place + step)
        try:
            found = vmap(grad(loss), in_dims=(None, 0, 0, 0))(some, x[part], targets[part], heads[part])
        except (RuntimeError, NotImplementedError):  # control flow by values, or an operator vmap cannot do
            rows = zip(x[part], targets[part], heads[part], strict=True)
            each = [grad(loss)(some, *one) for one in rows]
            found = {name: torch.stack([one[name] for one in each]) for name in some}
        for name, gradient in found.items():
            total[name] += torch.tensordot(factors[part], gradient.float().square(), 1)


class Ways(NamedTuple):
    """How a model's squares are found: `layers` by their rules, `plain` parameters one sample at a time;
    `chunk` samples a pass."""

    layers: list[nn.Module]
    plain: list[str]
    chunk: int


def choose_ways(model: nn.Module, few: Batch, objective: Objective) -> Ways:
    """Tries the rules on these few samples, and believes them only where plain autograd agrees.

    Up to LOOKED_AT squares of each parameter are compared, so that extra memory is one sample's gradient.
    """
    targets = objective.targets(few.x, few.y)
    believed, found, width = _try_rules(model, few, targets, objective)
    expected = _by_loop(model, few, targets, objective)
    # Gradients that are zero but for rounding (a key's bias in attention) differ in every order of sums.
    rounding = ROUNDING * max(
        (float(squares.max()) for squares in expected.values() if len(squares)), default=0
    )
    right = {name for name, squares in found.items() if _agree(squares, expected[name], rounding)}
    chunk = max(1, min(CHUNK, ACTIVATIONS // max(1, width)))
    return Ways(believed, [name for name in expected if name not in right], chunk)


def _try_rules(
    model: nn.Module, few: Batch, targets: Tensor, objective: Objective
) -> tuple[list[nn.Module], dict[str, Tensor], int]:
    """Layers whose rules give anything, some of the squares that they give, and numbers of outputs a sample.

    What the pass has kept ends with it: a large model's outputs need not lie beside a sample's gradient.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    with recorded_layers([layer for layer in model.modules() if rule_of(layer)]) as seen:
        loss = objective.nll(narrowed(model(few.x), few.head), targets).sum()
    believed: list[nn.Module] = []
    found: dict[str, Tensor] = {}
    ties, gradients = _ties(seen), _output_gradients(seen, loss)
    for one in seen:
        if not any(weight is not None for weight in one.layer._parameters.values()):
            continue  # the frozen base of an adapter: nothing asks for its squares
        words = ties.get(id(one.layer))
        together = [one] if words is None else [words, one]
        if words is one or _used_elsewhere(model, [each.layer for each in together], seen):
            continue
        try:
            told = _by_gradients(together, gradients, None, len(targets))
            mine = {names[id(p)]: _some(squares) for p, squares in told}
        except (RuntimeError, ValueError, IndexError, AttributeError):  # the rule of another class
            continue
        found |= mine
        believed += [each.layer for each in together]
    return believed, found, sum(one.output.numel() for one in seen) // len(targets)


def _used_elsewhere(model: nn.Module, layers: list[nn.Module], seen: list[Pass]) -> bool:
    """Whether one pass through each is not all that is done with these layers and their parameters."""
    own = {id(p) for layer in layers for p in layer._parameters.values() if p is not None}
    known = {id(layer) for layer in layers}
    others = [module for module in model.modules() if id(module) not in known]
    shared = any(id(p) in own for other in others for p in other._parameters.values())
    return shared or sum(id(one.layer) in known for one in seen) > len(layers)


def _by_loop(model: nn.Module, few: Batch, targets: Tensor, objective: Objective) -> dict[str, Tensor]:
    wanted = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(_some(p)) for name, p in model.named_parameters()}
    for row in range(len(targets)):
        one = few.part(slice(row, row + 1))
        value = objective.nll(narrowed(model(one.x), one.head), targets[row : row + 1]).sum()
        gradients = torch.autograd.grad(value, list(wanted.values()), allow_unused=True)
        for name, gradient in zip(wanted, gradients, strict=True):
            if gradient is not None:
                total[name] += _some(gradient).square()
    return total


def _some(values: Tensor) -> Tensor:
    """At most LOOKED_AT entries, spread over the whole tensor."""
    flat = values.detach().reshape(-1)
    return flat[:: max(1, -(-flat.numel() // LOOKED_AT))].float()


def _agree(found: Tensor, expected: Tensor, rounding: float) -> bool:
    if not found.numel():
        return True
    if not bool(torch.isfinite(expected).all()):
        return False
    return torch.allclose(found, expected, rtol=1e-3, atol=max(1e-4 * float(expected.max()), rounding))
