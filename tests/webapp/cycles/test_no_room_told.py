"""A quota or a disk without room is told where it was asked for, in a sentence, and nothing is queued."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.accounts.models import Workspace
from webapp.cycles import room
from webapp.cycles.models import Cycle
from webapp.projects.models import Task

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project

# What lacks, the status of the form's page, and how the sentence begins.
LACKS = [
    ("quota", 413, "What this cycle publishes needs up to"),
    ("disk", 507, "This cycle needs"),
]


@pytest.fixture
def asleep(project: Project) -> Project:
    """A line that can sleep, and learn something new."""
    project.tasks.all().delete()
    rows.night(project)
    task = Task.objects.create(project=project, name="warranty", position=9)
    rows.record_set(task, "probe")
    rows.record_set(task, "training")
    return project


@pytest.fixture(params=LACKS, ids=[lack[0] for lack in LACKS])
def lacking(
    request: pytest.FixtureRequest, asleep: Project, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """The status and the sentence of what lacks now."""
    what, status, words = request.param
    if what == "quota":
        Workspace.objects.update(quota_bytes=1)
    else:
        monkeypatch.setattr(room, "disk_free", lambda: 100)
    return status, words


@pytest.mark.parametrize("kind", ["sleep", "wake"])
def test_a_form_tells_it_and_keeps_what_was_typed(
    asleep: Project, bob: User, lacking: tuple[int, str], kind: str
) -> None:
    status, words = lacking
    page = {"sleep": "cycle_create", "wake": "wake_create"}[kind]
    data = asleep.record_sets.get(use="training", task__name="warranty")
    answer = logged_in(bob).post(
        reverse(page, kwargs={"project_id": asleep.pk}), {"preset": "night", "data": data.pk, "batch": "77"}
    )
    text = answer.content.decode()
    assert answer.status_code == status
    assert words in text and "cycle.no_room" in text
    assert "<form" in text and 'value="77"' in text
    assert not Cycle.objects.filter(state="queued").exists()


def test_trying_again_tells_it_on_the_cycles_own_page(
    asleep: Project, bob: User, lacking: tuple[int, str]
) -> None:
    failed = rows.cycle(asleep, "sleep", "failed", base=asleep.current, recipe={"preset": "night"})
    answer = logged_in(bob).post(f"/cycles/{failed.pk}/retry/", follow=True)
    assert answer.redirect_chain == [(f"/cycles/{failed.pk}/", 302)]
    assert lacking[1] in answer.content.decode()
    assert not Cycle.objects.filter(state="queued").exists()


@pytest.mark.usefixtures("lacking")
def test_a_score_needs_no_room(asleep: Project, bob: User) -> None:
    """It publishes nothing; were it refused, its buttons would tell the sentence as a message."""
    checkpoint = asleep.current
    assert checkpoint is not None
    logged_in(bob).post(reverse("score_create", kwargs={"checkpoint_id": checkpoint.pk}))
    assert Cycle.objects.filter(state="queued", kind="score").count() == 1


@pytest.mark.parametrize("page", ["score_create", "scores_create"])
def test_a_scores_button_tells_a_refusal(
    asleep: Project, bob: User, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise room.quota_full(100, 1, asleep.workspace)

    monkeypatch.setattr(room, "ensure_room", full)
    checkpoint = rows.checkpoint(asleep)
    key = {"score_create": {"checkpoint_id": checkpoint.pk}, "scores_create": {"project_id": asleep.pk}}
    answer = logged_in(bob).post(reverse(page, kwargs=key[page]), follow=True)
    assert answer.status_code == 200
    assert LACKS[0][2] in answer.content.decode()
