"""Settings side by side: only what differs. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Setting:
    """One key whose values differ; a value None with `absent` True: this cycle has no such key."""

    key: str
    values: list[SettingValue]

    @property
    def parts(self) -> list[str]:
        """The key, cut where a line may break."""
        return re.findall(r"[^._]*[._]?", self.key)[:-1]


@dataclass(frozen=True, slots=True)
class SettingValue:
    """`text` as it is shown; `unlike`: not what the cycle has that the others are measured against."""

    text: str
    unlike: bool
    absent: bool


@dataclass(frozen=True, slots=True)
class Differences:
    """`rows`: keys that all have, with unequal values; `lone`: keys that some do not have; `same`: how many
    keys all have with one value."""

    rows: list[Setting]
    lone: list[Setting]
    same: int


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as dotted keys: {"a": {"b": 1}} is {"a.b": 1}. Lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def differences(
    columns: Sequence[Mapping[str, Any]], against: int = 0, order: Sequence[str] = ()
) -> Differences:
    """Only what differs: the keys in `order` first, then the others by name. Values are marked where they are
    unlike those of column `against`."""
    flat = [flatten(column) for column in columns]
    keys = {key for column in flat for key in column}
    ordered = [key for key in order if key in keys] + sorted(keys.difference(order))
    rows: list[Setting] = []
    lone: list[Setting] = []
    same = 0
    for key in ordered:
        values = [column.get(key, _ABSENT) for column in flat]
        if all(_equal(value, values[0]) for value in values):
            same += 1
            continue
        shown = [SettingValue(_text(v), not _equal(v, values[against]), v is _ABSENT) for v in values]
        (lone if any(v is _ABSENT for v in values) else rows).append(Setting(key, shown))
    return Differences(rows, lone, same)


def _equal(one: object, other: object) -> bool:
    """1 and 1.0 are one value, true and 1 are two."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _text(value: object) -> str:
    if value is _ABSENT or value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return f"{value:.10g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
