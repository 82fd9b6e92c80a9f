"""The `mlp` family, described without torch: a chain of fully connected layers with one activation.

config = {"layers": [64, 100, 100, 10], "activation": "relu", "names": ["net.0", "net.2", "net.4"]}: widths
from input to output, and the prefixes of the layers' `.weight` [out, in] and `.bias` [out] in order of
application.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from consolidation.errors import shorten
from consolidation.families.reading import ACTIVATIONS, choice, layer_names, natural, only, refuse


class MlpSpec:
    """See `registry.FamilySpec`."""

    name = "mlp"
    title = "Multi-layer perceptron"
    adapter = "consolidation.families.mlp:MlpAdapter"

    def __init__(self) -> None:
        self.limits = {"layers": (1, 64), "width": (1, 1_000_000), "parameters": (1, 2_000_000_000)}
        self.fields: list[dict[str, Any]] = [
            {
                "name": "activation",
                "label": "Activation",
                "kind": "choice",
                "choices": list(ACTIVATIONS),
                "help": "The function between the layers; the file does not tell it.",
            }
        ]

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        given = only(config, ("layers", "activation", "names"), self.name)
        layers = self._layers(given.get("layers"))
        names = given.get("names", [f"net.{2 * i}" for i in range(len(layers) - 1)])
        return {
            "layers": layers,
            "activation": choice(given.get("activation"), "The activation", ACTIVATIONS),
            "names": layer_names(names, len(layers) - 1, self.name),
        }

    def _layers(self, layers: object) -> list[int]:
        if not isinstance(layers, list | tuple):
            raise refuse("An mlp's layers must be a list of widths, from input to output.")
        least, most = self.limits["layers"]
        if not least + 1 <= len(layers) <= most + 1:
            raise refuse(f"An mlp has {least} to {most} layers; this one describes {len(layers) - 1}.")
        low, high = self.limits["width"]
        for width in layers:
            if isinstance(width, bool) or not isinstance(width, int) or not low <= width <= high:
                raise refuse(f"A layer's width is {shorten(width)}; allowed: whole numbers {low} to {high}.")
        parameters = sum((a + 1) * b for a, b in pairwise(layers))
        if parameters > self.limits["parameters"][1]:
            most = self.limits["parameters"][1]
            raise refuse(f"The mlp would have {parameters} parameters; at most {most} fit.")
        return list(layers)

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        clean = self.validate_config(config)
        shapes: dict[str, tuple[int, ...]] = {}
        for name, a, b in zip(clean["names"], clean["layers"], clean["layers"][1:], strict=False):
            shapes[f"{name}.weight"] = (b, a)
            shapes[f"{name}.bias"] = (b,)
        return shapes

    def infer_config(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
        """Widths and names when weight and bias pairs form a chain; the activation stays open."""
        weights = [name for name in shapes if name.endswith(".weight") and len(shapes[name]) == 2]
        names = sorted((name.removesuffix(".weight") for name in weights), key=natural)
        layers: list[int] = []
        for name in names:
            out, width = shapes[f"{name}.weight"]
            if tuple(shapes.get(f"{name}.bias", ())) != (out,) or (layers and layers[-1] != width):
                return None
            layers += [out] if layers else [width, out]
        if not names or len(shapes) != 2 * len(names):
            return None
        return {"layers": layers, "names": names}

    def input_width(self, config: Mapping[str, Any]) -> int:
        return int(config["layers"][0])

    def outputs(self, config: Mapping[str, Any]) -> int:
        return int(config["layers"][-1])
