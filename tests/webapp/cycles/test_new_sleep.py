"""Putting a model to sleep from the page: one click, or every value."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from consolidation.recipe import PRESETS, SleepRecipe
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.core.store import store_path
from webapp.cycles.models import Cycle
from webapp.cycles.recipe_form import recipe_groups, typed_recipe
from webapp.cycles.sleep_plan import day_at_hand, estimates, known_wake, planned_steps, replayed_rows
from webapp.memories.models import RecordSet
from webapp.projects.selectors import holdings

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


@pytest.fixture
def awake(project: Project) -> Project:
    """A rested line that has learned something since."""
    project.tasks.all().delete()
    rows.night(project)
    rows.checkpoint(project, "wake", wake={"examples": 1000, "lr": 0.2})
    return project


def address(project: Project) -> str:
    return reverse("cycle_create", kwargs={"project_id": project.pk})


def newest(project: Project) -> Cycle:
    return Cycle.objects.filter(project=project).latest("number")


def test_one_click_sleeps_and_shows_it(bob: User, awake: Project) -> None:
    answer = logged_in(bob).post(address(awake), {"preset": "night"})
    cycle = newest(awake)
    assert answer["Location"] == reverse("cycle_detail", kwargs={"cycle_id": cycle.pk})
    assert (cycle.kind, cycle.state, cycle.preset, cycle.base) == ("sleep", "queued", "night", awake.current)
    assert (cycle.recipe["wake_examples"], cycle.recipe["wake_lr"]) == (1000, 0.2)


def test_what_is_typed_goes_over_the_preset(bob: User, awake: Project) -> None:
    form = {
        "preset": "deep",
        "wake_examples": "",
        "wake_lr": "",
        "rounds": "3",
        "noise": "0,1",
        "optimizer": "adamw",
    }
    logged_in(bob).post(address(awake), form)
    recipe = newest(awake).recipe
    assert (recipe["rounds"], recipe["noise"], recipe["optimizer"]) == (3, 0.1, "adamw")
    assert (recipe["dream"], recipe["wake_examples"]) == (PRESETS["deep"].dream, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration", "-1"),
        ("batch", "0"),
        ("batch", "2.5"),
        ("noise", "much"),
        ("noise", "nan"),
        ("rounds", "1e99"),
    ],
)
def test_a_value_out_of_range_is_refused_beside_its_field(
    bob: User, awake: Project, field: str, value: str
) -> None:
    before = Cycle.objects.count()
    answer = logged_in(bob).post(address(awake), {"preset": "night", field: value})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f'id="f-{field}-note" class="error"' in page
    assert "cycle.param_range" in page
    assert f'value="{value}"' in page
    assert Cycle.objects.count() == before


@pytest.mark.parametrize(
    "form", [{"preset": "coma"}, {"preset": "night", "base": "99"}, {"preset": "night", "base": "x"}]
)
def test_a_choice_that_is_not_there_is_refused(bob: User, awake: Project, form: dict[str, str]) -> None:
    before = Cycle.objects.count()
    assert logged_in(bob).post(address(awake), form).status_code == 422
    assert Cycle.objects.count() == before


def test_an_older_checkpoint_can_be_chosen(bob: User, awake: Project) -> None:
    logged_in(bob).post(address(awake), {"preset": "nap", "base": "1"})
    chosen = newest(awake).base
    assert chosen is not None
    assert chosen.number == 1


def test_without_memories_it_says_what_to_do(bob: User, awake: Project) -> None:
    RecordSet.objects.filter(use="memories").delete()
    client = logged_in(bob)
    page = client.get(address(awake)).content.decode()
    assert "There are no memories" in page
    assert reverse("records_list", kwargs={"project_id": awake.pk}) in page
    answer = client.post(address(awake), {"preset": "night"})
    assert answer.status_code == 422
    assert "cycle.no_memories" in answer.content.decode()


def test_a_viewer_gets_a_sentence(vera: User, awake: Project) -> None:
    before = Cycle.objects.count()
    client = logged_in(vera)
    assert client.get(address(awake)).status_code == 403
    assert client.post(address(awake), {"preset": "night"}).status_code == 403
    assert Cycle.objects.count() == before


def test_the_page_is_flat_in_rows(
    alice: User, awake: Project, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client, counts = logged_in(alice), []
    for wanted in (3, 30):
        while RecordSet.objects.filter(use="probe").count() < wanted:
            rows.night(awake)
        with django_assert_max_num_queries(15) as queries:
            assert client.get(address(awake)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_every_value_of_the_recipe_has_a_field() -> None:
    shown = {field["name"] for group in recipe_groups({}, {}) for field in group["fields"]}
    elsewhere = {"preset", "wake_examples", "wake_lr", "snapshot_every_s", "snapshot_every_steps"}
    assert shown | elsewhere == {item.name for item in dataclasses.fields(SleepRecipe)}
    assert not shown & elsewhere


def test_ranges_and_what_an_empty_field_means_are_said() -> None:
    fields = {field["name"]: field for group in recipe_groups({}, {}) for field in group["fields"]}
    assert fields["anchor"]["allowed"] == "0 – 1e9"
    assert fields["noise"]["allowed"] == "0 – 10"
    assert fields["seed"]["allowed"] == "0 – 2,147,483,647"
    assert {name: field["unset"] for name, field in fields.items() if field["unset"]} == {
        "lr": "from the wake's",
        "merge": "by the memories",
    }
    optional = {item.name for item in dataclasses.fields(SleepRecipe) if item.metadata.get("optional")}
    assert optional == {"lr", "merge", "wake_examples", "wake_lr"}, "an empty field says what it means"


@pytest.mark.parametrize(("typed", "merge"), [("", None), ("0", 0.0), ("0,3", 0.3)])
def test_an_empty_merge_is_by_the_memories_and_zero_is_off(
    bob: User, awake: Project, typed: str, merge: float | None
) -> None:
    logged_in(bob).post(address(awake), {"preset": "night", "merge": typed})
    assert newest(awake).recipe["merge"] == merge


def test_the_checklist_says_when_the_days_training_set_is_used(bob: User, project: Project) -> None:
    project.tasks.all().delete()
    rows.night(project)
    client, words = logged_in(bob), "The training set of “task 1” is here"
    data = RecordSet.objects.get(project=project, use="training")
    path = store_path(project.workspace_id, data.sha256)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert words not in client.get(address(project)).content.decode(), "it has slept since"
    woke = rows.cycle(project, "wake", "succeeded", data=data, base=project.current)
    rows.checkpoint(project, "wake", cycle=woke)
    assert words in client.get(address(project)).content.decode()
    day, held, night = day_at_hand(project), holdings(project), PRESETS["night"]
    assert replayed_rows(night, held, None) == 200, "the memories alone"
    assert replayed_rows(night, held, day) == 1000, "the day's records for the task's memories"
    assert replayed_rows(dataclasses.replace(night, fresh=300), held, day) == 300
    assert replayed_rows(PRESETS["literal"], held, day) == 200
    assert replayed_rows(night, [], day) == 0, "no memories, no night"
    found = estimates(project, PRESETS, held, None, day)
    assert (found["night"].steps, found["literal"].steps) == (313, 63)
    data.replaced_at = timezone.now()
    data.save()
    assert words not in client.get(address(project)).content.decode(), "it was replaced"
    data.replaced_at, data.trashed_at = None, timezone.now()
    data.save()
    assert words not in client.get(address(project)).content.decode(), "it is in the trash"
    data.trashed_at = None
    data.save()
    assert words in client.get(address(project)).content.decode()
    path.unlink()
    assert words not in client.get(address(project)).content.decode(), "the file is gone"


def test_empty_fields_are_not_typed() -> None:
    assert typed_recipe({"preset": "night", "noise": " ", "batch": "8"}) == {"batch": 8.0}


def test_planned_steps_follow_the_wake_or_the_memories_up_to_the_cap() -> None:
    night = PRESETS["night"]
    assert planned_steps(night, 1000, 60_000) == 141
    assert planned_steps(night, 1000, None) == 313
    assert planned_steps(night, 10, 60_000) == 8
    assert planned_steps(night, 0, 60_000) is None


def test_the_wake_is_counted_since_the_last_sleep(project: Project) -> None:
    rows.night(project)
    for _ in range(3):
        rows.checkpoint(project, "wake", wake={"examples": 500, "lr": 0.1})
    assert known_wake(project.current) == {"wake_examples": 1500, "wake_lr": 0.1}
    rows.checkpoint(project, "upload")
    assert known_wake(project.current) == {}
    assert known_wake(None) == {}
