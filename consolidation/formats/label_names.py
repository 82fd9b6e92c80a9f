"""Labels that have names: numbers by the names, the same in every set of a task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

_NUMBER: Final = re.compile(r"0|[1-9]\d{0,6}")


def numbered(
    found: Sequence[str], known: Sequence[str], model: Sequence[str] = ()
) -> tuple[list[int], tuple[str, ...]]:
    """The label of every name that was found, and what all labels are called.

    Names that are all whole numbers are the labels themselves; then nothing has a name. Else the place in
    `known` counts, and where nothing is known yet, the place in `model`, if it has all of them in any case of
    their letters; if it has none of them, the place in `found`.

    Args:
        found: each once, in the order of their labels.
        known: what the labels of the task's other sets are called, from 0 on.
        model: what the model calls its labels, from 0 on.

    Raises:
        NocturneInputError: `records.label_names`: a name that the other sets do not have, or that the model
            does not beside some that it has;
            `records.label_range`.
    """
    if not known and found and (places := _places(found, model)):
        return places, tuple(model)
    folded = {name.casefold() for name in model}
    if not known and any(name.casefold() in folded for name in found):
        other = next((name for name in found if name.casefold() not in folded), found[0])
        listed = ", ".join(shorten(name, 40) for name in model[:8])
        raise refuse(
            "records.label_names",
            f"The class “{shorten(other, 40)}” is none of the model's, which are {listed}, and others are. "
            "Name the classes as the model does.",
        )
    if not known and found and all(_NUMBER.fullmatch(name) for name in found):
        return [int(name) for name in found], ()
    if len(found) > limits.CLASSES:
        raise refuse(
            "records.label_range", f"{len(found):,} classes are more than the {limits.CLASSES:,} allowed."
        )
    if not known:
        return list(range(len(found))), tuple(found)
    if (places := _places(found, known)) is not None:
        return places, tuple(known)
    there = set(known)
    strange = [name for name in found if name not in there]
    shown = ", ".join(shorten(name, 40) for name in known[:8]) + (", ..." if len(known) > 8 else "")
    raise refuse(
        "records.label_names",
        f"The class “{shorten(strange[0], 40)}” is none of those that the task's other records have: "
        f"{shown}. Name the classes alike, or put the other records into the trash first.",
    )


def _places(found: Sequence[str], known: Sequence[str]) -> list[int] | None:
    """Where each stands among those that are known, in any case of its letters if that tells them apart."""
    places = {name: label for label, name in enumerate(known)}
    if all(name in places for name in found):
        return [places[name] for name in found]
    folded = {name.casefold(): label for name, label in places.items()}
    if len(folded) < len(places) or len({name.casefold() for name in found}) < len(found):
        return None
    if not all(name.casefold() in folded for name in found):
        return None
    return [folded[name.casefold()] for name in found]
