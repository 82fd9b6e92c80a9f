"""The `vision` family in torch: our ResNet-18, or a timm model when the `vision` extra is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from consolidation.families.resnet import BasicBlock, ResNet18
from consolidation.families.timm_models import timm_model
from consolidation.families.vision_spec import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LAYERS = (nn.Linear, nn.Conv2d)
NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


class VisionAdapter:
    """See `adapter.Adapter`."""

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> nn.Module:
        """Freshly initialised, never downloaded. Raises NocturneInputError (`family.extra`, ...)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ResNet18(config) if config["architecture"] == OWN else timm_model(config)

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        """ResNet-18: its residual blocks. timm: the composite parts of its body, its stages opened."""
        if isinstance(model, ResNet18):
            return [module for module in model.modules() if isinstance(module, BasicBlock)]
        heads = _heads(model)
        parts = [part for part in _opened(model) if not heads.intersection(part.modules())]
        parts = [p for p in parts if any(True for _ in p.parameters()) and not isinstance(p, NORMS)]
        return [part for part in parts if any(True for _ in part.children())] or parts

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        """Linear and convolution weights but the head's, a patch embedding's, and shared ones."""
        heads = {model.fc} if isinstance(model, ResNet18) else _heads(model)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        owners: dict[int, int] = {}
        for module in model.modules():
            for parameter in module._parameters.values():
                owners[id(parameter)] = owners.get(id(parameter), 0) + 1
        found: dict[str, nn.Parameter] = {}
        for module in model.modules():
            if not isinstance(module, LAYERS) or module in heads:
                continue
            weight = cast("nn.Parameter", module.weight)
            name = names.get(id(weight), "")
            if owners[id(weight)] == 1 and name and not name.startswith("patch_embed."):
                found[name] = weight
        return found


def _opened(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from _opened(child)
        else:
            yield child


def _heads(model: nn.Module) -> set[nn.Module]:
    """The classifier, or classifiers, as timm names them."""
    head = cast("Any", model).get_classifier()
    found = head if isinstance(head, tuple | list) else [head]
    return {layer for part in found if isinstance(part, nn.Module) for layer in part.modules()}
