"""Undo: the toast that tells what was done carries the way back."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils import timezone

from tests.support import night
from tests.support.night_script import Night
from tests.webapp import rows
from tests.webapp.conftest import logged_in, member
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership
from webapp.cycles.choices import State
from webapp.memories.models import Use
from webapp.schedules.models import Schedule, ScheduleFire
from webapp.schedules.services import UNDO, schedules_fire_due, schedules_forget

if TYPE_CHECKING:
    from django.test import Client

    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project


def undo(client: Client, address: str, **fields: str) -> None:
    """Do something, then press the toast's "Undo"."""
    page = client.post(address, fields, follow=True).content.decode()
    toast = re.search(r'<div class="toast toast--success">(.*?)</div>', page, re.DOTALL)
    assert toast, "nothing was told"
    form = re.search(r'<form method="post" action="([^"]+)">(.*?)</form>', toast.group(1), re.DOTALL)
    assert form, "no way back was offered"
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form.group(2)))
    hidden.pop("csrfmiddlewaretoken", None)
    answer = client.post(form.group(1), {key: unescape(value) for key, value in hidden.items()}, follow=True)
    assert answer.status_code == 200


def test_a_deleted_schedule_comes_back_with_its_past(alice: User, project: Project) -> None:
    schedule, client = rows.schedule(project), logged_in(alice)
    fires = ScheduleFire.objects.filter(schedule=schedule).count()
    Schedule.objects.update(next_fire_at=timezone.now())
    undo(client, reverse("schedule_delete", args=[schedule.pk]))
    back = Schedule.objects.get()
    assert (back.name, back.cron, back.enabled) == (schedule.name, schedule.cron, schedule.enabled)
    assert back.next_fire_at is not None and back.next_fire_at > timezone.now()
    assert ScheduleFire.objects.filter(schedule=back).count() == fires > 0


def test_a_deleted_schedule_is_nowhere_and_fires_no_more(alice: User, project: Project) -> None:
    schedule, client = rows.schedule(project), logged_in(alice)
    Schedule.objects.update(next_fire_at=timezone.now())
    client.post(reverse("schedule_delete", args=[schedule.pk]))
    assert schedules_fire_due() == 0
    assert client.get(reverse("schedule_detail", args=[schedule.pk])).status_code == 404
    for page in ("home", "schedule_overview"):
        assert schedule.name not in client.get(reverse(page), headers={"X-Refresh": "1"}).content.decode()


def test_a_day_later_it_is_really_gone(alice: User, project: Project) -> None:
    schedule = rows.schedule(project)
    logged_in(alice).post(reverse("schedule_delete", args=[schedule.pk]))
    assert schedules_forget() == 0
    Schedule.everything.update(deleted_at=timezone.now() - UNDO)
    assert schedules_forget() == 1
    assert not Schedule.everything.exists()


def test_only_who_may_delete_may_bring_back(alice: User, bob: User, project: Project) -> None:
    schedule = rows.schedule(project)
    logged_in(alice).post(reverse("schedule_delete", args=[schedule.pk]))
    assert logged_in(bob).post(reverse("schedule_restore", args=[schedule.pk])).status_code == 403
    assert not Schedule.objects.exists()


def test_a_switch_is_switched_back(alice: User, project: Project) -> None:
    schedule = rows.schedule(project)
    undo(logged_in(alice), reverse("schedule_switch", args=[schedule.pk]), enabled="0")
    schedule.refresh_from_db()
    assert schedule.enabled


def test_the_checkpoint_that_was_current_is_current_again(alice: User, workspace: Workspace) -> None:
    cycle = night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=alice), actor=alice))
    made = night.finish(cycle, Night(seconds=3), verdict="unchanged")
    project = cycle.project
    before = project.current_id
    assert before and before != made.pk
    undo(logged_in(alice), reverse("checkpoint_promote", args=[made.pk]))
    project.refresh_from_db()
    assert project.current_id == before


def test_a_project_has_its_old_name_again(alice: User, project: Project) -> None:
    before = project.name
    undo(logged_in(alice), reverse("project_rename", args=[project.pk]), name='a "new" <name>')
    project.refresh_from_db()
    assert project.name == before


def test_a_member_has_the_old_role_again(alice: User, workspace: Workspace) -> None:
    dan = member(workspace, "dan@example.org", Role.VIEWER)
    membership = Membership.objects.get(user=dan)
    undo(logged_in(alice), reverse("membership_change", args=[membership.pk]), role="editor")
    membership.refresh_from_db()
    assert membership.role == Role.VIEWER


def test_a_sleep_that_was_started_by_mistake_is_cancelled(alice: User, project: Project) -> None:
    rows.checkpoint(project)
    for use in (Use.MEMORIES, Use.PROBE):
        rows.record_set(project.tasks.get(), use)
    undo(logged_in(alice), reverse("cycle_create", args=[project.pk]), preset="night")
    assert project.cycles.get().state == State.CANCELLED
