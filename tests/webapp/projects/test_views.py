"""The project pages: who sees which button, what each stage of a line offers, and at what price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.checkpoints.models import Score
from webapp.core.models import AuditEntry
from webapp.memories.models import RecordSet
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace


def address(project: Project) -> str:
    return reverse("project_detail", kwargs={"project_id": project.pk})


def look(user: User, project: Project) -> str:
    answer = logged_in(user).get(address(project))
    assert answer.status_code == 200
    return answer.content.decode()


def test_one_field_makes_a_project(bob: User) -> None:
    answer = logged_in(bob).post(reverse("project_create"), {"name": "  support   bot "})
    made = Project.objects.get()
    assert made.name == "support bot"
    assert answer["Location"] == address(made)


def test_it_can_go_on_to_the_upload(bob: User) -> None:
    answer = logged_in(bob).post(reverse("project_create"), {"name": "x", "then": "upload"})
    assert answer["Location"] == reverse("checkpoint_upload", kwargs={"project_id": Project.objects.get().pk})


@pytest.mark.parametrize("name", ["", "   ", "x" * 121])
def test_a_bad_name_is_refused_beside_its_field(bob: User, name: str) -> None:
    answer = logged_in(bob).post(reverse("project_create"), {"name": name})
    assert answer.status_code == 422
    assert "project.name_" in answer.content.decode()
    assert 'aria-invalid="true"' in answer.content.decode()
    assert not Project.objects.exists()


def test_a_viewer_gets_a_sentence_and_no_project(vera: User) -> None:
    client = logged_in(vera)
    for answer in (
        client.get(reverse("project_create")),
        client.post(reverse("project_create"), {"name": "x"}),
    ):
        assert answer.status_code == 403
        assert "role.missing" in answer.content.decode()
    assert not Project.objects.exists()


def test_renaming(bob: User, vera: User, project: Project) -> None:
    rename = reverse("project_rename", kwargs={"project_id": project.pk})
    assert logged_in(vera).post(rename, {"name": "mine"}).status_code == 403
    logged_in(bob).post(rename, {"name": "new name"})
    project.refresh_from_db()
    assert project.name == "new name"
    assert AuditEntry.objects.filter(verb="project_rename").count() == 1


def test_names_are_shown_as_text(bob: User, workspace: Workspace) -> None:
    made = rows.project_of(workspace, "<script>alert(1)</script>")
    assert "<script>alert" not in look(bob, made)


def test_an_empty_line_asks_for_a_checkpoint(bob: User, vera: User, project: Project) -> None:
    upload = reverse("checkpoint_upload", kwargs={"project_id": project.pk})
    assert upload in look(bob, project)
    assert upload not in look(vera, project)


def test_a_checkpoint_alone_asks_for_memories_and_probes(bob: User, project: Project) -> None:
    rows.checkpoint(project)
    assert "It needs memories and probes before it can sleep." in look(bob, project)


def test_an_awake_model_offers_one_click_and_says_what_it_lost(
    bob: User, vera: User, project: Project
) -> None:
    rows.night(project)
    awake = rows.checkpoint(project, "wake")
    new = Task.objects.create(project=project, name="newest", position=9)
    old = Task.objects.get(name="task 2")
    Score.objects.create(checkpoint=awake, task=old, value=0.4, examples=10)
    Score.objects.create(checkpoint=awake, task=new, value=0.9, examples=10)
    page = look(bob, project)
    assert "has lost 50.0 % on task 2" in page
    assert 'name="preset" value="night"' in page
    assert 'name="preset" value="night"' not in look(vera, project)


def test_a_queue_of_wakes_says_where_it_is(bob: User, project: Project) -> None:
    for position, state in enumerate(("succeeded", "running", "queued"), start=10):
        task = Task.objects.create(project=project, name=f"lesson {position}", position=position)
        wake = rows.cycle(project, "wake", state, data=rows.record_set(task, "training"))
        if state == "succeeded":
            rows.checkpoint(project, "wake", cycle=wake)
    page = look(bob, project)
    assert "Learning task 2 of 3" in page
    assert "lesson 11" in page


def test_wakes_that_failed_are_no_lessons(bob: User, project: Project) -> None:
    rows.cycle(project, "wake", "failed")
    rows.cycle(project, "wake", "running")
    assert "Learning task 1 of 1" in look(bob, project)


def test_a_rested_line_shows_its_matrix_and_its_proof(bob: User, project: Project) -> None:
    for _ in range(2):
        rested = rows.night(project)
    page = look(bob, project)
    assert "Retention matrix" in page
    assert "heat--current" in page
    assert 'aria-current="true"' in page
    assert str(rested) in page
    assert 'name="preset" value="night"' not in page.split("Next sleep")[0]


def test_the_line_s_mean_leaves_out_what_was_still_to_come(bob: User, project: Project) -> None:
    """The wake that learns task 2 first scores v1 on it: that low score is no forgetting of v1."""
    project.tasks.all().delete()
    for position in (1, 2):
        task = Task.objects.create(project=project, name=f"task {position}", position=position)
        wake = rows.cycle(project, "wake", "succeeded", data=rows.record_set(task, "training"))
        rows.checkpoint(project, "wake", cycle=wake)
    scores = {(1, "task 1"): 0.96, (1, "task 2"): 0.10, (2, "task 1"): 0.50, (2, "task 2"): 0.94}
    for (number, name), value in scores.items():
        Score.objects.create(
            checkpoint=project.checkpoints.get(number=number),
            task=project.tasks.get(name=name),
            value=value,
            examples=10,
        )
    page = look(bob, project)
    assert '<span class="line__score">0.960</span>' in page
    assert '<span class="line__score">0.720</span>' in page


def test_candidates_stand_aside(bob: User, project: Project) -> None:
    rows.checkpoint(project)
    first = project.current
    rows.checkpoint(project, "sleep", standing="candidate")
    project.current = first
    project.save()
    page = look(bob, project)
    assert "line__node--aside" in page
    assert "candidate" in page


def test_only_admins_are_offered_a_schedule(alice: User, bob: User, project: Project) -> None:
    assert "Use this" in look(alice, project)
    assert "Use this" not in look(bob, project)


def test_the_detail_page_is_flat_in_rows(
    alice: User, project: Project, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client, counts = logged_in(alice), []
    for wanted in (3, 30):
        while RecordSet.objects.filter(use="probe").count() < wanted:
            rows.night(project)
            rows.schedule(project)
            rows.cycle(project, "wake", "queued")
        with django_assert_max_num_queries(15) as queries:
            assert client.get(address(project)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_list_is_flat_in_rows_and_shows_the_last_cycle(
    alice: User, workspace: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client, counts = logged_in(alice), []
    for wanted in (3, 30):
        while Project.objects.count() < wanted:
            made = rows.project_of(workspace, f"project {Project.objects.count()}")
            rows.night(made)
            rows.schedule(made)
        with django_assert_max_num_queries(15) as queries:
            page = client.get(reverse("project_list")).content.decode()
        assert "Sleep 2" in page
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_list_shows_a_stranger_nothing(charlie: User, project: Project) -> None:
    assert project.name not in logged_in(charlie).get(reverse("project_list")).content.decode()


def test_many_cycles_come_in_pages(alice: User, project: Project) -> None:
    for _ in range(20):
        rows.cycle(project, "sleep", "failed")
    first = look(alice, project)
    assert "Sleep 20" in first
    assert ">Sleep 5<" not in first
    second = logged_in(alice).get(address(project), {"page": 2}).content.decode()
    assert ">Sleep 5<" in second
