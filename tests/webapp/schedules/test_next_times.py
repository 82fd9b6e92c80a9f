"""Cron in the schedule's own zone, on the days when the clocks change and on all others."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from webapp.core.errors import InvalidInput
from webapp.schedules.selectors import next_times


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def times(cron: str, zone: str, after: datetime, count: int = 3) -> list[str]:
    return [each.astimezone(UTC).strftime("%m-%d %H:%M") for each in next_times(cron, zone, count, after)]


def test_every_night_at_two_is_two_o_clock_there() -> None:
    assert times("0 2 * * *", "Asia/Tokyo", utc(2026, 6, 1)) == ["06-01 17:00", "06-02 17:00", "06-03 17:00"]


def test_the_hour_that_does_not_exist_runs_right_after_the_jump() -> None:
    # Berlin, 29 March 2026: 2:00 becomes 3:00, which is 1:00 UTC.
    assert times("30 2 * * *", "Europe/Berlin", utc(2026, 3, 28, 2)) == [
        "03-29 01:00",
        "03-30 00:30",
        "03-31 00:30",
    ]


def test_the_hour_that_comes_twice_runs_once() -> None:
    # Berlin, 25 October 2026: 3:00 becomes 2:00.
    found = times("30 2 * * *", "Europe/Berlin", utc(2026, 10, 24, 12))
    assert found == ["10-25 00:30", "10-26 01:30", "10-27 01:30"]


def test_the_next_time_is_after_the_last_even_across_a_change() -> None:
    for start in (utc(2026, 3, 28), utc(2026, 10, 24)):
        moment = start
        for _ in range(5):
            following = next_times("30 2 * * *", "Europe/Berlin", 1, moment)[0]
            assert following > moment
            moment = following
        assert (moment - start).days in {4, 5}


def test_times_are_given_in_the_schedules_zone() -> None:
    found = next_times("0 2 * * *", "America/New_York", 1, utc(2026, 1, 1, 12))[0]
    assert (found.hour, str(found.tzinfo)) == (2, "America/New_York")


@pytest.mark.parametrize(
    "cron",
    ["", "never", "0 2 * *", "61 2 * * *", "0 2 30 2 *", "* * * * * *", "0 2 * * * ; rm -rf /", "@daily"],
)
def test_a_bad_cron_line_is_a_sentence(cron: str) -> None:
    with pytest.raises(InvalidInput) as error:
        next_times(cron, "UTC")
    assert error.value.code == "schedule.cron"


@pytest.mark.parametrize(
    "zone", ["", "Mars/Base", "/etc/passwd", "../../etc/passwd", "europe/berlin/x", "a\x00b"]
)
def test_a_bad_zone_is_a_sentence(zone: str) -> None:
    with pytest.raises(InvalidInput) as error:
        next_times("0 2 * * *", zone)
    assert error.value.code == "schedule.timezone"
