"""Which part of the night does what: one switch at a time against the default night."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from consolidation.recipe import preset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consolidation.benchmarks.run import RowSpec

DEFAULT = "night (default)"


class Switch(NamedTuple):
    """One change to the night's recipe, or to how memories are stored."""

    label: str
    recipe: dict[str, Any]
    codec: str | None = None


SWITCHES = (
    Switch(DEFAULT, {}),
    Switch("noise 0", {"noise": 0.0}),
    Switch("noise .05", {"noise": 0.05}),
    Switch("noise .3", {"noise": 0.3}),
    Switch("without stored logits", {"distill": 0.0, "ce": 1.0}),
    Switch("reconstruction: consistency", {"reconstruct": "consistency"}),
    Switch("reconstruction: linear decoder", {"reconstruct": "linear-decoder"}),
    Switch("rate half the wake's", {"lr_share": 0.5}),
    Switch("rate the wake's", {"lr_share": 1.0}),
    Switch("without averaging", {"average": 0.0}),
    Switch("without fresh records", {"fresh": 0}),
    Switch("without merging", {"merge": 0.0}),
    Switch("merging .1", {"merge": 0.1}),
    Switch("merging .6", {"merge": 0.6}),
    Switch("codec float32", {}, "float32"),
    Switch("codec raw (uint8)", {}, "raw"),
    Switch("codec deflate", {}, "deflate"),
    Switch("codec columns", {}, "columns"),
    Switch("codec q4", {}, "q4"),
    Switch("codec q1", {}, "q1"),
    Switch("without pruning", {"prune": 0.0}),
    Switch("pruning by the Fisher alone", {"saliency": "fisher"}),
    Switch("strengthening 0", {"eta": 0.0}),
    Switch("strengthening .05", {"eta": 0.05}),
    Switch("strengthening .3", {"eta": 0.3}),
    Switch("duration .02", {"duration": 0.02}),
    Switch("duration .05", {"duration": 0.05}),
    Switch("duration .15", {"duration": 0.15}),
    Switch("duration 1", {"duration": 1.0}),
    Switch("duration 10", {"duration": 10.0, "pass_cap": 0.0}),
)


def chosen(only: Sequence[str] | None) -> list[Switch]:
    """The default night, and the switches whose label holds one of the words."""
    return [
        switch
        for switch in SWITCHES
        if switch.label == DEFAULT or not only or any(word in switch.label for word in only)
    ]


def specs(base: RowSpec, seeds: Sequence[int], switches: Sequence[Switch]) -> dict[str, list[RowSpec]]:
    """{label: its rows to run}. A codec matters at equal bytes only, by how many memories fit."""
    night = preset("night").to_json()

    def changes(switch: Switch) -> dict[str, Any]:
        """What differs from the night: a switch that is at its default is the default's own row."""
        return {name: value for name, value in switch.recipe.items() if night[name] != value}

    return {
        switch.label: [
            replace(
                base,
                method="sleep",
                seed=seed,
                recipe=base.recipe | changes(switch),
                codec=switch.codec or base.codec,
            )
            for seed in seeds
        ]
        for switch in switches
    }
