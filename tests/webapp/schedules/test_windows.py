"""Windows: what is not done at their end pauses with its snapshot and goes on at the next time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.jobs import Lab, worker
from tests.webapp.cycles.test_services import ready_to_sleep
from tests.webapp.schedules.test_firing import due, outcomes
from webapp.core.errors import InvalidInput
from webapp.cycles.choices import State
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_pause, cycle_resume
from webapp.cycles.transitions import transition
from webapp.schedules.models import Outcome, Schedule
from webapp.schedules.services import (
    database_now,
    schedule_create,
    schedule_update,
    schedules_fire_due,
)
from webapp.schedules.windows import clean_until, window_end, windows_close
from workers.outcome import pause_held

if TYPE_CHECKING:
    from django.test import Client


@pytest.fixture
def lab(db: None) -> Lab:
    made = Lab.make()
    ready_to_sleep(made)
    return made


@pytest.mark.parametrize(
    ("fire", "until", "end"),
    [
        ("2026-06-10T00:00Z", "06:00", "2026-06-10T04:00Z"),  # 02:00 to 06:00 in Berlin
        ("2026-06-10T20:00Z", "06:00", "2026-06-11T04:00Z"),  # over midnight
        ("2026-06-10T04:00Z", "06:00", "2026-06-11T04:00Z"),  # opened as it closes: a day
        ("2026-03-29T00:30Z", "06:00", "2026-03-29T04:00Z"),  # an hour shorter
        ("2026-03-29T00:30Z", "02:30", "2026-03-29T01:30Z"),  # a time that does not come
        ("2026-10-24T23:30Z", "06:00", "2026-10-25T05:00Z"),  # an hour longer
        ("2026-10-24T23:30Z", "02:30", "2026-10-25T00:30Z"),  # a time that comes twice
    ],
)
def test_the_end_of_a_window(fire: str, until: str, end: str) -> None:
    schedule = Schedule(timezone="Europe/Berlin", until=clean_until(until))
    found = window_end(schedule, datetime.fromisoformat(fire))
    assert found is not None
    assert found.astimezone(UTC) == datetime.fromisoformat(end)
    assert window_end(Schedule(timezone="UTC"), datetime.fromisoformat(fire)) is None


@pytest.mark.parametrize("text", ["25:00", "6", "soon", "06:61", "-1:00"])
def test_what_is_no_time_of_day(lab: Lab, text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        schedule_create(
            actor=lab.alice, project=lab.project, name="n", cron="0 2 * * *", timezone="UTC", until=text
        )
    assert error.value.code == "schedule.until"


def opened(lab: Lab) -> tuple[Schedule, Cycle]:
    """A night that runs in a window which has two hours left."""
    schedule = due(lab)
    soon = (database_now() + timedelta(hours=2)).astimezone(UTC)
    Schedule.objects.filter(pk=schedule.pk).update(timezone="UTC", until=soon.time().replace(microsecond=0))
    assert schedules_fire_due() == 1
    mine = claim(worker=worker())
    assert mine is not None
    return schedule, transition(mine.pk, to=State.RUNNING, expect_from=(State.STARTING,), epoch=mine.epoch)


def close(cycle: Cycle) -> None:
    Cycle.objects.filter(pk=cycle.pk).update(pause_at=database_now() - timedelta(seconds=1))
    assert windows_close() == 1
    assert windows_close() == 0
    pause_held(cycle.pk, epoch=cycle.epoch, reason="snapshot")


def again(schedule: Schedule) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=database_now() - timedelta(seconds=1))
    schedules_fire_due()


def test_a_night_pauses_when_its_window_closes_and_goes_on_in_the_next(lab: Lab) -> None:
    schedule, cycle = opened(lab)
    assert cycle.pause_at is not None
    assert timedelta(0) < cycle.pause_at - database_now() <= timedelta(hours=2)
    assert windows_close() == 0
    close(cycle)
    cycle.refresh_from_db()
    assert (cycle.state, cycle.attempt) == (State.PAUSED, 0)
    assert "window_closed" in cycle.transitions.values_list("reason", flat=True)
    again(schedule)
    cycle.refresh_from_db()
    assert cycle.state == State.QUEUED
    assert cycle.pause_at is not None
    assert cycle.pause_at > database_now()
    assert outcomes(schedule) == [(Outcome.STARTED, True), (Outcome.RESUMED, False)]
    assert Cycle.objects.filter(schedule=schedule).count() == 1


def test_what_a_person_paused_is_the_persons(lab: Lab) -> None:
    schedule, cycle = opened(lab)
    cycle_pause(actor=lab.alice, cycle=cycle)
    pause_held(cycle.pk, epoch=cycle.epoch, reason="snapshot")
    again(schedule)
    assert outcomes(schedule)[-1] == (Outcome.SKIPPED, False)
    assert Cycle.objects.get(pk=cycle.pk).state == State.PAUSED


def test_what_a_person_resumed_has_no_window_any_more(lab: Lab) -> None:
    _, cycle = opened(lab)
    close(cycle)
    assert cycle_resume(actor=lab.alice, cycle=cycle).pause_at is None
    assert windows_close() == 0


def test_a_waiting_night_whose_window_closed_waits_for_the_next(lab: Lab) -> None:
    schedule = due(lab)
    Schedule.objects.filter(pk=schedule.pk).update(until=time(6))
    schedules_fire_due()
    cycle = Cycle.objects.get(schedule=schedule)
    Cycle.objects.filter(pk=cycle.pk).update(pause_at=database_now() - timedelta(seconds=1))
    assert windows_close() == 1
    assert Cycle.objects.get(pk=cycle.pk).state == State.PAUSED
    assert claim(worker=worker()) is None
    again(schedule)
    assert Cycle.objects.get(pk=cycle.pk).state == State.QUEUED


def test_the_editor_keeps_and_clears_it(lab: Lab, client: Client) -> None:
    client.force_login(lab.alice)
    address = f"/projects/{lab.project.pk}/schedules/"
    form = {"name": "Nightly", "cron": "0 2 * * *", "timezone": "UTC", "preset": "night"}
    assert client.post(address, form | {"until": "06:00"}).status_code == 302
    schedule = Schedule.objects.get()
    assert schedule.until == time(6)
    assert "until 06:00" in client.get(address).content.decode()
    assert 'value="06:00"' in client.get(f"/schedules/{schedule.pk}/").content.decode()
    assert client.post(f"/schedules/{schedule.pk}/", form | {"until": "half past"}).status_code == 422
    assert client.post(f"/schedules/{schedule.pk}/", form | {"until": ""}).status_code == 302
    schedule.refresh_from_db()
    assert schedule.until is None
    schedule_update(actor=lab.alice, schedule=schedule, until="05:30")
    schedule_update(actor=lab.alice, schedule=schedule, name="Other")
    schedule.refresh_from_db()
    assert (schedule.until, schedule.name) == (time(5, 30), "Other")
