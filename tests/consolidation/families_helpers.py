"""Small nets of every family, and records of pictures for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from consolidation.memory.store import Records, Transform
from consolidation.weights import new_model

CNN: dict[str, Any] = {
    "input": [3, 8, 8], "layout": "hwc", "convolutions": [4, 6], "activation": "relu", "hidden": [7],
    "classes": 4,
}  # fmt: skip
RESNET: dict[str, Any] = {
    "architecture": "resnet18",
    "width": 4,
    "input": [3, 8, 8],
    "layout": "hwc",
    "classes": 4,
}


def picture_records(index: int, count: int, seed: int, *, logits: bool = False, zoom: int = 1) -> Records:
    """`count` uint8 pictures [8 zoom, 8 zoom, 3] of task `index`: four patterns, a task's own tint."""
    patterns = np.random.default_rng(50 + index).uniform(40, 215, (4, 8, 8, 3))
    rng = np.random.default_rng((seed, index))
    y = rng.integers(0, 4, count)
    x = np.clip(patterns[y] + rng.normal(0, 25, (count, 8, 8, 3)), 0, 255).astype("u1")
    x = x.repeat(zoom, 1).repeat(zoom, 2)
    z = rng.normal(0, 2, (count, 4)).astype(np.float16) if logits else None
    transform = Transform(scale=1 / 255, mean=0.5, sd=0.25)
    return Records(task=f"tint {index}", x=x, y=y, z=z, classes=4, transform=transform)


def lived_in(model: nn.Module) -> nn.Module:
    """The model with norms that are not as they began, in eval mode."""
    torch.manual_seed(11)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
    return model.eval()


def nets() -> dict[str, nn.Module]:
    """By name: a cnn without and with BatchNorm, and both kinds of ResNet-18, slim."""
    return {
        "cnn": new_model("cnn", CNN, 1),
        "cnn with norms": lived_in(new_model("cnn", CNN | {"norm": True, "head": "mean"}, 1)),
        "resnet18": lived_in(new_model("vision", RESNET, 1)),
        "resnet18, imagenet stem": lived_in(
            new_model("vision", RESNET | {"stem": "imagenet", "input": [3, 8, 8]}, 1)
        ),
    }
