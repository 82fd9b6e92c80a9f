"""The past of a model: typed in where nobody measured it, marked, and replaced by a measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.checkpoints.known_scores import scores_enter, typed_value
from webapp.checkpoints.models import Checkpoint, Score
from webapp.core.errors import Forbidden, InvalidInput
from webapp.core.models import AuditEntry
from webapp.cycles.models import Cycle
from webapp.cycles.publish import TaskScore, _scores_write
from webapp.cycles.selectors import retention_matrix, unscored
from webapp.projects.models import Task

if TYPE_CHECKING:
    from django.test import Client

    from webapp.accounts.models import User
    from webapp.projects.models import Project


@pytest.fixture
def uploaded(project: Project) -> Checkpoint:
    return rows.checkpoint(project)


@pytest.fixture
def task(project: Project) -> Task:
    return Task.objects.get(project=project)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.95", 0.95), ("0,95", 0.95), (" 95 % ", 0.95), ("1", 1.0), ("", None), ("  ", None), ("%", None)],
)
def test_what_people_type_is_a_fraction(text: str, value: float | None) -> None:
    assert typed_value(text) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize("text", ["95", "-0.1", "101 %", "nan", "inf", "x", "1,000.5", "0x1"])
def test_what_is_no_score_changes_nothing(bob: User, uploaded: Checkpoint, task: Task, text: str) -> None:
    with pytest.raises(InvalidInput, match="allowed: 0 to 1") as refused:
        scores_enter(actor=bob, checkpoint=uploaded, values={task.pk: typed_value(text)})
    assert (refused.value.code, refused.value.detail) == ("score.range", {"field": str(task.pk)})
    assert not Score.objects.exists()


def test_on_the_page_it_is_typed_changed_and_removed(bob: User, uploaded: Checkpoint, task: Task) -> None:
    client = logged_in(bob)
    address = f"/checkpoints/{uploaded.pk}/scores/"
    for text, value in (("95 %", 0.95), ("0.9", 0.9), ("", None)):
        assert client.post(address, {str(task.pk): text}).status_code == 302
        assert list(Score.objects.values_list("value", "typed")) == ([] if value is None else [(value, True)])
    answer = client.post(address, {str(task.pk): "much"})
    assert answer.status_code == 422
    assert 'value="much"' in answer.content.decode(), "what was typed is still there"
    told = AuditEntry.objects.filter(verb="scores_enter").values_list("detail", flat=True)
    assert [entry["scores"] for entry in told.order_by("id")] == [
        {"returns": 0.95}, {"returns": 0.9}, {"returns": None},
    ]  # fmt: skip


def test_it_is_marked_and_gives_way_to_a_measurement(
    bob: User, vera: User, project: Project, uploaded: Checkpoint, task: Task
) -> None:
    scores_enter(actor=bob, checkpoint=uploaded, values={task.pk: 0.95})
    assert retention_matrix(project)["rows"][0]["typed"] == ["returns"]
    assert "typed in" in logged_in(vera).get(f"/checkpoints/{uploaded.pk}/").content.decode()
    assert "0.950, typed in" in logged_in(vera).get(f"/projects/{project.pk}/").content.decode()
    cycle = rows.cycle(project, "sleep", "publishing", base=uploaded)
    _scores_write(cycle, uploaded, {"returns": TaskScore(0.5, 2, b"\x80")}, replace=False)
    assert Score.objects.values_list("value", "typed", "examples").get() == (0.5, False, 2)
    assert scores_enter(actor=bob, checkpoint=uploaded, values={task.pk: 0.99}) == 0, "measured ones stay"
    assert retention_matrix(project)["rows"][0]["typed"] == []


def test_viewers_and_strangers_type_nothing(
    vera: User, charlie: User, uploaded: Checkpoint, task: Task
) -> None:
    with pytest.raises(Forbidden):
        scores_enter(actor=vera, checkpoint=uploaded, values={task.pk: 0.9})
    for who, status in ((vera, 403), (charlie, 404)):
        assert logged_in(who).post(f"/checkpoints/{uploaded.pk}/scores/", {}).status_code == status


def posted(client: Client, address: str) -> Any:
    return client.post(address, follow=True).content.decode()


def test_one_click_scores_what_nobody_scored_and_only_once(
    bob: User, vera: User, project: Project, uploaded: Checkpoint, task: Task
) -> None:
    client, address = logged_in(bob), f"/projects/{project.pk}/score/"
    assert "no probes yet" in posted(client, address)
    rows.record_set(task, "probe")
    second = rows.checkpoint(project)
    assert "v1, v2 have no scores" in client.get(f"/projects/{project.pk}/").content.decode()
    assert "2 checkpoints will be scored" in posted(client, address)
    assert "Every checkpoint is scored" in posted(client, address)
    made = Cycle.objects.filter(kind="score").order_by("number")
    assert [(c.base, c.state, list(c.probes.values_list("task", flat=True))) for c in made] == [
        (uploaded, "queued", [task.pk]), (second, "queued", [task.pk]),
    ]  # fmt: skip
    assert not unscored(project).exists()
    assert logged_in(vera).post(address).status_code == 403
    assert logged_in(bob).post(f"/checkpoints/{second.pk}/score/").status_code == 302
    assert made.all().count() == 3
