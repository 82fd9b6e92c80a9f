"""Sums of squared per-sample gradients, layer by layer, from a layer's input and its output's gradient.

For a Linear layer with one position a sample the square of g a^T is (g^2)(a^2)^T, so a batch costs one matrix
product (Goodfellow 2015, arXiv 1510.01799). With several positions the gradient is their sum, which has to be
formed before it is squared; a convolution is that over its unfolded windows. Extra memory is bounded by PIECE
and WINDOWS, or one sample's windows of one layer.

A new kind of layer is one function with `@rule(Layer)`; a layer of a library that may not be installed is
known by the name of its class. A rule that does not fit a subclass, or another class of that name, does no
harm: `significance` compares every rule with plain autograd on a few samples before it believes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 2**18  # numbers of per-sample gradients held at once: they stay in a core's cache
WINDOWS = 2**20  # numbers of unfolded input held at once

Rule: TypeAlias = "Callable[[Any, Tensor, Tensor, int], dict[str, Tensor]]"
_RULES: dict[type[nn.Module] | str, Rule] = {}


def rule(*kinds: type[nn.Module] | str) -> Callable[[Rule], Rule]:
    """Registers f(layer, input, output gradient, samples) -> {parameter's own name: sum of squares}.

    Args:
        kinds: classes of layers, or their names.
    """

    def add(made: Rule) -> Rule:
        for kind in kinds:
            _RULES[kind] = made
        return made

    return add


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule of the layer's class or of the nearest class above it."""
    kinds = (key for kind in type(layer).__mro__ for key in (kind, kind.__name__))
    return next((_RULES[key] for key in kinds if key in _RULES), None)


def outer_squares(g: Tensor, a: Tensor) -> Tensor:
    """sum_n (g_n a_n^T)^2 with g [n, O, L] and a [n, I, L]: the [O, I] sum over samples, in pieces."""
    n, o, length = g.shape
    i = a.shape[1]
    if length == 1:
        return g[:, :, 0].square().T @ a[:, :, 0].square()
    total = g.new_zeros(o, i)
    if o * i <= PIECE:
        step = PIECE // (o * i)
        for place in range(0, n, step):
            total += (g[place : place + step] @ a[place : place + step].transpose(1, 2)).square_().sum(0)
        return total
    rows = max(1, PIECE // i)
    room = g.new_empty(min(rows, o), i)
    for place in range(0, o, rows):
        part = total[place : place + rows]
        square = room[: len(part)]
        for sample in range(n):
            torch.mm(g[sample, place : place + rows], a[sample].T, out=square)
            part.addcmul_(square, square)
    return total


def _positions(values: Tensor, samples: int) -> Tensor:
    """[samples, positions, features], whatever lies between; windows of one sample lie side by side."""
    return values.reshape(samples, -1, values.shape[-1])


@rule(nn.Linear)
def linear(layer: nn.Linear, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """Several positions a sample (tokens, windows) are summed before they are squared."""
    g, a = _positions(g, samples), _positions(a, samples)
    found = {"weight": outer_squares(g.transpose(1, 2), a.transpose(1, 2))}
    if layer.bias is not None:
        found["bias"] = g.sum(1).square().sum(0)
    return found


@rule("Conv1D")
def conv1d(layer: Any, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """GPT-2's: a Linear layer whose weight is [inputs, outputs]."""
    g, a = _positions(g, samples), _positions(a, samples)
    weight = outer_squares(a.transpose(1, 2), g.transpose(1, 2))
    return {"weight": weight, "bias": g.sum(1).square().sum(0)}


@rule(nn.Conv2d)
def conv2d(layer: nn.Conv2d, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """Any stride, zero padding, dilation and groups. Raises ValueError for another kind of padding."""
    if layer.padding_mode != "zeros":
        raise ValueError(f"no rule for {layer.padding_mode} padding")
    a = _padded(layer, a)
    weight = torch.zeros_like(layer.weight, dtype=g.dtype)
    out, into = layer.out_channels // layer.groups, layer.weight[0].numel()
    step = max(1, WINDOWS // (g[0, 0].numel() * into * layer.groups))
    for place in range(0, samples, step):
        cut = _windows(layer, a[place : place + step], g.shape[2:])
        part = g[place : place + step].flatten(2)
        for group in range(layer.groups):
            rows = slice(group * out, (group + 1) * out)
            columns = cut[:, group * into : (group + 1) * into]
            weight[rows] += outer_squares(part[:, rows], columns).reshape(weight[rows].shape)
    found = {"weight": weight}
    if layer.bias is not None:
        found["bias"] = g.sum((2, 3)).square().sum(0)
    return found


def _padded(layer: nn.Conv2d, a: Tensor) -> Tensor:
    if isinstance(layer.padding, str):
        if layer.padding == "valid":
            return a
        high, wide = (d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True))
        return functional.pad(a, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
    high, wide = layer.padding
    return functional.pad(a, (wide, wide, high, high)) if high or wide else a


def _windows(layer: nn.Conv2d, a: Tensor, places: torch.Size) -> Tensor:
    """[n, channels * kernel, places] from the padded input. One copy of a strided view: on a CPU many times
    faster than `functional.unfold`."""
    for axis, (size, kernel) in enumerate(zip(places, layer.kernel_size, strict=True)):
        span = (size - 1) * layer.stride[axis] + 1
        a = a.unfold(2 + axis, span, layer.dilation[axis]).narrow(2 + axis, 0, kernel)
    # [n, channels, kernel, kernel, span, span]
    a = a[..., :: layer.stride[0], :: layer.stride[1]]
    return a.reshape(len(a), -1, places.numel())


def _affine(layer: Any, normal: Tensor, g: Tensor, summed: list[int]) -> dict[str, Tensor]:
    found = {"weight": (g * normal).sum(summed) if summed else g * normal}
    if getattr(layer, "bias", None) is not None:
        found["bias"] = g.sum(summed) if summed else g
    return {name: gradient.square().sum(0) for name, gradient in found.items()}


@rule(nn.BatchNorm1d, nn.BatchNorm2d)
def batch_norm(layer: Any, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """In eval mode: the running statistics are constants. Raises ValueError when there are none."""
    if layer.running_mean is None or layer.running_var is None:
        raise ValueError("without running statistics the samples depend on each other")
    shape = (1, -1, *[1] * (a.dim() - 2))
    scale = (layer.running_var + layer.eps).rsqrt().reshape(shape)
    return _affine(layer, (a - layer.running_mean.reshape(shape)) * scale, g, list(range(2, g.dim())))


@rule(nn.GroupNorm)
def group_norm(layer: nn.GroupNorm, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """One weight a channel."""
    normal = functional.group_norm(a, layer.num_groups, None, None, layer.eps)
    return _affine(layer, normal, g, list(range(2, g.dim())))


@rule(nn.LayerNorm)
def layer_norm(layer: nn.LayerNorm, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """Weights over the last dimensions, summed over a sample's positions."""
    shape = tuple(layer.normalized_shape)
    normal = functional.layer_norm(a, shape, None, None, layer.eps)
    normal, g = normal.reshape(samples, -1, *shape), g.reshape(samples, -1, *shape)
    return _affine(layer, normal, g, [1])


@rule(nn.RMSNorm)
def rms_norm(layer: nn.RMSNorm, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """Weights over the last dimensions, summed over a sample's positions."""
    shape = tuple(layer.normalized_shape)
    normal = functional.rms_norm(a, shape, None, layer.eps)
    return _affine(layer, normal.reshape(samples, -1, *shape), g.reshape(samples, -1, *shape), [1])


@rule("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "MixtralRMSNorm")
def llama_norm(layer: Any, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """The same under the names that transformers has for it."""
    normal = functional.rms_norm(a, a.shape[-1:], None, layer.variance_epsilon)
    return _affine(layer, _positions(normal, samples), _positions(g, samples), [1])


@rule(nn.Embedding)
def embedding(layer: nn.Embedding, a: Tensor, g: Tensor, samples: int) -> dict[str, Tensor]:
    """A row met twice in a sample gets the square of its summed gradient. Raises ValueError if scaled."""
    _ensure_unscaled(layer)
    rows, g = a.reshape(samples, -1), g.reshape(-1, g.shape[-1])
    owner = torch.arange(samples, device=a.device).unsqueeze(1)
    keys, where = torch.unique((owner * layer.num_embeddings + rows).flatten(), return_inverse=True)
    summed = g.new_zeros(len(keys), g.shape[1]).index_add_(0, where, g)
    row = keys % layer.num_embeddings
    if layer.padding_idx is not None:
        summed[row == layer.padding_idx] = 0
    return {"weight": torch.zeros_like(layer.weight, dtype=g.dtype).index_add_(0, row, summed.square())}


def tied(
    words: Any, ids: Tensor, g_words: Tensor, head: Any, a: Tensor, g: Tensor, samples: int
) -> dict[str, Tensor]:
    """Of a Linear layer whose weight [V, D] is an embedding too, as a language model's output layer often is.

    A sample's gradient is what its tokens scatter over their rows, and g^T a of the layer; both are formed
    together, some rows at a time. Raises ValueError if scaled by frequency.

    Args:
        words, ids, g_words: the Embedding, its input, and its output's gradient.
        head, a, g: the same of the Linear layer.
    """
    _ensure_unscaled(words)
    a, g, g_words = (_positions(each, samples) for each in (a, g, g_words))
    ids, order = ids.reshape(samples, -1).sort(1)
    g_words = g_words.gather(1, order[..., None].expand_as(g_words))
    if words.padding_idx is not None:
        g_words = g_words.masked_fill((ids == words.padding_idx)[..., None], 0.0)
    total = torch.zeros_like(words.weight, dtype=a.dtype)
    rows = max(1, PIECE // total.shape[1])
    starts = torch.arange(0, len(total) + rows, rows, device=ids.device)
    bounds = torch.searchsorted(ids, starts.expand(samples, -1).contiguous()).tolist()
    room = a.new_empty(min(rows, len(total)), total.shape[1])
    for piece, place in enumerate(range(0, len(total), rows)):
        part = total[place : place + rows]
        gradient = room[: len(part)]
        for sample in range(samples):
            torch.mm(g[sample, :, place : place + rows].T, a[sample], out=gradient)
            met = slice(*bounds[sample][piece : piece + 2])
            gradient.index_add_(0, ids[sample, met] - place, g_words[sample, met])
            part.addcmul_(gradient, gradient)
    return {"weight": total} | ({} if head.bias is None else {"bias": g.sum(1).square().sum(0)})


def _ensure_unscaled(layer: nn.Embedding) -> None:
    if layer.scale_grad_by_freq:
        raise ValueError("no rule for gradients scaled by frequency")
