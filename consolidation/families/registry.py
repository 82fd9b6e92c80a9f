"""The families that Nocturne knows: names, limits and checks; torch-free, so the web may import them.

A new family is one description file (like `mlp_spec`), one adapter file (like `mlp`) and one line in
FAMILIES.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from consolidation.errors import NocturneInputError, shorten
from consolidation.families.mlp_spec import MlpSpec

Config = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]


class FamilySpec(Protocol):
    """What must be known about a family without loading any weights.

    Attributes:
        name: the value of `nocturne.family` in a checkpoint's metadata.
        title: for people.
        limits: {"layers": (least, most), "width": (...), "parameters": (...)}.
        fields: the form that asks for what a file does not tell: [{name, label, kind, choices, help}].
        adapter: "module:Class" of the adapter (torch).
    """

    name: str
    title: str
    limits: dict[str, tuple[int, int]]
    fields: list[dict[str, Any]]
    adapter: str

    def validate_config(self, config: Mapping[str, Any]) -> Config:
        """A clean copy. Raises NocturneInputError (`checkpoint.config`)."""

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Every tensor the checkpoint must hold, by name."""

    def infer_config(self, shapes: Shapes) -> Config | None:
        """What the tensors tell of the config, perhaps not all of it; None: not this family."""

    def input_width(self, config: Mapping[str, Any]) -> int:
        """Numbers per record."""

    def outputs(self, config: Mapping[str, Any]) -> int:
        """Classes."""


FAMILIES: dict[str, FamilySpec] = {spec.name: spec for spec in (MlpSpec(),)}


def family_spec(name: object) -> FamilySpec:
    """The family by its name. Raises NocturneInputError (`checkpoint.family`)."""
    if isinstance(name, str) and name in FAMILIES:
        return FAMILIES[name]
    raise NocturneInputError(
        "checkpoint.family",
        f"The model family is {shorten(name)!r}; Nocturne knows {', '.join(FAMILIES)}. Choose one of these.",
    )


def check_shapes(spec: FamilySpec, config: Mapping[str, Any], shapes: Shapes) -> None:
    """Raises NocturneInputError (`checkpoint.shapes`) naming the first tensor that does not fit."""
    expected = spec.expected_shapes(config)
    for name, shape in expected.items():
        if name not in shapes:
            raise NocturneInputError(
                "checkpoint.shapes",
                f"The file has no tensor {shorten(name)}, which its description asks for. "
                "Correct the description or save the model again.",
            )
        if tuple(shapes[name]) != shape:
            raise NocturneInputError(
                "checkpoint.shapes",
                f"Tensor {shorten(name)} is {_times(shapes[name])}; the description says "
                f"{_times(shape)}. Correct the description or save the model again.",
            )
    extra = sorted(set(shapes) - set(expected))
    if extra:
        raise NocturneInputError(
            "checkpoint.shapes",
            f"The file holds {len(extra)} tensor(s) that its description does not name, the first is "
            f"{shorten(extra[0])}. Describe every layer, or save the model without them.",
        )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) or "a single number"
