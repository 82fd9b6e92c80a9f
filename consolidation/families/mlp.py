"""The `mlp` family in torch. Its layers may have any dotted names, so any chain's file fits as it is."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from consolidation.families.placing import ACTIVATIONS, place

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mlp(nn.Module):
    """Linear layers, one activation between; x [batch, ...] is flattened, the output is [batch, classes]."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.nocturne_family = "mlp"
        self.nocturne_config = dict(config)
        self.nocturne_dtypes: dict[str, torch.dtype] = {}
        names: list[str] = config["names"]
        # no parameters inside: they stay out of the checkpoint, and hooks find one module a hidden state
        self.nocturne_hidden = nn.ModuleList(ACTIVATIONS[config["activation"]]() for _ in names[:-1])
        for name, (width, out) in zip(names, pairwise(config["layers"]), strict=True):
            place(self, name, nn.Linear(width, out))

    def forward(self, x: Tensor) -> Tensor:
        h = x.flatten(1)
        names: list[str] = self.nocturne_config["names"]
        for name, activation in zip(names, self.nocturne_hidden, strict=False):
            h = activation(self.get_submodule(name)(h))
        return cast("Tensor", self.get_submodule(names[-1])(h))


class MlpAdapter:
    """See `adapter.Adapter`."""

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> Mlp:
        """Weights and biases uniform in +-1/sqrt(inputs), as PyTorch's own Linear."""
        model = Mlp(config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, width in zip(config["names"], config["layers"], strict=False):
                for parameter in model.get_submodule(name).parameters(recurse=False):
                    parameter.uniform_(-1 / math.sqrt(width), 1 / math.sqrt(width), generator=generator)
        return model

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        return list(cast("Mlp", model).nocturne_hidden)

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        names = cast("Mlp", model).nocturne_config["names"][:-1]
        return {f"{name}.weight": model.get_parameter(f"{name}.weight") for name in names}
