"""The `vision` family, described without torch: a ResNet-18 of our own, or any model of the timm library.

config = {"architecture": "resnet18", "stem": "cifar", "width": 64, "input": [3, 32, 32], "layout": "hwc",
"classes": 100} or {"architecture": "timm/vit_tiny_patch16_224", "input": ..., "layout": ..., "classes": ...}.
`stem` is `cifar` (3 x 3, stride 1, no pooling) or `imagenet` (7 x 7, stride 2, max-pooling); `width` the
channels of the first stage, 64 in the paper (He et al. 2016). The tensors of a timm model are known to timm
only: `expected_shapes` is None then, and `load_model` compares them when it builds the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from consolidation.errors import shorten
from consolidation.families.reading import (
    INPUT_FIELD,
    LAYOUT_FIELD,
    LAYOUTS,
    choice,
    norm_shapes,
    only,
    picture,
    refuse,
    whole,
)

OWN = "resnet18"
TIMM = "timm/"
STEMS = ("cifar", "imagenet")
_TIMM_NAME = re.compile(r"timm/[a-z][a-z0-9_]{1,79}")
_KEYS = ("architecture", "input", "layout", "classes", "stem", "width")


class VisionSpec:
    """See `registry.FamilySpec`."""

    name = "vision"
    title = "Vision model (ResNet-18 or timm)"
    adapter = "consolidation.families.vision:VisionAdapter"

    def __init__(self) -> None:
        self.limits = {"layers": (1, 1), "width": (1, 512), "classes": (1, 65_536)}
        self.fields: list[dict[str, Any]] = [
            {
                "name": "architecture",
                "label": "Architecture",
                "kind": "text",
                "placeholder": "timm/vit_tiny_patch16_224",
                "help": "A ResNet-18 is recognised; for another model: timm/ and its name in timm.",
            },
            INPUT_FIELD,
            LAYOUT_FIELD,
            {
                "name": "classes",
                "label": "Classes",
                "kind": "text",
                "placeholder": "10",
                "help": "For a timm model: how many classes it tells apart.",
            },
        ]

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        given = only(config, _KEYS, self.name)
        clean: dict[str, Any] = {
            "architecture": _architecture(given.get("architecture")),
            "input": picture(given.get("input")),
            "layout": choice(given.get("layout", "chw"), "The layout", LAYOUTS),
            "classes": whole(given.get("classes"), "The number of classes", *self.limits["classes"]),
        }
        # timm's own ResNet-18 has the tensors of ours, so what they tell of stem and width may come along
        if clean["architecture"] == OWN:
            clean["stem"] = choice(given.get("stem", "cifar"), "The stem", STEMS)
            clean["width"] = whole(given.get("width", 64), "The width", *self.limits["width"])
        return clean

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]] | None:
        clean = self.validate_config(config)
        return resnet18_shapes(clean) if clean["architecture"] == OWN else None

    def infer_config(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
        """A ResNet-18's stem, width and classes; input size and layout stay open. None for timm's models."""
        first, last = tuple(shapes.get("conv1.weight", ())), tuple(shapes.get("fc.weight", ()))
        if len(first) != 4 or len(last) != 2 or first[2] not in (3, 7):
            return None
        found = {
            "architecture": OWN, "stem": "cifar" if first[2] == 3 else "imagenet", "width": first[0],
            "classes": last[0],
        }  # fmt: skip
        expected = resnet18_shapes({**found, "input": [first[1], 1, 1]})
        return found if expected == {name: tuple(shape) for name, shape in shapes.items()} else None

    def input_width(self, config: Mapping[str, Any]) -> int:
        channels, height, width = config["input"]
        return int(channels * height * width)

    def outputs(self, config: Mapping[str, Any]) -> int:
        return int(config["classes"])


def _architecture(value: object) -> str:
    if value == OWN:
        return OWN
    if isinstance(value, str) and _TIMM_NAME.fullmatch(value):
        return value
    raise refuse(
        f"The architecture is {shorten(value)!r}; give {OWN}, or timm/ and the name of a model in timm, for "
        "example timm/vit_tiny_patch16_224."
    )


def resnet18_shapes(clean: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of our ResNet-18 under torchvision's names."""
    width, kernel = clean["width"], 3 if clean["stem"] == "cifar" else 7
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (width, clean["input"][0], kernel, kernel)}
    shapes |= norm_shapes("bn1", width)
    before = width
    for stage in range(1, 5):
        out = width << (stage - 1)
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (out, before, 3, 3)
            shapes |= norm_shapes(f"{name}.bn1", out)
            shapes[f"{name}.conv2.weight"] = (out, out, 3, 3)
            shapes |= norm_shapes(f"{name}.bn2", out)
            if block == 0 and stage > 1:
                shapes[f"{name}.downsample.0.weight"] = (out, before, 1, 1)
                shapes |= norm_shapes(f"{name}.downsample.1", out)
            before = out
    shapes["fc.weight"], shapes["fc.bias"] = (clean["classes"], before), (clean["classes"],)
    return shapes
