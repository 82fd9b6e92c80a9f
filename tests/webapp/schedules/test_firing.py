"""A schedule fires once a time, whoever asks and however often; what it did not do is written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.jobs import Lab
from tests.webapp.cycles.test_claim import in_threads
from tests.webapp.cycles.test_services import ready_to_sleep
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User
from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import Forbidden, InvalidInput
from webapp.core.models import AuditEntry
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_cancel
from webapp.projects.models import Project
from webapp.schedules.models import Outcome, Schedule, ScheduleFire
from webapp.schedules.services import (
    database_now,
    schedule_create,
    schedule_delete,
    schedule_update,
    schedules_fire_due,
)


@pytest.fixture
def lab(db: None) -> Lab:
    return Lab.make()


def nightly(lab: Lab, **fields: object) -> Schedule:
    schedule = schedule_create(
        actor=lab.alice, project=lab.project, name="every night", cron="0 2 * * *", timezone="Europe/Berlin"
    )
    for name, value in fields.items():
        setattr(schedule, name, value)
    schedule.save()
    return schedule


def due(lab: Lab, ago: timedelta = timedelta(seconds=5)) -> Schedule:
    return nightly(lab, next_fire_at=database_now() - ago)


def outcomes(schedule: Schedule) -> list[tuple[str, bool]]:
    fires = ScheduleFire.objects.filter(schedule=schedule).order_by("fire_at")
    return [(fire.outcome, fire.cycle_id is not None) for fire in fires]


def test_it_starts_a_sleep_and_moves_on(lab: Lab) -> None:
    ready_to_sleep(lab)
    schedule = due(lab)
    assert schedules_fire_due() == 1
    cycle = Cycle.objects.get(schedule=schedule)
    assert (cycle.kind, cycle.preset, cycle.created_by) == ("sleep", "night", None)
    assert outcomes(schedule) == [(Outcome.STARTED, True)]
    schedule.refresh_from_db()
    assert schedule.next_fire_at is not None
    assert schedule.next_fire_at > database_now()
    assert schedules_fire_due() == 0


def test_a24_weights_that_are_not_finite_are_not_scheduled(lab: Lab) -> None:
    ready_to_sleep(lab)
    schedule = due(lab)
    Checkpoint.objects.filter(project=lab.project).update(non_finite=True)
    assert schedules_fire_due() == 0
    assert outcomes(schedule) == [(Outcome.SKIPPED, False)]
    assert "NaN or infinite weights" in ScheduleFire.objects.get(schedule=schedule).reason


def test_it_uses_what_the_checkpoint_of_that_night_knows_of_its_wake(lab: Lab) -> None:
    ready_to_sleep(lab)
    schedule = due(lab)
    current = Project.objects.get(pk=lab.project.pk).current
    assert current is not None
    current.wake = {"examples": 6000, "lr": 0.2}
    current.save()
    assert schedules_fire_due() == 1
    recipe = Cycle.objects.get(schedule=schedule).recipe
    assert (recipe["wake_examples"], recipe["wake_lr"]) == (6000, 0.2)


def test_eight_clocks_fire_it_once(transactional_db: None) -> None:
    lab = Lab.make()
    ready_to_sleep(lab)
    schedule = due(lab)
    started: list[int] = []
    in_threads(8, lambda _: started.append(schedules_fire_due()))
    assert sum(started) == 1
    assert Cycle.objects.filter(schedule=schedule).count() == 1
    assert outcomes(schedule) == [(Outcome.STARTED, True)]


def test_a_clock_that_was_set_back_does_not_fire_again(lab: Lab) -> None:
    ready_to_sleep(lab)
    schedule = due(lab)
    fire_at = schedule.next_fire_at
    assert schedules_fire_due() == 1
    cycle_cancel(actor=lab.alice, cycle=Cycle.objects.get(schedule=schedule))
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=fire_at)
    assert schedules_fire_due() == 0
    assert outcomes(schedule) == [(Outcome.STARTED, True)]


def test_after_an_outage_the_night_is_missed_and_the_next_one_comes(lab: Lab) -> None:
    ready_to_sleep(lab)
    schedule = due(lab, ago=timedelta(hours=3))
    assert schedules_fire_due() == 0
    assert outcomes(schedule) == [(Outcome.MISSED, False)]
    schedule.refresh_from_db()
    assert schedule.next_fire_at is not None
    assert database_now() - timedelta(hours=1) < schedule.next_fire_at


def test_a_short_outage_is_caught_up_on(lab: Lab) -> None:
    ready_to_sleep(lab)
    due(lab, ago=timedelta(minutes=50))
    assert schedules_fire_due() == 1


def test_a_long_outage_of_a_busy_schedule_is_caught_up_on_once(lab: Lab) -> None:
    ready_to_sleep(lab)
    schedule = nightly(lab, cron="*/5 * * * *", next_fire_at=database_now() - timedelta(hours=3))
    for _ in range(5):
        schedules_fire_due()
    assert Cycle.objects.filter(schedule=schedule).count() == 1
    assert [outcome for outcome, _ in outcomes(schedule)] == [Outcome.MISSED, Outcome.STARTED]


def test_one_that_cannot_be_fired_does_not_starve_the_others(lab: Lab) -> None:
    ready_to_sleep(lab)
    broken = due(lab, ago=timedelta(seconds=20))
    Schedule.objects.filter(pk=broken.pk).update(timezone="Atlantis/Poseidonis")
    good = due(lab)
    assert schedules_fire_due() == 1
    assert Cycle.objects.get().schedule == good
    broken.refresh_from_db()
    assert not broken.enabled


def test_a_cron_line_that_is_too_long_is_refused(lab: Lab) -> None:
    with pytest.raises(InvalidInput) as refused:
        schedule_create(
            actor=lab.alice,
            project=lab.project,
            name="long",
            cron=",".join(["0"] * 80) + " 2 * * *",
            timezone="UTC",
        )
    assert refused.value.code == "schedule.cron"


def test_the_night_before_still_runs(lab: Lab) -> None:
    ready_to_sleep(lab)
    schedule = due(lab)
    assert schedules_fire_due() == 1
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=database_now())
    assert schedules_fire_due() == 0
    assert outcomes(schedule) == [(Outcome.STARTED, True), (Outcome.SKIPPED, False)]
    last = ScheduleFire.objects.latest("fire_at")
    assert last.reason == "The night before has not ended yet."


def test_what_cannot_start_is_skipped_with_its_sentence(lab: Lab) -> None:
    schedule = due(lab)
    assert schedules_fire_due() == 0
    fire = ScheduleFire.objects.get(schedule=schedule)
    assert fire.outcome == Outcome.SKIPPED
    assert fire.reason.startswith("This project has no checkpoint yet")


def test_a_schedule_that_is_off_does_nothing(lab: Lab) -> None:
    schedule = due(lab)
    schedule_update(actor=lab.alice, schedule=schedule, enabled=False)
    Schedule.objects.filter(pk=schedule.pk).update(next_fire_at=database_now() - timedelta(seconds=1))
    assert schedules_fire_due() == 0
    assert outcomes(schedule) == []


def test_the_first_time_is_known_at_once_and_follows_changes(lab: Lab) -> None:
    schedule = nightly(lab)
    assert schedule.next_fire_at is not None
    assert schedule.next_fire_at.astimezone(UTC).hour in {0, 1}
    changed = schedule_update(actor=lab.alice, schedule=schedule, cron="0 9 1 1 *", timezone="UTC")
    assert changed.next_fire_at is not None
    assert (changed.next_fire_at.month, changed.next_fire_at.day, changed.next_fire_at.hour) == (1, 1, 9)
    schedule_delete(actor=lab.alice, schedule=changed)
    verbs = AuditEntry.objects.filter(object_type="schedule").order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["schedule_create", "schedule_update", "schedule_delete"]


def test_only_admins_schedule_and_only_sense_is_accepted(lab: Lab) -> None:
    bob = User.objects.create_user("bob@example.org", "correct horse battery")
    Membership.objects.create(workspace=lab.workspace, user=bob, role=Role.EDITOR)
    good = {"name": "n", "cron": "0 2 * * *", "timezone": "UTC", "preset": "night"}
    with pytest.raises(Forbidden):
        schedule_create(actor=bob, project=lab.project, **good)
    for bad, code in (
        ({"name": " "}, "schedule.name"),
        ({"cron": "x"}, "schedule.cron"),
        ({"timezone": "x"}, "schedule.timezone"),
        ({"preset": "coma"}, "cycle.param_range"),
    ):
        with pytest.raises(InvalidInput) as error:
            schedule_create(actor=lab.alice, project=lab.project, **(good | bad))
        assert error.value.code == code
    assert not Schedule.objects.exists()


def test_the_database_says_what_time_it_is(lab: Lab) -> None:
    assert abs(database_now() - datetime.now(UTC)) < timedelta(seconds=30)
