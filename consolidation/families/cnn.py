"""The `cnn` family in torch. Its layers may have any dotted names, so a person's file fits as it is."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.families.cnn_spec import linear_widths
from consolidation.families.placing import ACTIVATIONS, as_pictures, place

if TYPE_CHECKING:
    from collections.abc import Mapping


class Cnn(nn.Module):
    """x [n, channels * height * width] or [n, channels, height, width]; the output is [n, classes]."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.nocturne_family = "cnn"
        self.nocturne_config = dict(config)
        self.nocturne_dtypes: dict[str, torch.dtype] = {}
        count, hidden = len(config["convolutions"]), len(config["hidden"])
        activation = ACTIVATIONS[config["activation"]]
        # no parameters inside: they stay out of the checkpoint, and hooks find one module a hidden state
        self.nocturne_hidden = nn.ModuleList(activation() for _ in range(count + hidden))
        names = iter(config["names"])
        self.stages: list[tuple[str, str | None]] = []
        for a, b in pairwise([config["input"][0], *config["convolutions"]]):
            name = next(names)
            place(self, name, nn.Conv2d(a, b, 3, padding=1, bias=config["bias"]))
            norm = next(names) if config["norm"] else None
            if norm is not None:
                place(self, norm, nn.BatchNorm2d(b))
            self.stages.append((name, norm))
        self.linear = list(names)
        for name, (a, b) in zip(self.linear, pairwise(linear_widths(config)), strict=True):
            place(self, name, nn.Linear(a, b))

    def forward(self, x: Tensor) -> Tensor:
        config = self.nocturne_config
        hidden = iter(self.nocturne_hidden)
        h = as_pictures(x, config["input"], config["layout"])
        for convolution, norm in self.stages:
            h = self.get_submodule(convolution)(h)
            if norm is not None:
                h = self.get_submodule(norm)(h)
            h = next(hidden)(h)
            if config["pooling"] == "max":
                h = functional.max_pool2d(h, 2)
            elif config["pooling"] == "average":
                h = functional.avg_pool2d(h, 2)
        h = h.mean((2, 3)) if config["head"] == "mean" else h.flatten(1)
        for name in self.linear[:-1]:
            h = next(hidden)(self.get_submodule(name)(h))
        return cast("Tensor", self.get_submodule(self.linear[-1])(h))


class CnnAdapter:
    """See `adapter.Adapter`."""

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> Cnn:
        """Weights and biases as PyTorch's own layers begin, norms at 1 and 0."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Cnn(config)

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        return list(cast("Cnn", model).nocturne_hidden)

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        cnn = cast("Cnn", model)
        names = [name for name, _ in cnn.stages] + cnn.linear[:-1]
        return {f"{name}.weight": model.get_parameter(f"{name}.weight") for name in names}
