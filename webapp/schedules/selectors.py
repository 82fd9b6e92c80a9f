"""When a schedule fires, as a person in its time zone reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from webapp.core.errors import InvalidInput, cut


def zone(name: str) -> ZoneInfo:
    """The time zone by its IANA name.

    Raises:
        InvalidInput: `schedule.timezone`.
    """
    try:
        # Only names: ZoneInfo would open a path as well.
        if not name or name.startswith(("/", ".")) or ".." in name:
            raise ValueError
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise InvalidInput(
            "schedule.timezone",
            f"“{cut(name)}” is not a time zone. Give a name like Europe/Berlin, America/New_York or UTC.",
        ) from None


def next_times(cron: str, timezone: str, count: int = 5, after: datetime | None = None) -> list[datetime]:
    """The next `count` times after `after` (default: now), aware, in the schedule's zone.

    The line is Debian's cron: a fixed time that daylight saving skips runs right after the jump, one that
    occurs twice runs once.

    Raises:
        InvalidInput: `schedule.cron` or `schedule.timezone`.
    """
    where = zone(timezone)
    begin = (after or datetime.now(UTC)).astimezone(where)
    if len(cron.split()) != 5:
        raise _bad_cron(cron)
    try:
        times = list(islice(CronSim(cron, begin), count))
    except CronSimError:
        raise _bad_cron(cron) from None
    if not times:
        raise InvalidInput(
            "schedule.cron",
            f"“{cut(cron)}” never comes. Give days that exist, like 0 2 * * * for every night at 2.",
        )
    return times


def _bad_cron(cron: str) -> InvalidInput:
    return InvalidInput(
        "schedule.cron",
        f"“{cut(cron)}” is not a cron line. Give five fields: minute, hour, day, month, weekday; "
        "0 2 * * * is every night at 2:00.",
    )
