"""The search: what a few words find, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support import night
from tests.support.night_script import Night
from tests.support.rows_free import free_states
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.core.search import EACH, search
from webapp.cycles.models import Cycle
from webapp.projects.models import Task

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project


@pytest.fixture
def slept(workspace: Workspace, alice: User) -> Cycle:
    """Sleep 7 of support-bot, improved, on a line v1 to v7."""
    cycle = night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=alice), actor=alice))
    night.finish(cycle, Night(seconds=3))
    rows.schedule(cycle.project)
    return cycle


def found(user: User, text: str) -> dict[str, list[str]]:
    return {group.name: [hit.title for hit in group.hits] for group in search(user, text)}


@pytest.mark.parametrize(
    ("text", "group", "title"),
    [
        ("support", "Projects", "support-bot"),
        ("SUPPORT-BOT", "Projects", "support-bot"),
        ("sleep 7", "Cycles", "Sleep 7"),
        ("support improved", "Cycles", "Sleep 7"),
        ("v7", "Checkpoints", "v7"),
        ("v7 support", "Checkpoints", "v7"),
        ("model-6.safe", "Checkpoints", "v6"),
        ("refunds", "Tasks", "refunds de"),
        ("nightly", "Schedules", "Nightly"),
        ("gpu-2", "Workers", "gpu-2"),
        ("audit", "Pages", "Audit log"),
    ],
)
def test_a_few_words_find_it(slept: Cycle, vera: User, text: str, group: str, title: str) -> None:
    assert title in found(vera, text)[group]


@pytest.mark.parametrize("text", ["Straße", "straße", "STRAß"])
def test_letters_that_only_casefold_changes_are_found(project: Project, vera: User, text: str) -> None:
    Task.objects.create(project=project, name="Straße", position=9)
    assert found(vera, text)["Tasks"] == ["Straße"]


def test_every_word_has_to_fit(slept: Cycle, vera: User) -> None:
    assert "Sleep 7" not in found(vera, "sleep 6").get("Cycles", [])
    assert found(vera, "support-bot nonsense") == {}
    assert found(vera, "v7") == {"Checkpoints": ["v7"]}, "v and a number is a version, never a cycle"


def test_a_digest_finds_its_checkpoint_from_six_digits_on(slept: Cycle, vera: User) -> None:
    slept.refresh_from_db()
    digest = slept.result.sha256
    assert found(vera, digest[:12])["Checkpoints"] == ["v7"]
    assert "Checkpoints" not in found(vera, "zz" + digest[:6])


def test_strangers_find_only_what_is_everybodys(slept: Cycle, charlie: User) -> None:
    for text in ("support", "sleep 7", "v7", "refunds", "nightly", "model-6"):
        assert found(charlie, text) == {}


@pytest.mark.parametrize("text", ["", "   ", "\x00", "%", "_", "'; --", "a" * 5000, "v9999999999", "\ud800"])
def test_nonsense_is_no_error(slept: Cycle, vera: User, text: str) -> None:
    answer = logged_in(vera).get("/search/", {"q": text.encode("utf-8", "replace").decode(), "part": ""})
    assert answer.status_code == 200
    assert "support-bot" not in answer.content.decode()


def test_at_most_six_of_a_kind_in_the_same_number_of_queries(workspace: Workspace, alice: User) -> None:
    project = rows.project_of(workspace, "many")
    counts = []
    for wanted in (2, 20):
        have = Cycle.objects.filter(project=project).count()
        with free_states():
            for number in range(have + 1, wanted + 1):
                Cycle.objects.create(
                    project=project, number=number, kind="sleep", protocol=1, state="succeeded"
                )
        with CaptureQueriesContext(connection) as queries:
            titles = found(alice, "many sleep")["Cycles"]
        counts.append(len(queries))
        assert len(titles) == min(wanted, EACH)
    assert counts[0] == counts[1] <= 7


def test_without_scripts_it_is_a_page(project: Project, vera: User) -> None:
    page = logged_in(vera).get("/search/?q=support").content.decode()
    assert f"/projects/{project.pk}/" in page
    nothing = logged_in(vera).get("/search/?q=<b>x</b>").content.decode()
    assert "Nothing fits “&lt;b&gt;x&lt;/b&gt;”" in nothing
