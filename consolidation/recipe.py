"""Recipes: every number a cycle depends on, validated when it is made. Torch-free.

A field exists here only when the engine acts on it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, overload

from consolidation.errors import NocturneInputError, shorten

CODE = "cycle.param_range"


def _number(default: float | None, low: float, high: float, help_text: str, *, optional: bool = False) -> Any:
    meta = {"low": low, "high": high, "help": help_text, "optional": optional}
    return field(default=default, metadata=meta)


def _whole(default: int | None, low: int, high: int, help_text: str, *, optional: bool = False) -> Any:
    meta = {"low": low, "high": high, "help": help_text, "optional": optional, "whole": True}
    return field(default=default, metadata=meta)


def _choice(default: str, choices: tuple[str, ...], help_text: str) -> Any:
    return field(default=default, metadata={"choices": choices, "help": help_text})


def _precision() -> Any:
    return _choice(
        "fp32", ("fp32", "bf16"), "numbers of the training passes; bf16: faster on newer hardware, coarser"
    )


def _refuse(name: str, value: object, allowed: str) -> NocturneInputError:
    return NocturneInputError(
        CODE, f"{name} is {shorten(value)}; allowed: {allowed}.", field=name, value=shorten(value)
    )


def _check(name: str, value: object, meta: Mapping[str, Any]) -> object:
    """The value in its proper type, or NocturneInputError with the field's name and what is allowed."""
    if "choices" in meta:
        if not isinstance(value, str) or value not in meta["choices"]:
            raise _refuse(name, value, ", ".join(meta["choices"]))
        return value
    allowed = f"{meta['low']:g} to {meta['high']:g}" + (", or empty" if meta["optional"] else "")
    if value is None and meta["optional"]:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(name, value, allowed)
    if not meta["low"] <= value <= meta["high"]:
        raise _refuse(name, value, allowed)
    if meta.get("whole"):
        if not math.isfinite(value) or value != int(value):
            raise _refuse(name, value, f"whole numbers {allowed}")
        return int(value)
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _check(item.name, getattr(self, item.name), item.metadata))

    def to_json(self) -> dict[str, Any]:
        """All fields as plain JSON values; `recipe_from_json` reads it back to an equal recipe."""
        return dataclasses.asdict(self)


PRESET_NAMES = ("nap", "night", "deep", "paper", "literal", "custom")


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepRecipe(_Recipe):
    """A night. Scores and shares are fractions of 1. Raises NocturneInputError (`cycle.param_range`)."""

    preset: str = _choice("night", PRESET_NAMES, "where the values came from")
    # how long
    duration: float = _number(0.15, 0.0, 100.0, "replayed examples / examples seen while awake")
    passes: float = _number(20.0, 0.0, 10_000.0, "passes over the memories, when the wake is unknown")
    wake_examples: int | None = _whole(None, 1, 10**12, "examples seen while awake", optional=True)
    wake_lr: float | None = _number(None, 1e-9, 100.0, "learning rate while awake", optional=True)
    rounds: int = _whole(1, 1, 4, "how many times the stages are run")
    pass_cap: float = _number(50.0, 0.0, 10_000.0, "most passes over the memories; 0: no cap")
    min_gain: float = _number(0.0005, 0.0, 1.0, "early stop under this watch gain a 1/20, past half; 0: off")
    # the replay step
    batch: int = _whole(64, 1, 65_536, "memories a step")
    micro_batch: int = _whole(0, 0, 65_536, "memories through the model at a time; 0: the whole batch")
    precision: str = _precision()
    optimizer: str = _choice("sgd", ("sgd", "adamw"), "how the weights are moved")
    lr: float | None = _number(None, 1e-9, 100.0, "learning rate; empty: from the wake's", optional=True)
    lr_share: float = _number(1.5, 0.01, 100.0, "learning rate as a multiple of the wake's, when lr is empty")
    momentum: float = _number(0.0, 0.0, 0.999, "momentum of SGD")
    clip: float = _number(5.0, 0.0, 1e6, "largest gradient norm; 0: no clipping")
    sampling: str = _choice(
        "task-balanced",
        ("task-balanced", "uniform", "loss-weighted", "group-balanced"),
        "memories of a batch: equal shares a task, any, often the hard ones, or equal shares a group",
    )
    ce: float = _number(0.5, 0.0, 100.0, "weight of the labels")
    distill: float = _number(0.5, 0.0, 100.0, "weight of the stored logits")
    distill_loss: str = _choice("mse", ("mse", "kl"), "how stored logits are matched")
    temperature: float = _number(2.0, 0.1, 100.0, "temperature of the KL")
    reconstruct: str = _choice(
        "off",
        ("off", "consistency", "linear-decoder"),
        "denoising: hidden states with noise stay near those without, or a linear map leads back to them",
    )
    reconstruct_weight: float = _number(0.1, 0.0, 100.0, "weight of the denoising objective")
    noise: float = _number(0.05, 0.0, 10.0, "noise on hidden states, in units of their rms")
    anchor: float = _number(0.0, 0.0, 1e9, "weight of the elastic pull to the reference model")
    average: float = _number(0.6, 0.0, 1.0, "last share of the steps whose weights are averaged")
    # reorganisation
    fresh: int = _whole(
        1000,
        0,
        10**7,
        "records of the newest training set, while it is here, in place of its memories; 0: none",
    )
    merge: float | None = _number(
        None, 0.0, 100.0, "weight of the reference in the Fisher merge; 0: off; empty: by the memories",
        optional=True,
    )  # fmt: skip
    prune: float = _number(0.02, 0.0, 1.0, "share of prunable weights zeroed a cycle")
    prune_cap: float = _number(0.5, 0.0, 1.0, "largest share that may be zero over all cycles")
    prune_mode: str = _choice("regrow", ("regrow", "mask"), "whether zeroed weights may move again")
    saliency: str = _choice("obd", ("obd", "fisher"), "F theta^2 (Optimal Brain Damage) or F alone")
    strengthen_top: float = _number(0.1, 0.0, 1.0, "share of weights strengthened")
    eta: float = _number(0.01, 0.0, 1.0, "how much; above 0.05 hurts")
    fisher_samples: int = _whole(512, 1, 10**7, "memories the significance is estimated on")
    fisher_labels: str = _choice(
        "sampled",
        ("sampled", "true", "exact"),
        "labels of the Fisher: drawn from the model, true, or every one",
    )
    dream: float = _number(0.0, 0.0, 0.3, "dream steps as a share of the replay; 0: no dreams")
    dream_kind: str = _choice(
        "mixup",
        ("mixup", "inversion"),
        "dreams: memories mixed inside the network, or inputs made from noise by its BatchNorm statistics",
    )
    dream_alpha: float = _number(0.2, 0.01, 10.0, "Beta(alpha, alpha) of the mixing")
    inversion_steps: int = _whole(200, 1, 10_000, "steps in which a batch of dreams is made from noise")
    # gates and guard
    tolerance: float = _number(0.002, 0.0, 1.0, "mean watch score a proposal may cost; language: as a share")
    task_tolerance: float = _number(0.01, 0.0, 1.0, "watch score it may cost any one task, likewise")
    retention_floor: float = _number(0.0, 0.0, 1.0, "least mean retention of the old tasks; 0: off")
    forgetting_budget: float = _number(0.1, 0.0, 1.0, "most forgetting on any one task; language: as a share")
    newest_drop: float = _number(0.05, 0.0, 1.0, "largest drop on the newest task; language: as a share")
    group_gap: float = _number(
        0.1, 0.0, 1.0, "most growth of the gap between a task's best and worst group; 1: off"
    )
    confidence: float = _number(0.95, 0.5, 0.999, "of the interval on the gain")
    # running
    seed: int = _whole(0, 0, 2**31 - 1, "of every random stream")
    snapshot_every_s: float = _number(15.0, 0.0, 86_400.0, "seconds between snapshots; 0: not by time")
    snapshot_every_steps: int = _whole(0, 0, 10**9, "steps between snapshots; 0: not by steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeRecipe(_Recipe):
    """Plain fine-tuning on one record set. Raises NocturneInputError (`cycle.param_range`)."""

    epochs: int = _whole(1, 1, 10_000, "passes over the training set")
    batch: int = _whole(128, 1, 65_536, "examples a step")
    precision: str = _precision()
    optimizer: str = _choice("sgd", ("sgd", "adamw"), "how the weights are moved")
    lr: float = _number(0.2, 1e-9, 100.0, "learning rate")
    momentum: float = _number(0.0, 0.0, 0.999, "momentum of SGD")
    clip: float = _number(0.0, 0.0, 1e6, "largest gradient norm; 0: no clipping")
    memories: int = _whole(200, 0, 10**9, "records to keep, with their logits, for later nights")
    selection: str = _choice(
        "class-balanced",
        ("class-balanced", "reservoir", "ring", "herding", "max-loss"),
        "records kept: equal shares a class, a fair draw, the last, nearest the class means, or the hardest",
    )
    memory_bytes: int | None = _whole(
        None, 1, 10**15, "most bytes of the records kept; empty: no limit", optional=True
    )
    codec: str = _choice(
        "raw",
        ("raw", "deflate", "columns", "q4", "q2", "q1"),
        "how kept inputs are packed; q4, q2, q1: that many bits a number, lossy",
    )
    confidence: float = _number(0.95, 0.5, 0.999, "of the interval on the gain")
    seed: int = _whole(0, 0, 2**31 - 1, "of every random stream")
    snapshot_every_s: float = _number(15.0, 0.0, 86_400.0, "seconds between snapshots; 0: not by time")
    snapshot_every_steps: int = _whole(0, 0, 10**9, "steps between snapshots; 0: not by steps")


PRESETS: dict[str, SleepRecipe] = {
    "nap": SleepRecipe(preset="nap", duration=0.05, passes=7.0),
    "night": SleepRecipe(preset="night"),
    "deep": SleepRecipe(preset="deep", duration=0.5, passes=40.0, rounds=2, dream=0.1),
    "paper": SleepRecipe(preset="paper", duration=10.0, passes=400.0, pass_cap=0.0, min_gain=0.0),
    # the article's reading: labels only, significance by F alone, no distillation, averaging or merging
    "literal": SleepRecipe(
        preset="literal", ce=1.0, distill=0.0, lr_share=0.5, fresh=0, saliency="fisher",
        reconstruct="consistency", average=0.0, merge=0.0, prune=0.05, eta=0.05, pass_cap=0.0, min_gain=0.0,
    ),
}  # fmt: skip


# What nets that read texts are trained by, where a recipe leaves it open: with plain SGD they hardly learn.
TEXT_HABITS: Final[Mapping[str, Mapping[str, Any]]] = {
    "sleep": {"optimizer": "adamw", "lr_share": 1.0, "clip": 1.0, "batch": 16},
    "wake": {"optimizer": "adamw", "lr": 1e-4, "clip": 1.0, "batch": 16},
}


def habits(kind: str, *, text: bool) -> dict[str, Any]:
    """Fields of a "sleep" or a "wake" that such a model wants otherwise than the usual ones.

    Args:
        text: whether its records are tokens.
    """
    return dict(TEXT_HABITS.get(kind, {})) if text else {}


def check_labels(labels: str, objective: str) -> None:
    """Whether the significance of a model can be told by all its labels.

    Args:
        labels: `SleepRecipe.fisher_labels`.
        objective: what the model is trained by.

    Raises:
        NocturneInputError: `fisher.exact_labels`.
    """
    if labels == "exact" and objective != "classification":
        raise NocturneInputError(
            "fisher.exact_labels",
            "Significance over all labels (fisher_labels exact) is for classification; here a record has "
            "more answers than can be gone through. Choose sampled or true.",
            field="fisher_labels",
        )


def presets(*, text: bool) -> dict[str, SleepRecipe]:
    """Every preset by its name, as such a model sleeps by it."""
    changes = habits("sleep", text=text)
    return {name: dataclasses.replace(recipe, **changes) for name, recipe in PRESETS.items()}


def preset(name: str, **overrides: Any) -> SleepRecipe:
    """A preset with some values changed. Raises NocturneInputError for an unknown name, field or value."""
    if name not in PRESETS:
        raise _refuse("preset", name, ", ".join(PRESETS))
    return recipe_from_json(PRESETS[name].to_json() | overrides, "sleep")


@overload
def recipe_from_json(data: Mapping[str, Any], kind: Literal["sleep"]) -> SleepRecipe: ...
@overload
def recipe_from_json(data: Mapping[str, Any], kind: Literal["wake"]) -> WakeRecipe: ...
@overload
def recipe_from_json(data: Mapping[str, Any], kind: str) -> SleepRecipe | WakeRecipe: ...
def recipe_from_json(data: Mapping[str, Any], kind: str) -> SleepRecipe | WakeRecipe:
    """A recipe from JSON; for a sleep, a known "preset" fills what is not given.

    Raises:
        NocturneInputError: `cycle.param_unknown` for a key that no recipe has, `cycle.param_range` otherwise.
    """
    if kind not in ("sleep", "wake"):
        raise NocturneInputError("cycle.kind", f"No recipe is for '{shorten(kind)}'; use sleep or wake.")
    cls = SleepRecipe if kind == "sleep" else WakeRecipe
    if not isinstance(data, Mapping):
        raise NocturneInputError("cycle.recipe_format", "The recipe must be a JSON object of values.")
    known = [item.name for item in dataclasses.fields(cls)]
    for key in data:
        if key not in known:
            raise NocturneInputError(
                "cycle.param_unknown",
                f"'{shorten(key)}' is not a value of a {kind} recipe; known: {', '.join(known)}.",
            )
    base = PRESETS.get(data["preset"]) if kind == "sleep" and isinstance(data.get("preset"), str) else None
    return cls(**((base.to_json() if base else {}) | dict(data)))
