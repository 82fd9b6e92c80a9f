"""Which part of a set is taken: "train", "test", or all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

ALL: Final = "all"
SPLITS: Final = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})

Part = TypeVar("Part")


def parts_of(parts: Mapping[str, Sequence[Part]], split: str) -> list[Part]:
    """What lies in the wanted part; in all parts, one behind the other, for "all".

    Args:
        parts: by name; "" is the name of what lies in no part.
        split: the wanted one; "": there must be only one.

    Raises:
        NocturneInputError: `records.split`, which names the parts.
    """
    if len(parts) > limits.SPLITS:
        raise refuse(
            "records.split", f"The archive has {len(parts):,} parts; at most {limits.SPLITS} are read."
        )
    shown = ", ".join(shorten(name or "(none)", 40) for name in parts)
    if split == ALL or (split == "" and len(parts) == 1):
        return [one for name in parts for one in parts[name]]
    if split in parts:
        return list(parts[split])
    if split == "":
        raise refuse(
            "records.split",
            f"The archive has several parts: {shown}. Say in the form which one is taken, or “{ALL}”; "
            "records that prove must not be among those that are learned.",
        )
    raise refuse("records.split", f"The archive has no part “{shorten(split, 40)}”; it has: {shown}.")
