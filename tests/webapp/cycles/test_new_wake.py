"""Teaching a model something new from the page, and the one click that puts it to sleep after."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.urls import reverse
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from consolidation.recipe import WakeRecipe
from tests.support.rows_free import free_states
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.projects.models import Task

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.memories.models import RecordSet
    from webapp.projects.models import Project


@pytest.fixture
def training(project: Project) -> RecordSet:
    """A line with a checkpoint, and something new to learn."""
    project.tasks.all().delete()
    rows.night(project)
    task = Task.objects.create(project=project, name="warranty", position=project.tasks.count() + 1)
    rows.record_set(task, "probe")
    return rows.record_set(task, "training", rows=500)


def address(project: Project) -> str:
    return reverse("wake_create", kwargs={"project_id": project.pk})


def test_the_page_offers_what_can_be_learned(project: Project, training: RecordSet, bob: User) -> None:
    page = logged_in(bob).get(address(project)).content.decode()
    assert "warranty" in page and "500 examples" in page
    assert f'value="{training.pk}" checked' in page
    for field in dataclasses.fields(WakeRecipe):
        assert f'name="{field.name}"' in page or field.name.startswith("snapshot")
    assert "None" not in page
    assert 'placeholder="no limit"' in page
    assert 'placeholder="0"' in page
    for choice in ("herding", "max-loss", "q4"):
        assert f"<option>{choice}</option>" in page


def test_one_click_starts_a_wake_with_the_usual_recipe(
    project: Project, training: RecordSet, bob: User
) -> None:
    answer = logged_in(bob).post(address(project), {"data": training.pk})
    cycle = Cycle.objects.filter(project=project).latest("number")
    assert answer.headers["Location"] == reverse("cycle_detail", kwargs={"cycle_id": cycle.pk})
    assert (cycle.kind, cycle.state, cycle.data) == ("wake", "queued", training)
    usual = WakeRecipe().to_json() | {"snapshot_every_s": float(settings.SNAPSHOT_SECONDS)}
    assert cycle.recipe == usual


def test_what_is_typed_is_what_is_trained(project: Project, training: RecordSet, bob: User) -> None:
    logged_in(bob).post(
        address(project), {"data": training.pk, "epochs": "3", "lr": "0,05", "optimizer": "adamw"}
    )
    recipe = Cycle.objects.filter(project=project).latest("number").recipe
    assert (recipe["epochs"], recipe["lr"], recipe["optimizer"]) == (3, 0.05, "adamw")


def test_how_memories_are_kept_can_be_chosen(project: Project, training: RecordSet, bob: User) -> None:
    chosen = {"selection": "herding", "memory_bytes": "20000", "codec": "q4"}
    logged_in(bob).post(address(project), {"data": training.pk, **chosen})
    recipe = Cycle.objects.filter(project=project).latest("number").recipe
    assert (recipe["selection"], recipe["memory_bytes"], recipe["codec"]) == ("herding", 20_000, "q4")


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ({"lr": "fast"}, "cycle.param_range"),
        ({"epochs": "0"}, "cycle.param_range"),
        ({"memory_bytes": "0"}, "cycle.param_range"),
        ({"codec": "zip"}, "cycle.param_range"),
        ({"data": "none"}, "cycle.no_data"),
    ],
)
def test_nonsense_keeps_what_was_typed(
    project: Project, training: RecordSet, bob: User, typed: dict[str, str], code: str
) -> None:
    before = Cycle.objects.count()
    answer = logged_in(bob).post(address(project), {"data": str(training.pk), "batch": "77", **typed})
    page = answer.content.decode()
    assert answer.status_code == 422 and Cycle.objects.count() == before
    assert code in page
    assert 'value="77"' in page


def test_without_anything_to_learn_it_says_what_to_do(project: Project, bob: User) -> None:
    rows.checkpoint(project)
    page = logged_in(bob).get(address(project)).content.decode()
    assert "There is no training set yet" in page
    assert "disabled" in page


def test_who_may(project: Project, training: RecordSet, vera: User, charlie: User) -> None:
    assert logged_in(vera).get(address(project)).status_code == 403
    assert logged_in(charlie).post(address(project), {"data": training.pk}).status_code == 404


def test_the_page_asks_the_database_little(
    project: Project, training: RecordSet, bob: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = logged_in(bob)
    for index in range(30):
        task = Task.objects.create(project=project, name=f"more {index}", position=100 + index)
        rows.record_set(task, "training")
    with django_assert_max_num_queries(15):
        client.get(address(project))


def test_after_a_wake_the_night_is_one_click_away(
    project: Project, training: RecordSet, bob: User, vera: User
) -> None:
    with free_states():
        wake = Cycle.objects.create(
            project=project, number=90, kind="wake", state=State.SUCCEEDED, protocol=1, data=training,
            recipe={},
        )  # fmt: skip
    made = rows.checkpoint(project, "wake", cycle=wake)
    page = reverse("cycle_detail", kwargs={"cycle_id": wake.pk})
    assert "Put it to sleep" in logged_in(bob).get(page).content.decode()
    assert "Put it to sleep" not in logged_in(vera).get(page).content.decode()
    rows.checkpoint(project, "sleep")
    assert made.pk != project.current_id
    assert "Put it to sleep" not in logged_in(bob).get(page).content.decode()
