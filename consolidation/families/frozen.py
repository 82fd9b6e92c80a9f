"""Weights that are used and never learned: they become buffers which no state_dict has."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn


def freeze(model: nn.Module) -> None:
    """Every parameter becomes a buffer that no state_dict has; two modules that share one still do."""
    found: dict[int, Tensor] = {}
    for module in model.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                del module._parameters[name]
                tensor = found.setdefault(id(weight), weight.detach())
                module.register_buffer(name, tensor, persistent=False)


def thaw(module: nn.Module, name: str) -> None:
    """A frozen weight becomes a parameter again, of this module alone."""
    weight = cast("Tensor", module._buffers.pop(name))
    module._non_persistent_buffers_set.discard(name)
    module.register_parameter(name, nn.Parameter(weight.clone()))


def frozen_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What a model's answers depend on besides its own tensors: for an adapter, the weights of its base."""
    return dict(model.named_buffers()) if getattr(model, "nocturne_frozen", False) else {}
