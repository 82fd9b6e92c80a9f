"""What each setting of a recipe means, in the engine's own words."""

from __future__ import annotations

import dataclasses

from consolidation.recipe import SleepRecipe, WakeRecipe


def recipe_help() -> dict[str, str]:
    """{field: a few words}, in the recipes' own order; where a wake and a sleep share a name, the sleep's."""
    words = {item.name: str(item.metadata.get("help", "")) for item in dataclasses.fields(SleepRecipe)}
    for item in dataclasses.fields(WakeRecipe):
        words.setdefault(item.name, str(item.metadata.get("help", "")))
    return words
