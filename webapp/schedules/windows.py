"""Windows: a scheduled night that is not done by the end of its window pauses and goes on in the next."""

from __future__ import annotations

import logging
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from django.db.models.functions import Now

from webapp.core.errors import Conflict, InvalidInput, cut
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_pause
from webapp.schedules.selectors import zone

if TYPE_CHECKING:
    from webapp.schedules.models import Schedule

logger = logging.getLogger(__name__)
WINDOW_CLOSED: Final = "window_closed"
WINDOW_OPEN: Final = "window_open"
_PAUSABLE: Final = (State.QUEUED, State.BLOCKED, State.STARTING, State.RUNNING)


def clean_until(text: str | time | None) -> time | None:
    """The end of a window as typed, "06:00"; None for none.

    Raises:
        InvalidInput: `schedule.until`.
    """
    if text is None or isinstance(text, time):
        return text
    if not text.strip():
        return None
    try:
        hour, minute = text.strip().split(":")[:2]
        return time(int(hour), int(minute))
    except ValueError:
        raise InvalidInput(
            "schedule.until",
            f"“{cut(text)}” is not a time of day. Give hours and minutes, like 06:00, or leave it empty.",
        ) from None


def window_end(schedule: Schedule, fire_at: datetime) -> datetime | None:
    """When the window that opened at `fire_at` closes: the next such time of day in the schedule's zone.

    A time of day that daylight saving skips is reckoned as if the clock had not jumped; of one that comes
    twice, the first counts.
    """
    if schedule.until is None:
        return None
    local = fire_at.astimezone(zone(schedule.timezone))
    end = datetime.combine(local.date(), schedule.until, tzinfo=local.tzinfo)
    if end <= local:
        end = datetime.combine(local.date() + timedelta(days=1), schedule.until, tzinfo=local.tzinfo)
    return end


def windows_close() -> int:
    """Pause every cycle whose window is over by the database's clock; how many there were."""
    over = Cycle.objects.filter(pause_at__lte=Now(), state__in=_PAUSABLE).select_related("project__workspace")
    closed = 0
    for cycle in over:
        try:
            cycle_pause(actor=None, cycle=cycle, reason=WINDOW_CLOSED)
            closed += 1
        except Conflict:
            logger.info("cycle %s ended by itself as its window closed", cycle.pk)
    return closed
