"""Modules under the dotted names of a person's own file, and records as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from consolidation.errors import NocturneInputError, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def place(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Puts `layer` where `name` ("net.0.conv") says. Raises NocturneInputError (`checkpoint.config`)."""
    *folders, leaf = name.split(".")
    home = model
    for folder in folders:
        if folder not in home._modules:
            _add(home, folder, nn.Module(), name)
        home = cast("nn.Module", home._modules[folder])
    _add(home, leaf, layer, name)


def _add(home: nn.Module, part: str, module: nn.Module, name: str) -> None:
    if hasattr(home, part):
        raise NocturneInputError(
            "checkpoint.config",
            f"A layer cannot be called {shorten(name)!r}: '{shorten(part)}' is taken. Rename the layer.",
        )
    home.add_module(part, module)


def as_pictures(x: Tensor, size: Sequence[int], layout: str) -> Tensor:
    """[n, channels, height, width] from flat records [n, width] in the given order; pictures stay."""
    if x.dim() == 4:
        return x
    channels, height, width = size
    if layout == "hwc":
        # A copy, and not a view with the channels last: gradients of convolutions of few channels over such a
        # view write beyond their memory in torch 2.13.0 on processors with no more than AVX2.
        return x.reshape(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()
    return x.reshape(-1, channels, height, width)
