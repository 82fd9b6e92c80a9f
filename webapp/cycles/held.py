"""Since when a cycle stands where it stands, and who or what holds it back; read beside the row itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db.models import CharField, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, NullIf
from django.utils.translation import gettext_lazy as _

from webapp.cycles.choices import State
from webapp.cycles.models import Cycle, Transition

if TYPE_CHECKING:
    from datetime import datetime

# Stable words of the record that a page shows in a sentence.
WORDS: Final = {
    "window_closed": _("its window is over; it goes on at the schedule's next time"),
    "wished": _("somebody had asked for it, and the result could not be published before"),
}

Rows = TypeVar("Rows", bound=QuerySet[Any])

HELD: Final = frozenset({State.BLOCKED.value, State.PAUSING.value, State.PAUSED.value})
# The wish: a worker that then writes its snapshot moves the cycle in nobody's name.
_WISH: Final = Q(to_state=State.PAUSING) | (Q(to_state=State.PAUSED) & ~Q(from_state=State.PAUSING))


def with_held(rows: Rows) -> Rows:
    """The same rows with `held_since`, and of a pause `held_by` (a name) and `held_reason`, in one query."""
    steps = Transition.objects.filter(cycle=OuterRef("pk")).order_by("-id")
    wishes = steps.filter(_WISH)
    name = Coalesce(NullIf(F("actor__name"), Value("")), F("actor__email"), output_field=CharField())
    found: Rows = rows.annotate(
        held_since=Subquery(steps.filter(to_state=OuterRef("state")).values("at")[:1]),
        held_by=Subquery(wishes.annotate(who=name).values("who")[:1]),
        held_reason=Subquery(wishes.values("reason")[:1]),
    )
    return found


def held_words(reason: str | None) -> str:
    """A pause's reason as a person reads it; "" for none."""
    return str(WORDS.get(reason or "", reason or ""))


def held_of(cycle: Cycle) -> dict[str, Any] | None:
    """{"since": a moment, "by": a name or None, "reason": words or ""} of a row that `with_held` read.

    None: nothing holds it back. `by` and `reason` are a pause's; a block's own sentence is its error.
    """
    if cycle.state not in HELD:
        return None
    since: datetime | None = getattr(cycle, "held_since", None)
    paused = cycle.state != State.BLOCKED
    return {
        "since": since,
        "by": (getattr(cycle, "held_by", None) or None) if paused else None,
        "reason": held_words(getattr(cycle, "held_reason", None)) if paused else "",
    }
