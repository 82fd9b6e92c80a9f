from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from consolidation.errors import NocturneInputError
from consolidation.recipe import PRESETS, SleepRecipe, WakeRecipe, preset, recipe_from_json


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    assert PRESETS[name].preset == name
    assert recipe_from_json(PRESETS[name].to_json(), "sleep") == PRESETS[name]


def test_night_is_the_default() -> None:
    assert SleepRecipe() == PRESETS["night"]


def test_a_preset_fills_what_is_not_given() -> None:
    recipe = recipe_from_json({"preset": "deep", "noise": 0}, "sleep")
    assert (recipe.rounds, recipe.noise) == (2, 0.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration", -1), ("duration", float("nan")), ("duration", 1e308),
        ("batch", 10**9), ("batch", 1.5), ("batch", True),
        ("batch", "64"), ("rounds", 0), ("rounds", 5), ("lr", 0), ("lr", float("inf")),
        ("noise", None), ("distill_loss", "mae"),
        ("reconstruct", "mirror"), ("micro_batch", -1), ("seed", -1), ("prune", 1.01),
        ("dream", 0.31), ("passes", -3),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(NocturneInputError) as caught:
        preset("night", **{field: value})
    assert caught.value.code == "cycle.param_range"
    assert caught.value.message.startswith(f"{field} is ")
    assert "allowed: " in caught.value.message


def test_unknown_keys_and_kinds_are_refused() -> None:
    with pytest.raises(NocturneInputError, match="'stepz' is not a value of a wake recipe") as caught:
        recipe_from_json({"stepz": 3}, "wake")
    assert caught.value.code == "cycle.param_unknown"
    with pytest.raises(NocturneInputError, match="allowed: nap, night"):
        preset("doze")
    with pytest.raises(NocturneInputError, match="use sleep or wake"):
        recipe_from_json({}, "score")


def test_hostile_text_is_cut() -> None:
    with pytest.raises(NocturneInputError) as caught:
        WakeRecipe(selection="\x00" + "A" * 10_000)
    assert len(caught.value.message) < 200
    assert "\x00" not in caught.value.message


@pytest.mark.parametrize("cls", [SleepRecipe, WakeRecipe])
def test_every_default_is_within_its_own_range(cls: type) -> None:
    made = cls()
    assert all(field.metadata for field in dataclasses.fields(made))
