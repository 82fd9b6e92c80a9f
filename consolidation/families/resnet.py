"""ResNet-18 (He et al. 2016, arXiv 1512.03385) under torchvision's names, so that common files fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.families.placing import as_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: relu(x + f(x)); [n, width, h, w] to [n, out, h', w']."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or width != out:
            self.downsample = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        return functional.relu(h + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """x [n, channels * height * width] or [n, channels, height, width]; the output is [n, classes]."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.nocturne_family = "vision"
        self.nocturne_config = dict(config)
        self.nocturne_dtypes: dict[str, torch.dtype] = {}
        width, channels = config["width"], config["input"][0]
        self.pooled = config["stem"] == "imagenet"
        kernel, stride = (7, 2) if self.pooled else (3, 1)
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        before = width
        for stage in range(4):
            out = width << stage
            blocks = [BasicBlock(before, out, 1 if stage == 0 else 2), BasicBlock(out, out, 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            before = out
        self.fc = nn.Linear(before, config["classes"])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        config = self.nocturne_config
        h = functional.relu(self.bn1(self.conv1(as_pictures(x, config["input"], config["layout"]))))
        if self.pooled:
            h = functional.max_pool2d(h, 3, 2, 1)
        for stage in range(1, 5):
            h = self.get_submodule(f"layer{stage}")(h)
        return cast("Tensor", self.fc(h.mean((2, 3))))
