"""The families that Nocturne knows: names, limits and checks; torch-free, so the web may import them.

A new family is one description file (like `mlp_spec`), one adapter file (like `mlp`) and one line in
_ALL; from a notebook, `register(spec)`. A module that needs no file is wrapped: `families.wrap`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Protocol

from consolidation.errors import NocturneInputError, shorten
from consolidation.families.causal_lm_spec import CausalLmSpec
from consolidation.families.cnn_spec import CnnSpec
from consolidation.families.described import Described
from consolidation.families.encoder_spec import EncoderSpec
from consolidation.families.lora_spec import LoraSpec
from consolidation.families.mlp_spec import MlpSpec
from consolidation.families.module_spec import ModuleSpec
from consolidation.families.vision_spec import VisionSpec

Config = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]


class FamilySpec(Protocol):
    """What must be known about a family without loading any weights.

    Attributes:
        name: the value of `nocturne.family` in a checkpoint's metadata.
        title: for people.
        limits: {"layers": (least, most), "width": (...), "parameters": (...)}.
        fields: the form that asks for what a file does not tell: [{name, label, kind, help}], kind "choice"
            with choices, or "text" with a placeholder; "default" is what a description without it means.
        adapter: "module:Class" of the adapter (torch), or the class itself; None: checkpoints of the family
            are kept, checked and taken home, and nothing computes with them (see `ensure_computable`).
    """

    name: str
    title: str
    limits: dict[str, tuple[int, int]]
    fields: list[dict[str, Any]]

    @property
    def adapter(self) -> str | type[Any] | None: ...

    def validate_config(self, config: Mapping[str, Any]) -> Config:
        """A clean copy. Raises NocturneInputError (`checkpoint.config`)."""

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]] | None:
        """Every tensor the checkpoint must hold, by name, BatchNorm's buffers among them.

        None: only the family's library knows; `load_model` compares them with the model it has built.
        """

    def infer_config(self, shapes: Shapes) -> Config | None:
        """What the tensors tell of the config, perhaps not all of it; None: not this family."""

    def input_width(self, config: Mapping[str, Any]) -> int:
        """Numbers per record."""

    def outputs(self, config: Mapping[str, Any]) -> int:
        """Classes."""


_ALL: tuple[FamilySpec, ...] = (
    MlpSpec(), CnnSpec(), VisionSpec(), CausalLmSpec(), EncoderSpec(), LoraSpec(),
)  # fmt: skip
FAMILIES: dict[str, FamilySpec] = {spec.name: spec for spec in _ALL}
_BUILT_IN = frozenset(FAMILIES)
_IN_PROCESS: dict[str, FamilySpec] = {spec.name: spec for spec in (ModuleSpec(),)}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def family_spec(name: object) -> FamilySpec:
    """The family by its name. Raises NocturneInputError (`checkpoint.family`)."""
    for known in (FAMILIES, _IN_PROCESS):
        if isinstance(name, str) and name in known:
            return known[name]
    said = "The model does not say its family" if name is None else f"The model family is {shorten(name)!r}"
    raise NocturneInputError(
        "checkpoint.family",
        f"{said}; Nocturne knows {', '.join(FAMILIES)}. Choose one of these, add your own with "
        "consolidation.families.registry.register(spec), or use any PyTorch module in place by "
        "consolidation.wrap(module, width, classes).",
    )


def register(spec: FamilySpec) -> None:
    """Makes a family known to this process: checkpoints of it can be loaded, saved and put to sleep.

    Registering a name again replaces it, so that a notebook's cell can be run twice.

    Raises:
        NocturneInputError: `family.name` when the name is one of Nocturne's own, or no name.
    """
    if not _NAME.fullmatch(spec.name) or spec.name in _BUILT_IN or spec.name in _IN_PROCESS:
        raise NocturneInputError(
            "family.name",
            f"A family cannot be called {shorten(spec.name)!r}. Take a name of small letters, digits, _ and -"
            f" that is not one of {', '.join(sorted({*_BUILT_IN, *_IN_PROCESS}))}.",
        )
    FAMILIES[spec.name] = spec


def described_family(config: Mapping[str, Any]) -> Described:
    """The family of a config.json. Raises NocturneInputError (`checkpoint.family_unknown`)."""
    described = [spec for spec in FAMILIES.values() if isinstance(spec, Described)]
    for spec in described:
        if spec.describes(config):
            return spec
    kinds = ", ".join(kind for spec in described for kind in spec.known())
    raise NocturneInputError(
        "checkpoint.family_unknown",
        f"The model's config says model_type = {shorten(config.get('model_type'))}, an architecture that "
        f"Nocturne does not know. It knows: {kinds}.",
        supported=kinds,
    )


def computable(family: object, config: Mapping[str, Any]) -> bool:
    """Whether anything can be computed with such checkpoints; else they are only kept."""
    known = isinstance(family, str) and (family in FAMILIES or family in _IN_PROCESS)
    return known and not _not_yet(family_spec(family), config)


def computable_kinds() -> list[tuple[str, dict[str, Any]]]:
    """(family, fields that a config must have) of the checkpoints that something is computed with."""
    return [
        (name, dict(needs))
        for name, spec in FAMILIES.items()
        if spec.adapter is not None
        for needs in (spec.needs if isinstance(spec, Described) else ({},))
    ]


def ensure_computable(family: object, config: Mapping[str, Any]) -> None:
    """Raises NocturneInputError (`checkpoint.family_not_yet`) for checkpoints that are only kept."""
    what = _not_yet(family_spec(family), config)
    if what:
        raise NocturneInputError(
            "checkpoint.family_not_yet",
            f"This is {what}. Such checkpoints are kept, checked and taken home; Nocturne cannot train them, "
            "score them or put them to sleep yet. Choose a checkpoint of another kind.",
        )


def _not_yet(spec: FamilySpec, config: Mapping[str, Any]) -> str:
    if isinstance(spec, Described):
        return spec.not_yet(config)
    return "" if spec.adapter is not None else f"a model of the family {spec.name}"


def vocabulary(family: object, config: Mapping[str, Any]) -> int | None:
    """How many tokens a model knows whose records are ids of tokens; None when they are plain numbers."""
    spec = family_spec(family)
    return spec.vocabulary(config) if isinstance(spec, Described) else None


def family_objective(family: object, config: Mapping[str, Any]) -> str:
    """What a model is trained and scored by: "classification", "language" or "extractive-qa"."""
    spec = family_spec(family)
    return spec.objective(config) if isinstance(spec, Described) else "classification"


def takes_width(family: object, config: Mapping[str, Any], width: int) -> bool:
    """Whether a model takes records of `width` numbers: exactly its own, or at most so many tokens."""
    most = family_spec(family).input_width(config)
    return width <= most if vocabulary(family, config) is not None else width == most


def parameter_count(family: object, config: Mapping[str, Any]) -> int | None:
    """Weights that a model of this config learns; None when only the family's library knows."""
    shapes = family_spec(family).expected_shapes(config)
    if shapes is None:
        return None
    return sum(math.prod(shape) for name, shape in shapes.items() if not is_statistic(name))


def is_statistic(name: str) -> bool:
    """Whether a tensor is a running statistic of a BatchNorm layer: kept beside the weights, not learned."""
    return name.rpartition(".")[2] in {"running_mean", "running_var", "num_batches_tracked"}


def is_counter(name: str) -> bool:
    """Whether a tensor counts batches (BatchNorm): a whole number, no weight."""
    return name.rpartition(".")[2] == "num_batches_tracked"


def check_shapes(spec: FamilySpec, config: Mapping[str, Any], shapes: Shapes) -> None:
    """Raises NocturneInputError (`checkpoint.shapes`) naming the first tensor that does not fit.

    A family whose library alone knows the shapes passes: see `compare_shapes`.
    """
    expected = spec.expected_shapes(config)
    if expected is not None:
        compare_shapes(expected, shapes)
    if isinstance(spec, Described):
        spec.check_tensors(config, shapes)


def compare_shapes(expected: Shapes, shapes: Shapes) -> None:
    """Raises NocturneInputError (`checkpoint.shapes`) naming the first tensor that does not fit."""
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
