"""How the fleet page says how long something takes, and until when it may take."""

from __future__ import annotations

from math import ceil, floor, isfinite
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

if TYPE_CHECKING:
    from collections.abc import Callable

    from webapp.fleet.durations import Length
    from webapp.fleet.forecast import Expected

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def expected_words(expected: Expected | None) -> str:
    """ "within a minute", "in 5–12 min", "in 40 min to 3 h", "unknown"."""
    if expected is None or not isfinite(expected.high):
        return _("unknown")
    high, unit = _in_units(expected.high, ceil)
    if high <= 1 and unit == _MINUTE:
        return _("within a minute")
    if expected.low < _MINUTE:
        return _("within %(span)s") % {"span": _span(high, unit)}
    low, low_unit = _in_units(expected.low, floor)
    if (low, low_unit) == (high, unit):
        return _("in about %(span)s") % {"span": _span(high, unit)}
    if low_unit == unit:
        return _("in %(low)d–%(span)s") % {"low": low, "span": _span(high, unit)}
    return _("in %(low)s to %(high)s") % {"low": _span(low, low_unit), "high": _span(high, unit)}


def left_words(left: Length | None) -> str:
    """ "about 3 min left"; "" when nobody can say."""
    if left is None or not isfinite(left.likely):
        return ""
    if left.likely < _MINUTE:
        return _("less than a minute left")
    return _("about %(span)s left") % {"span": _span(*_in_units(left.likely, round))}


def _in_units(seconds: float, to_whole: Callable[[float], int]) -> tuple[int, int]:
    """As a whole number of the unit that a person would use, and that unit's seconds."""
    for unit, most in ((_MINUTE, 90 * _MINUTE), (_HOUR, 48 * _HOUR)):
        if seconds <= most:
            return max(1, to_whole(seconds / unit)), unit
    return to_whole(seconds / _DAY), _DAY


def _span(number: int, unit: int) -> str:
    if unit == _MINUTE:
        return _("%(n)d min") % {"n": number}
    if unit == _HOUR:
        return _("%(n)d h") % {"n": number}
    return ngettext("%(n)d day", "%(n)d days", number) % {"n": number}
