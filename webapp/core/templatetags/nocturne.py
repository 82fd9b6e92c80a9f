"""Numbers, moments and states as every page writes them."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import template
from django.utils import formats, timezone
from django.utils.html import escape, format_html
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp.core import undo
from webapp.core.decimals import decimals
from webapp.cycles.held import held_words

if TYPE_CHECKING:
    from django.contrib.messages.storage.base import Message
    from django.template.context import Context
    from django.utils.safestring import SafeString

register = template.Library()

NOTHING = "–"
MINUS = "−"
_SECTIONS = {
    "tonight": ("/",),
    "projects": ("/projects/", "/cycles/", "/checkpoints/", "/demo/"),
    "schedules": ("/schedules/",),
    "fleet": ("/fleet/",),
}


def fixed(value: float, digits: int) -> str:
    """A number rounded to `digits` places in the page's format; Django's own formatting cuts instead."""
    return formats.number_format(Decimal(f"{value:.{digits}f}"), digits)


@register.simple_tag
def undo_offer(message: Message) -> dict[str, object] | None:
    """The way back that a message offers: {"url", "fields"}."""
    return undo.offer(message.extra_tags)


@register.filter(name="held_words")
def held_text(reason: str | None) -> str:
    """Why a cycle was paused, when no person did it."""
    return held_words(reason)


@register.filter
def bytes_text(value: int | None) -> str:
    """A size in decimal units: "14.2 GB"."""
    if value is None:
        return NOTHING
    size = float(value)
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{int(size)} {unit}" if unit == "bytes" else f"{fixed(size, 1)} {unit}"
        size /= 1000
    return NOTHING


@register.filter
def energy(value: float | None) -> str:
    """Watt hours as every page writes them, with three digits that count: "5.66 mWh", "1.2 kWh"."""
    if value is None:
        return NOTHING
    unit, size = (
        ("mWh", value * 1000) if value < 1 else ("Wh", value) if value < 1000 else ("kWh", value / 1000)
    )
    digits = max(0, 2 - math.floor(math.log10(abs(size)))) if size else 0
    return f"{fixed(size, digits)} {unit}"


@register.filter
def score(value: float | None) -> str:
    """A fraction of 1 with three digits that count: "0.942", "0.0183"."""
    return NOTHING if value is None else fixed(value, decimals(value))


@register.filter
def percent(value: float | None) -> str:
    """A fraction of 1 as "4.0 %"."""
    return NOTHING if value is None else f"{fixed(100 * value, 1)} %".replace("-", MINUS)


@register.filter
def hundredths(value: float | None) -> str:
    """A matrix cell: a fraction of 1 in hundredths, cut (0.996 is no 100); below ten with one decimal.

    The scores of a language model are small: below one they are rounded to two decimals, below a tenth to
    four.
    """
    if value is None:
        return "·"
    if 0 < value < 0.01:
        return fixed(100 * value, 2 if value >= 0.001 else 4)
    parts = int(1e4 * value + 1e-9)
    return fixed(parts // 10 / 10, 1) if parts < 1000 and parts // 10 % 10 else str(parts // 100)


@register.filter
def share_of(value: float | None, level: float | None) -> float | None:
    """A score over the best of its line, where that is given: a language model's are small in themselves."""
    return value if value is None or not level else value / level


@register.filter
def heat(value: float | None) -> str:
    """The class suffix of a matrix cell's shade: 0 to 10, or "none"."""
    return "none" if value is None else str(max(0, min(10, round(10 * value))))


@register.filter
def count(value: int | None) -> str:
    """A whole number with its thousands apart: "13,476"."""
    return NOTHING if value is None else formats.number_format(value, 0, use_l10n=True, force_grouping=True)


@register.filter
def seconds(value: float | None) -> str:
    """A length of time: "48 s", "3 min 12 s", "2 h 05 min"."""
    if value is None:
        return NOTHING
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@register.filter
def code_marks(text: str) -> SafeString:
    """A sentence whose names in backticks become code: "`best` still points to v3"."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:
        return mark_safe("`".join(parts))  # noqa: S308 - escaped above
    marked = (f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
    return mark_safe("".join(marked))  # noqa: S308 - escaped above


@register.filter
def get_item(mapping: dict[str, Any], key: str) -> Any:
    """`mapping[key]`, or None."""
    return mapping.get(key)


def _zone(context: Context) -> dt.tzinfo:
    user = context.get("user")
    try:
        return ZoneInfo(getattr(user, "timezone", "") or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return dt.UTC


@register.simple_tag(takes_context=True)
def when(context: Context, moment: dt.datetime | None, style: str = "datetime") -> str | SafeString:
    """A moment in the person's time zone; a script turns it into the browser's zone and language.

    Args:
        moment: aware; None gives a dash.
        style: "datetime" (Mon 3 Aug, 02:00), "time" (02:00) or "long" (with seconds and zone).
    """
    if moment is None:
        return NOTHING
    local = timezone.localtime(moment, _zone(context))
    pattern = {"time": "H:i", "long": "D j M Y, H:i:s T"}.get(style, "D j M, H:i")
    return format_html(
        '<time datetime="{}" data-when="{}">{}</time>',
        moment.isoformat(),
        style,
        formats.date_format(local, pattern),
    )


def ago_text(moment: dt.datetime, now: dt.datetime) -> str:
    """ "12 s ago", "3 min ago", "5 h ago", "2 days ago"; "in 3 min" for what is to come."""
    span = (now - moment).total_seconds()
    size = abs(span)
    if size < 60:
        words = _("%(n)d s") % {"n": size}
    elif size < 3600:
        words = _("%(n)d min") % {"n": size // 60}
    elif size < 48 * 3600:
        words = _("%(n)d h") % {"n": size // 3600}
    else:
        words = ngettext("%(n)d day", "%(n)d days", int(size // 86400)) % {"n": size // 86400}
    return (_("%(span)s ago") if span >= 0 else _("in %(span)s")) % {"span": words}


@register.simple_tag
def ago(moment: dt.datetime | None) -> str | SafeString:
    """How long since (or until) a moment; a script keeps it true and shows the moment itself as a tooltip."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" data-when="ago">{}</time>', moment.isoformat(), ago_text(moment, timezone.now())
    )


@register.inclusion_tag("core/_delta.html")
def delta(
    value: float | None, good: str = "up", unit: str = "", word: str = "", of: float | None = None
) -> dict[str, Any]:
    """A change as arrow, number and word.

    Args:
        value: the change, in fractions of 1; None shows nothing.
        good: "up" when more is better, "down" when less is.
        unit: "%" writes percentage points.
        word: what it is measured against, e.g. "since waking".
        of: the score after it; where that and the one before are small, the change has more decimals.
    """
    if value is None:
        return {"known": False}
    # Percentages have their own digit.
    digits = decimals() if of is None or unit == "%" else decimals(of, of - value)
    still = abs(value) < 0.5 * 10**-digits
    size = f"{fixed(abs(100 * value), 1)} %" if unit == "%" else fixed(abs(value), digits)
    better = (value > 0) == (good == "up")
    return {
        "known": True,
        "still": still,
        "tone": "" if still else ("good" if better else "bad"),
        "arrow": "▲" if value > 0 else "▼",
        "text": ("+" if value > 0 else MINUS) + size,
        "verdict": _("better") if better else _("worse"),
        "word": word,
    }


@register.inclusion_tag("core/_badge.html")
def badge(state: str, label: str) -> dict[str, str]:
    """A state in its own colour: `state` is the value (its CSS class), `label` the word shown."""
    return {"state": state, "label": label}


@register.simple_tag(takes_context=True)
def nav_current(context: Context, section: str) -> str | SafeString:
    """`aria-current` for the section of the site that the page belongs to."""
    path = getattr(context.get("request"), "path", None)
    if path is None:
        return ""
    places = _SECTIONS[section]
    here = path == "/" if places == ("/",) else any(path.startswith(place) for place in places)
    return format_html(' aria-current="{}"', "page") if here else ""
