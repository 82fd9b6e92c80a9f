"""The schedule pages: three clicks to a nightly sleep, and errors where they belong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.schedules.models import Schedule

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project

GOOD = {"name": "Nightly", "cron": "0 2 * * *", "timezone": "Europe/Berlin", "preset": "night"}


def of(project: Project) -> str:
    return reverse("schedule_list", kwargs={"project_id": project.pk})


def at(schedule: Schedule, name: str = "schedule_detail") -> str:
    return reverse(name, kwargs={"schedule_id": schedule.pk})


def test_use_this_makes_a_schedule(alice: User, project: Project) -> None:
    assert logged_in(alice).post(of(project), GOOD)["Location"] == of(project)
    made = Schedule.objects.get()
    assert (made.cron, made.timezone, made.preset, made.enabled) == (
        "0 2 * * *",
        "Europe/Berlin",
        "night",
        True,
    )
    assert made.next_fire_at is not None


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("cron", "every night", "schedule.cron"),
        ("cron", "0 2 30 2 *", "schedule.cron"),
        ("timezone", "Mars/Olympus", "schedule.timezone"),
        ("timezone", "../../etc/passwd", "schedule.timezone"),
        ("name", "", "schedule.name"),
        ("preset", "coma", "cycle.param_range"),
    ],
)
def test_a_bad_value_is_refused_and_kept_in_the_form(
    alice: User, project: Project, field: str, value: str, code: str
) -> None:
    answer = logged_in(alice).post(of(project), GOOD | {field: value})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert code in page
    assert not Schedule.objects.exists()


def test_the_preview_shows_five_runs_in_the_zone_and_in_utc(alice: User) -> None:
    answer = logged_in(alice).get(
        reverse("schedule_preview"), {"cron": "0 2 * * *", "timezone": "Asia/Kolkata"}
    )
    page = answer.content.decode()
    assert page.count("<time") == 5
    assert page.count(", 02:00</time>") == 5
    assert page.count(", 20:30</td>") == 5


def test_the_preview_of_nonsense_is_a_sentence(alice: User) -> None:
    answer = logged_in(alice).get(reverse("schedule_preview"), {"cron": "<b>", "timezone": "UTC"})
    assert "schedule.cron" in answer.content.decode()
    assert "<b>" not in answer.content.decode()


def test_editing_switching_and_deleting(alice: User, project: Project) -> None:
    schedule, client = rows.schedule(project), logged_in(alice)
    client.post(at(schedule), GOOD | {"cron": "0 3 * * *", "preset": "nap"})
    client.post(at(schedule, "schedule_switch"), {"enabled": "0"})
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.preset, schedule.enabled) == ("0 3 * * *", "nap", False)
    client.post(at(schedule, "schedule_switch"), {"enabled": "1"})
    schedule.refresh_from_db()
    assert schedule.enabled
    client.post(at(schedule, "schedule_delete"))
    assert not Schedule.objects.exists()


def test_the_page_of_one_says_why_it_was_skipped(vera: User, project: Project) -> None:
    page = logged_in(vera).get(at(rows.schedule(project))).content.decode()
    assert "still asleep" in page
    assert "Skipped" in page


def test_editors_see_it_but_only_admins_change_it(bob: User, project: Project) -> None:
    schedule, client = rows.schedule(project), logged_in(bob)
    page = client.get(of(project)).content.decode()
    assert at(schedule, "schedule_switch") not in page
    for answer in (
        client.post(of(project), GOOD),
        client.post(at(schedule), GOOD | {"cron": "0 9 * * *"}),
        client.post(at(schedule, "schedule_switch"), {"enabled": "0"}),
        client.post(at(schedule, "schedule_delete")),
    ):
        assert answer.status_code == 403
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.enabled) == ("0 2 * * *", True)


def test_the_pages_are_flat_in_rows(
    alice: User, workspace: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = logged_in(alice)
    first = rows.project_of(workspace, "first")
    for page in (reverse("schedule_overview"), of(first)):
        counts = []
        for wanted in (3, 30):
            while first.schedules.count() < wanted:
                rows.schedule(first)
                rows.schedule(rows.project_of(workspace, "another"))
            with django_assert_max_num_queries(15) as queries:
                assert client.get(page).status_code == 200
            counts.append(len(queries))
        assert counts[0] == counts[1]
        Schedule.objects.all().delete()


def test_the_overview_shows_a_stranger_nothing(charlie: User, project: Project) -> None:
    rows.schedule(project, "secret plan")
    assert "secret plan" not in logged_in(charlie).get(reverse("schedule_overview")).content.decode()
