"""The `lora` family, described without torch: a low-rank adapter of PEFT over its base (Hu et al. 2021).

config = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"],
"base_model_name_or_path": "...", ...}. The base model is named in words only and never fetched, so the widths
are those of the file: each A [r, in] has its B [out, r]. Once a person has chosen the base there is also
{"base": {"family": "encoder", "config": {...}}}, the description of that other checkpoint: what is read and
what is told is the base's matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from consolidation.errors import shorten
from consolidation.families.causal_lm_spec import CausalLmSpec
from consolidation.families.described import Described, Shapes
from consolidation.families.described_fields import choice, flag, number, refuse, text, whole
from consolidation.families.encoder_spec import EncoderSpec
from consolidation.families.lora_pairs import BASE, PAIR, times, unpaired

MOST_RANK: Final = 16_384
_MOST_NAMES: Final = 4096
_MOST_PATTERN: Final = 2000
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.*-]{0,199}")
# The families whose models an adapter can lie over.
BASES: Final[Mapping[str, Described]] = MappingProxyType(
    {spec.name: spec for spec in (CausalLmSpec(), EncoderSpec())}
)
# What other kinds of adapters switch on; with any of them the tensors mean something else.
_OTHERS: Final = (
    "use_dora", "use_qalora", "use_bdlora", "lora_bias", "layer_replication", "target_parameters",
    "trainable_token_indices", "alora_invocation_tokens", "megatron_config", "arrow_config", "velora_config",
    "monteclora_config", "kasa_config",
)  # fmt: skip


class LoraSpec(Described):
    """See `registry.FamilySpec` and `described.Described`."""

    name = "lora"
    title = "LoRA adapter (PEFT)"
    adapter = "consolidation.families.lora:LoraAdapter"
    # Only one that has a base at all is computed with.
    needs: tuple[Mapping[str, Any], ...] = (MappingProxyType({"base": {}}),)
    own: tuple[str, ...] = ("base",)
    kept: tuple[str, ...] = (
        "inference_mode",
        "layers_to_transform",
        "layers_pattern",
        "peft_version",
        "auto_mapping",
    )

    def describes(self, config: Mapping[str, Any]) -> bool:
        return config.get("peft_type") is not None

    def known(self) -> tuple[str, ...]:
        return ("LORA",)

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        for name in _OTHERS:
            if config.get(name):
                raise refuse(f"The adapter uses {name}, which is not read. Save a plain LoRA adapter.")
        return {
            "peft_type": choice(config, "peft_type", self.known()),
            "r": whole(config, "r", 1, MOST_RANK),
            "lora_alpha": number(config, "lora_alpha", 0.0, 1e6, 8.0),
            "lora_dropout": number(config, "lora_dropout", 0.0, 1.0, 0.0),
            "target_modules": _targets(config.get("target_modules")),
            "modules_to_save": _names("modules_to_save", config.get("modules_to_save")),
            "rank_pattern": _pattern(config, "rank_pattern"),
            "alpha_pattern": _pattern(config, "alpha_pattern"),
            "bias": choice(config, "bias", ("none",), "none"),
            "fan_in_fan_out": flag(config, "fan_in_fan_out", False),
            "use_rslora": flag(config, "use_rslora", False),
            "task_type": text(config, "task_type"),
            "base_model_name_or_path": text(config, "base_model_name_or_path"),
            "revision": text(config, "revision"),
            "base": _base(config.get("base")),
        }

    def expected_shapes(self, config: Mapping[str, Any]) -> None:
        """None: only the base model knows how wide its layers are; see `check_tensors`."""

    def not_yet(self, config: Mapping[str, Any]) -> str:
        spec, inner = base_of(config)
        if spec is None:
            return "a LoRA adapter whose base has not been chosen"
        below = spec.not_yet(inner)
        return f"a LoRA adapter over {below}" if below else ""

    def input_width(self, config: Mapping[str, Any]) -> int:
        """The base's; 0 without one: an adapter alone takes no records."""
        spec, inner = base_of(config)
        return spec.input_width(inner) if spec else 0

    def vocabulary(self, config: Mapping[str, Any]) -> int:
        """The base's; 0 without one."""
        spec, inner = base_of(config)
        return spec.vocabulary(inner) if spec else 0

    def objective(self, config: Mapping[str, Any]) -> str:
        """The base's."""
        spec, inner = base_of(config)
        return spec.objective(inner) if spec else super().objective(config)

    def outputs(self, config: Mapping[str, Any]) -> int:
        """The base's; 0 without one."""
        spec, inner = base_of(config)
        return spec.outputs(inner) if spec else 0

    def check_tensors(self, config: Mapping[str, Any], shapes: Shapes) -> None:
        """Every A has its B of the same rank; nothing else is there but the modules that were saved whole.

        Raises:
            NocturneInputError: `peft.pairs`.
        """
        ranks = {config["r"], *config["rank_pattern"].values()}
        found: dict[tuple[str, str, str], dict[str, tuple[int, ...]]] = {}
        for name, shape in shapes.items():
            pair = PAIR.fullmatch(name)
            if pair is not None:
                key = (pair["path"], pair["kind"], pair["end"])
                found.setdefault(key, {})[pair["half"]] = tuple(shape)
            elif not _saved(name, config["modules_to_save"] or []):
                raise unpaired(f"Tensor {shorten(name)} belongs to no pair and to no module that was saved.")
        if not found:
            raise unpaired("The adapter has no pair of tensors at all.")
        paths = {path for path, _, _ in found}
        if len(paths) < len(found):
            raise unpaired("The adapter has two pairs of tensors for one module.")
        for (path, kind, end), halves in found.items():
            shown = shorten(f"{path}.{kind}A{end}")
            if set(halves) != {"A", "B"}:
                raise unpaired(f"Tensor {shown} or its B is missing.")
            first, second = halves["A"], halves["B"]
            if min(len(first), len(second)) < 2 or first[0] != second[1] or first[0] not in ranks:
                raise unpaired(
                    f"Tensor {shown} is {times(first)} and its B is {times(second)}; the rank must be "
                    f"{' or '.join(str(rank) for rank in sorted(ranks))} in both."
                )

    def home_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        home = super().home_config(config)
        # How the numbers were begun says nothing about what they are now.
        return dict(sorted({**home, "init_lora_weights": True, "use_dora": False}.items()))


def base_of(config: Mapping[str, Any]) -> tuple[Described | None, Mapping[str, Any]]:
    """The family and the config of what an adapter lies over; (None, {}) while nobody has said."""
    base = config.get("base")
    return (BASES[base["family"]], base["config"]) if base else (None, {})


def over(config: Mapping[str, Any], family: str, base: Mapping[str, Any]) -> dict[str, Any]:
    """The config of an adapter with that of its base."""
    return {**config, "base": {"family": family, "config": dict(base)}}


def _base(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    family = value.get("family") if isinstance(value, Mapping) else None
    inner = value.get("config") if isinstance(value, Mapping) else None
    if not isinstance(family, str) or family not in BASES or not isinstance(inner, Mapping):
        raise refuse("The adapter's base must be a language model or a text encoder.")
    return {"family": family, "config": BASES[family].validate_config(inner)}


def _targets(value: Any) -> str | list[str]:
    """Names of modules, or one pattern, which whoever takes it home may compile."""
    if isinstance(value, str):
        if not value or len(value) > _MOST_PATTERN or not value.isprintable():
            raise refuse(
                f"target_modules is a pattern of {len(value):,} letters; allowed: 1 to {_MOST_PATTERN:,}."
            )
        return value
    names = _names("target_modules", value)
    if not names:
        raise refuse("The adapter's config does not say which modules it changes (target_modules).")
    return names


def _names(field: str, value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > _MOST_NAMES:
        raise refuse(f"The adapter's {field} must be a list of at most {_MOST_NAMES:,} names.")
    for name in value:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise refuse(f"The adapter's {field} has {shorten(name)}, which cannot name a module.")
    return sorted(set(value))


def _pattern(config: Mapping[str, Any], field: str) -> dict[str, Any]:
    value = config.get(field) or {}
    if not isinstance(value, Mapping):
        raise refuse(f"The adapter's {field} must be a table of names and numbers.")
    names = _names(field, list(value)) or []
    if field == "rank_pattern":
        return {name: whole(value, name, 1, MOST_RANK) for name in names}
    return {name: number(value, name, 0.0, 1e6, 0.0) for name in names}


def _saved(name: str, modules: list[str]) -> bool:
    parts = name.removeprefix(BASE).split(".")
    return any(module in parts or f".{module}." in f".{name}." for module in modules)
