"""The `cnn` family, described without torch: 3 x 3 convolutions, then fully connected layers.

config = {"input": [3, 32, 32], "layout": "hwc", "convolutions": [16, 32], "norm": true, "bias": false,
"activation": "relu", "pooling": "max", "head": "flatten", "hidden": [128], "classes": 10, "names": [...]}.
Every convolution has padding 1 and stride 1 and is followed by its BatchNorm (`norm`), the activation and the
2 x 2 pooling (`max`, `average` or `none`). `head` says how the last map meets the first linear layer: all its
numbers (`flatten`) or the mean over its places (`mean`). `bias` is that of the convolutions. `names` are the
layers' prefixes in order of application: convolution (and norm) by convolution, then the linear layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from consolidation.families.reading import (
    ACTIVATIONS,
    INPUT_FIELD,
    LAYOUT_FIELD,
    LAYOUTS,
    choice,
    layer_names,
    natural,
    norm_shapes,
    only,
    picture,
    refuse,
    whole,
    yes_or_no,
)

POOLINGS = ("max", "average", "none")
HEADS = ("flatten", "mean")
KEYS = (
    "input", "layout", "convolutions", "norm", "bias", "activation", "pooling", "head", "hidden", "classes",
    "names",
)  # fmt: skip


class CnnSpec:
    """See `registry.FamilySpec`."""

    name = "cnn"
    title = "Small convolutional network"
    adapter = "consolidation.families.cnn:CnnAdapter"

    def __init__(self) -> None:
        self.limits = {"layers": (1, 64), "width": (1, 65_536), "parameters": (1, 2_000_000_000)}
        self.fields: list[dict[str, Any]] = [
            INPUT_FIELD,
            LAYOUT_FIELD,
            {
                "name": "activation",
                "label": "Activation",
                "kind": "choice",
                "choices": list(ACTIVATIONS),
                "help": "The function between the layers; the file does not tell it.",
            },
            {
                "name": "pooling",
                "label": "Pooling",
                "kind": "choice",
                "choices": list(POOLINGS),
                "default": "max",
                "help": "What halves the picture after each convolution, if anything.",
            },
        ]

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        given = only(config, KEYS, self.name)
        convolutions = self._widths(given.get("convolutions"), "convolutions", least=1)
        hidden = self._widths(given.get("hidden", []), "hidden layers", least=0)
        norm = yes_or_no(given.get("norm", False), "norm")
        clean: dict[str, Any] = {
            "input": picture(given.get("input")),
            "layout": choice(given.get("layout", "chw"), "The layout", LAYOUTS),
            "convolutions": convolutions,
            "norm": norm,
            "bias": yes_or_no(given.get("bias", not norm), "bias"),
            "activation": choice(given.get("activation"), "The activation", ACTIVATIONS),
            "pooling": choice(given.get("pooling", "max"), "The pooling", POOLINGS),
            "head": choice(given.get("head", "flatten"), "The head", HEADS),
            "hidden": hidden,
            "classes": whole(given.get("classes"), "The number of classes", *self.limits["width"]),
        }
        names = given.get("names", _default_names(len(convolutions), norm, len(hidden) + 1))
        count = len(convolutions) * (2 if norm else 1) + len(hidden) + 1
        clean["names"] = layer_names(names, count, self.name)
        if min(_last_map(clean)) < 1:
            _, height, width = clean["input"]
            raise refuse(
                f"A picture of {height} x {width} is too small to be halved {len(convolutions)} times. "
                "Give a larger input, or no pooling."
            )
        parameters = _parameters(clean)
        most = self.limits["parameters"][1]
        if parameters > most:
            raise refuse(f"The cnn would have {parameters} parameters; at most {most} fit.")
        return clean

    def _widths(self, widths: object, what: str, *, least: int) -> list[int]:
        most = self.limits["layers"][1]
        if not isinstance(widths, list | tuple) or not least <= len(widths) <= most:
            raise refuse(f"A cnn's {what} must be a list of {least} to {most} widths.")
        low, high = self.limits["width"]
        return [whole(width, f"A width of the {what}", low, high) for width in widths]

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        clean = self.validate_config(config)
        shapes: dict[str, tuple[int, ...]] = {}
        names = iter(clean["names"])
        for a, b in pairwise([clean["input"][0], *clean["convolutions"]]):
            name = next(names)
            shapes[f"{name}.weight"] = (b, a, 3, 3)
            if clean["bias"]:
                shapes[f"{name}.bias"] = (b,)
            if clean["norm"]:
                shapes |= norm_shapes(next(names), b)
        for name, (a, b) in zip(names, pairwise(linear_widths(clean)), strict=True):
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (b, a), (b,)
        return shapes

    def infer_config(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
        """Widths and names, when the tensors form such a chain; input, activation and pooling stay open."""
        weights = sorted((n.removesuffix(".weight") for n in shapes if n.endswith(".weight")), key=natural)
        convolutions = [n for n in weights if len(shapes[f"{n}.weight"]) == 4]
        norms = [n for n in weights if f"{n}.running_mean" in shapes]
        linear = [n for n in weights if len(shapes[f"{n}.weight"]) == 2]
        widths = [shapes[f"{n}.weight"][0] for n in convolutions]
        if not convolutions or not linear or (norms and len(norms) != len(convolutions)):
            return None
        outs = [shapes[f"{n}.weight"][0] for n in linear]
        flat, channels = shapes[f"{linear[0]}.weight"][1], widths[-1]
        layers = (
            [n for pair in zip(convolutions, norms, strict=True) for n in pair] if norms else convolutions
        )
        expected: dict[str, tuple[int, ...]] = {}
        bias = f"{convolutions[0]}.bias" in shapes
        for name, (a, b) in zip(
            convolutions, pairwise([shapes[f"{convolutions[0]}.weight"][1], *widths]), strict=True
        ):
            expected |= {f"{name}.weight": (b, a, 3, 3)} | ({f"{name}.bias": (b,)} if bias else {})
        for name, width in zip(norms, widths, strict=False):
            expected |= norm_shapes(name, width)
        for name, (a, b) in zip(linear, pairwise([flat, *outs]), strict=True):
            expected |= {f"{name}.weight": (b, a), f"{name}.bias": (b,)}
        if flat % channels or expected != {name: tuple(shape) for name, shape in shapes.items()}:
            return None
        return {
            "convolutions": widths, "norm": bool(norms), "bias": bias, "hidden": outs[:-1],
            "classes": outs[-1], "head": "mean" if flat == channels else "flatten",
            "names": [*layers, *linear],
        }  # fmt: skip

    def input_width(self, config: Mapping[str, Any]) -> int:
        channels, height, width = config["input"]
        return int(channels * height * width)

    def outputs(self, config: Mapping[str, Any]) -> int:
        return int(config["classes"])


def _last_map(clean: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width after the last convolution."""
    _, height, width = clean["input"]
    halvings = 0 if clean["pooling"] == "none" else len(clean["convolutions"])
    return height >> halvings, width >> halvings


def linear_widths(clean: Mapping[str, Any]) -> list[int]:
    """The widths that the linear layers lie between, the first being what the head gives."""
    height, width = _last_map(clean)
    places = height * width if clean["head"] == "flatten" else 1
    return [clean["convolutions"][-1] * places, *clean["hidden"], clean["classes"]]


def _parameters(clean: Mapping[str, Any]) -> int:
    convolutions: int = sum(9 * a * b for a, b in pairwise([clean["input"][0], *clean["convolutions"]]))
    return convolutions + sum((a + 1) * b for a, b in pairwise(linear_widths(clean)))


def _default_names(convolutions: int, norm: bool, linear: int) -> list[str]:
    names = []
    for number in range(1, convolutions + 1):
        names += [f"conv{number}", f"bn{number}"] if norm else [f"conv{number}"]
    return [*names, *(f"fc{number}" for number in range(1, linear + 1))]
