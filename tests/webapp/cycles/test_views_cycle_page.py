"""The cycle page as the server draws it: right before any script runs, cheap, and closed to strangers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import night
from tests.support.night_script import TASKS, Night
from tests.webapp.conftest import logged_in
from webapp.cycles.models import Cycle
from webapp.cycles.page import SHOWN, comparison
from webapp.cycles.transitions import transition

if TYPE_CHECKING:
    from django.test import Client

    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project


@pytest.fixture
def model_line(workspace: Workspace, alice: User) -> Project:
    return night.line(workspace=workspace, actor=alice)


@pytest.fixture
def waiting(model_line: Project, alice: User) -> Cycle:
    return night.sleep_cycle(model_line, actor=alice)


def text_of(client: Client, cycle: Cycle) -> str:
    answer = client.get(f"/cycles/{cycle.pk}/")
    assert answer.status_code == 200
    return answer.content.decode()


def page_data(text: str) -> dict[str, Any]:
    found = re.search(r'<script id="cycle-page" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def test_the_first_paint_holds_the_matrix_and_the_state(waiting: Cycle, alice: User) -> None:
    text = text_of(logged_in(alice), waiting)
    data = page_data(text)
    assert data["mode"] == "retention"
    assert [task["role"] for task in data["tasks"]] == ["old"] * 5 + ["newest"]
    first = {
        "name": "returns",
        "place": 0,
        "colour": 1,
        "role": "old",
        "best": 0.97,
        "since": 0,
        "past": None,
    }
    assert data["tasks"][0] == first | {"level": None}
    assert text.count('<tr data-task="') == len(TASKS)
    assert ">97</td>" in text
    assert "No worker" in text
    assert "nocturne worker" in text


def test_nothing_is_inline(waiting: Cycle, alice: User) -> None:
    text = text_of(logged_in(alice), waiting)
    assert not re.search(r"\sstyle=|\son\w+=|<style", text)
    scripts = re.findall(r"<script([^>]*)>", text)
    assert scripts
    assert all("src=" in script or "application/json" in script for script in scripts)


@pytest.mark.parametrize("state", ["waiting", "running", "ended"])
def test_at_most_fifteen_queries_flat_in_frames_and_cycles(
    waiting: Cycle, model_line: Project, alice: User, state: str, django_assert_max_num_queries: Any
) -> None:
    cycle, script = waiting, Night(seconds=3)
    if state != "waiting":
        cycle = night.begin(cycle)
        night.play(cycle, script)
    if state == "ended":
        night.finish(cycle, script)
    client = logged_in(alice)
    with django_assert_max_num_queries(15):
        text_of(client, cycle)


def test_a_finished_sleep_shows_before_and_after_side_by_side_and_the_download(
    waiting: Cycle, alice: User
) -> None:
    script = Night(seconds=3)
    cycle = night.begin(waiting)
    night.play(cycle, script)
    made = night.finish(cycle, script)
    text = text_of(logged_in(alice), cycle)
    assert "Improved. v7 is now the project&#x27;s current checkpoint." in text
    assert f'href="/checkpoints/{made.pk}/download/"' in text
    rows = re.findall(r'<tr><th scope="row"><span class="swatch swatch--(\d)"[^>]*></span>([^<]+)</th>', text)
    assert rows == [(str(i + 1), name) for i, name in enumerate(TASKS)], (
        "in order of learning, one colour a task"
    )
    assert "95 % interval" in text
    assert 'data-open-dialog="cancel"' not in text


def test_a_rejected_sleep_says_why_and_that_the_project_stays(waiting: Cycle, alice: User) -> None:
    cycle = night.begin(waiting)
    night.finish(cycle, Night(seconds=3), verdict="rejected")
    text = text_of(logged_in(alice), cycle)
    assert "Rejected. v7 is kept as a candidate; the project stays on v6." in text
    assert "Forgetting reached 46.0 % on billing (budget 10 %)." in text
    assert "Try again" in text


def test_a_failed_cycle_shows_its_sentence_and_its_code_escaped(waiting: Cycle, alice: User) -> None:
    cycle = night.begin(waiting)
    words = "The memories of <script>alert(1)</script> do not fit."
    transition(
        cycle.pk, to="failed", expect_from=["running"], error_code="records.width", error_message=words
    )
    text = text_of(logged_in(alice), cycle)
    assert "records.width" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert" not in text


def test_strangers_find_nothing_and_change_nothing(waiting: Cycle, charlie: User) -> None:
    client = logged_in(charlie)
    for tail in ("", "outcome/"):
        assert client.get(f"/cycles/{waiting.pk}/{tail}").status_code == 404
    for tail in ("cancel/", "retry/"):
        assert client.post(f"/cycles/{waiting.pk}/{tail}").status_code == 404
    waiting.refresh_from_db()
    assert waiting.state == "queued"


def test_a_viewer_looks_but_has_no_buttons(waiting: Cycle, vera: User) -> None:
    client = logged_in(vera)
    assert 'id="cancel"' not in text_of(client, waiting)
    assert client.post(f"/cycles/{waiting.pk}/cancel/").status_code == 403


def test_cancel_and_try_again(waiting: Cycle, bob: User) -> None:
    client = logged_in(bob)
    assert client.get(f"/cycles/{waiting.pk}/cancel/").status_code == 405
    assert client.post(f"/cycles/{waiting.pk}/cancel/", follow=True).status_code == 200
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"
    late = client.post(f"/cycles/{waiting.pk}/cancel/", follow=True).content.decode()
    assert "nothing left to cancel" in late
    answer = client.post(f"/cycles/{waiting.pk}/retry/")
    again = Cycle.objects.get(retry_of=waiting)
    assert answer["Location"] == f"/cycles/{again.pk}/"


PLACES = {"a": 0, "b": 1, "c": 2}


def rows(*kinds: str) -> list[dict[str, Any]]:
    return [
        {"label": f"v{i + 1}", "kind": kind, "scores": {"a": 0.9 - 0.1 * i, "b": 0.5}}
        for i, kind in enumerate(kinds)
    ]


def test_an_upload_without_a_past_has_scores_and_no_retention() -> None:
    for history in ([], rows("score")):
        tasks, mode, reason = comparison(
            kind="sleep", tasks=["a", "b"], newest="b", history=history, base="v1", places=PLACES
        )
        assert mode == "score"
        assert "no earlier score of a is known" in reason
        assert tasks[0]["best"] is None


def test_with_a_past_retention_is_measured_against_the_best() -> None:
    tasks, mode, reason = comparison(
        kind="sleep", tasks=["a", "b"], newest="b", history=rows("wake", "wake"), base="v2", places=PLACES
    )
    assert (mode, reason, tasks[0]["best"]) == ("retention", "", 0.9)


def test_the_first_wake_has_no_old_task_and_later_ones_are_not_learned_yet() -> None:
    tasks, mode, reason = comparison(
        kind="wake", tasks=["a", "b"], newest="a", history=[], base=None, places=PLACES
    )
    assert (mode, [task["role"] for task in tasks]) == ("score", ["newest", "later"])
    assert "no old task" in reason
    tasks, mode, _ = comparison(
        kind="wake", tasks=["a", "b", "c"], newest="b", history=rows("wake"), base="v1", places=PLACES
    )
    assert [task["role"] for task in tasks] == ["old", "newest", "later"]
    assert mode == "retention"


def test_of_a_long_past_the_nearest_columns_are_shown_and_the_best_is_not_forgotten() -> None:
    history: list[dict[str, Any]] = [
        {"label": f"v{i + 1}", "kind": "wake", "scores": {"a": 0.9 if i == 3 else 0.5, "b": 0.4}}
        for i in range(SHOWN + 10)
    ]
    tasks, _mode, _reason = comparison(
        kind="sleep", tasks=["b", "a"], newest="b", history=history, base=f"v{len(history)}", places=PLACES
    )
    assert [task["name"] for task in tasks] == ["b", "a"]
    assert tasks[1]["best"] == 0.9
    assert tasks[1]["past"] == {"label": "v4", "best": 0.9}
    assert tasks[1]["since"] == 0
    assert [task["colour"] for task in tasks] == [2, 1], "a colour goes with the task, not with its row"
