"""The `module` family: any PyTorch module of this process, wrapped in place. Torch-free; it has no files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consolidation.families.reading import only, whole


class ModuleSpec:
    """See `registry.FamilySpec`. config = {"input_width": 784, "classes": 10}."""

    name = "module"
    title = "PyTorch module"
    adapter = "consolidation.families.module:ModuleAdapter"

    def __init__(self) -> None:
        self.limits = {"width": (1, 2**31), "classes": (1, 2**24)}
        self.fields: list[dict[str, Any]] = []

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        given = only(config, ("input_width", "classes"), self.name)
        return {
            "input_width": whole(given.get("input_width"), "The input's width", *self.limits["width"]),
            "classes": whole(given.get("classes"), "The number of classes", *self.limits["classes"]),
        }

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]] | None:
        """None: the module itself is the description."""
        return None

    def infer_config(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
        """None: no file is of this family."""
        return None

    def input_width(self, config: Mapping[str, Any]) -> int:
        return int(config["input_width"])

    def outputs(self, config: Mapping[str, Any]) -> int:
        return int(config["classes"])
