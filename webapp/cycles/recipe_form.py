"""The recipe as fields of a form, made from its own metadata: a value added there appears here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from consolidation.recipe import SleepRecipe, WakeRecipe
from webapp.core.errors import InvalidInput, cut

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESET_WORDS: Final[dict[str, dict[str, Any]]] = {
    "nap": {
        "title": gettext_lazy("Nap"),
        "words": gettext_lazy("A short rest between two trainings: brings back most of what just slipped."),
    },
    "night": {
        "title": gettext_lazy("Night"),
        "words": gettext_lazy("The usual one: replay, merging, a little downscaling, each proven or undone."),
    },
    "deep": {
        "title": gettext_lazy("Deep"),
        "words": gettext_lazy("Two rounds with dreaming, for a model that has forgotten a lot."),
    },
    "paper": {
        "title": gettext_lazy("Paper 1:10"),
        "words": gettext_lazy("Ten times as long as the wake, as published, without early stop."),
    },
    "literal": {
        "title": gettext_lazy("Literal"),
        "words": gettext_lazy(
            "The article to the letter: labels and denoising, no logits, pruning by F alone."
        ),
    },
}
# These have fields of their own on the page, or none at all.
KNOWN_BY_PAGE: Final = frozenset({"preset", "wake_examples", "wake_lr"})
_HIDDEN: Final = frozenset({"snapshot_every_s", "snapshot_every_steps"})
_GROUPS: Final[tuple[tuple[Any, str], ...]] = (
    (gettext_lazy("How long"), "duration"),
    (gettext_lazy("The replay step"), "batch"),
    (gettext_lazy("Reorganisation"), "merge"),
    (gettext_lazy("Gates and guard"), "tolerance"),
    (gettext_lazy("Running"), "seed"),
)


def recipe_groups(typed: Mapping[str, Any], errors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """[{title, fields}] in the recipe's own order; a field has its range, help, typed text and error.

    A group begins at a named field and ends where the next begins.
    """
    starts = {first: title for title, first in _GROUPS}
    groups: list[dict[str, Any]] = []
    for item in dataclasses.fields(SleepRecipe):
        if item.name in KNOWN_BY_PAGE or item.name in _HIDDEN:
            continue
        if item.name in starts or not groups:
            groups.append({"title": starts.get(item.name, ""), "fields": []})
        groups[-1]["fields"].append(_field(item, typed, errors))
    return groups


def wake_fields(
    usual: WakeRecipe, typed: Mapping[str, Any], errors: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The fields of a wake's recipe in order, as `recipe_groups` has them, each with its `default`."""
    return [
        {**_field(item, typed, errors), "default": _plain(getattr(usual, item.name))}
        for item in dataclasses.fields(WakeRecipe)
        if item.name not in _HIDDEN
    ]


def _field(
    item: dataclasses.Field[Any], typed: Mapping[str, Any], errors: Mapping[str, Any]
) -> dict[str, Any]:
    meta = item.metadata
    allowed = "" if "choices" in meta else f"{_bound(meta['low'])} – {_bound(meta['high'])}"
    return {
        "name": item.name,
        "help": meta["help"],
        "choices": meta.get("choices"),
        "whole": meta.get("whole", False),
        "unset": meta["help"].partition("empty: ")[2],
        "allowed": allowed,
        "value": str(typed.get(item.name, "")),
        "error": errors.get(item.name),
    }


def _plain(value: Any) -> str:
    """A value as one would type it into its field: 0, 0.05; nothing for none."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _bound(value: float) -> str:
    """The end of a range as people write it: 0.999, 1,000,000, 1e15, 1e-09."""
    if value >= 1e9 and float(f"{value:.0e}") == value:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return number_format(int(value), 0, force_grouping=True) if value == int(value) else f"{value:g}"


def typed_recipe(
    posted: Mapping[str, Any], recipe: type[SleepRecipe | WakeRecipe] = SleepRecipe
) -> dict[str, Any]:
    """The values that the person filled in; an empty field means "as the preset says", or the usual value.

    Raises:
        InvalidInput: `cycle.param_range` for text where a number belongs; ranges are the recipe's business.
    """
    given: dict[str, Any] = {}
    for item in dataclasses.fields(recipe):
        text = str(posted.get(item.name, "")).strip()
        if not text or item.name == "preset":
            continue
        given[item.name] = text if "choices" in item.metadata else _number(item.name, text)
    return given


def _number(name: str, text: str) -> float:
    # 1e-3 and 0,05 are both what people type.
    plain = text.replace(",", ".", 1) if text.count(",") == 1 and "." not in text else text
    try:
        return float(plain)
    except ValueError:
        raise InvalidInput(
            "cycle.param_range",
            _("%(field)s is “%(text)s”, which is no number. Type one like 0.05, or leave it empty.")
            % {"field": name, "text": cut(text)},
            field=name,
        ) from None
