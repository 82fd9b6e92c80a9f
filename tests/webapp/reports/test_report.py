"""The report: everything inside itself, and the numbers of the database."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.support import night
from tests.support.night_script import TASKS, Night
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.core.templatetags.nocturne import score
from webapp.cycles.transitions import transition
from webapp.live.models import Frame
from webapp.reports.night import Night as Told
from webapp.reports.night import Probe, night_of, standing
from webapp.reports.pictures import LANE, LANES, scores_chart

if TYPE_CHECKING:
    import pytest

    from webapp.accounts.models import User, Workspace
    from webapp.cycles.models import Cycle


def text_of(cycle: Cycle, user: User, query: str = "") -> str:
    answer = logged_in(user).get(f"/cycles/{cycle.pk}/report/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_needs_nothing_but_itself(slept: Cycle, vera: User) -> None:
    answer = logged_in(vera).get(f"/cycles/{slept.pk}/report/?save")
    text = answer.content.decode()
    assert 'filename="support-bot - Sleep 7.html"' in answer["Content-Disposition"]
    assert not re.search(r"<script|<link|<img|\ssrc=|\shref=|\sstyle=|\son\w+=|url\(|@import", text)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    policy = answer["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert f"style-src 'sha256-{digest}'" in unescape(text), "the saved file carries its policy"


def test_its_figures_are_those_of_the_report_and_the_scores(slept: Cycle, vera: User) -> None:
    text = text_of(slept, vera)
    report = slept.report
    for task in TASKS:
        row = re.search(rf"</span>{task}</th><td[^>]*>([\d.]+)</td><td[^>]*>([\d.]+)</td>", text)
        assert row
        assert row.groups() == (score(report["before"][task]), score(report["after"][task]))
    assert score(report["metrics"]["after"]["retention"]) in text
    assert slept.base
    for line in ("Mean retention rose from 0.71 to 0.97.", slept.result.sha256, slept.base.sha256):
        assert line in text
    for key, value in slept.recipe.items():
        assert re.search(rf"<dt>{key}</dt><dd>{'–' if value is None else re.escape(str(value))}</dd>", text)


def test_queries_do_not_grow_with_frames_or_cycles(
    slept: Cycle, vera: User, django_assert_max_num_queries: Any
) -> None:
    client = logged_in(vera)
    slept.project.last_checkpoint_number = slept.result.number
    for _ in range(10):
        rows.night(slept.project)
    with django_assert_max_num_queries(25):
        client.get(f"/cycles/{slept.pk}/report/")


def test_a_running_cycle_says_that_these_are_the_figures_so_far(
    workspace: Workspace, alice: User, vera: User
) -> None:
    cycle = night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=alice)))
    assert "figures so far" in text_of(cycle, vera)
    night.play(cycle, Night(seconds=8), until=20)
    text = text_of(cycle, vera)
    assert "figures so far" in text
    assert "<svg" in text


def test_what_a_later_attempt_began_again_is_told_once(workspace: Workspace, alice: User) -> None:
    cycle = night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=alice)))
    script = list(Night(seconds=20.0).flushes())
    for payload in script[:90]:
        night.flush(cycle, payload)
    transition(cycle.pk, to="queued", expect_from=["running"], fence=True, worker=None, reason="worker_lost")
    cycle = night.begin(cycle)
    again = list(Night(seconds=20.0, resume_step=300, seed=9).flushes())
    for payload in again:
        night.flush(cycle, payload)
    frames = [
        {"epoch": frame.epoch, "payload": frame.payload}
        for frame in Frame.objects.filter(cycle=cycle, kind="data").order_by("seq")
    ]
    events, resumed = standing(frames)
    assert list(resumed.values()) == [300]
    steps = [told.step for told in events]
    assert steps == sorted(steps)
    told = night_of(cycle)
    times = [row[0] for row in told.loss]
    assert times == sorted(times)
    ends = [(stage.start, stage.end) for stage in told.stages]
    assert all(a <= b for a, b in ends)
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))


def test_lanes_and_colours_are_those_of_the_live_page(pytestconfig: pytest.Config) -> None:
    source = (pytestconfig.rootpath / "webapp/static/js/stages.js").read_text()
    stages = re.findall(r'^  "?([\w ]+?)"?: \{ lane: "([^"]+)", token: "([^"]+)"', source, re.MULTILINE)
    assert {name: (lane, token) for name, lane, token in stages} == LANE
    lanes = re.findall(r"^  (sleep|wake|score): (\[.*?\]),$", source, re.MULTILINE)
    assert {kind: tuple(json.loads(names)) for kind, names in lanes} == LANES


def test_small_scores_fill_their_picture() -> None:
    """Those of a language model, 1 / perplexity, are not drawn on the floor of a picture up to 1."""
    probes = [
        Probe(float(at), "watch", "during", {"prose": score}) for at, score in enumerate((0.001, 0.002))
    ]
    drawn = scores_chart(Told(probes=probes, seconds=1.0), ["prose"], {"prose": 0})
    assert drawn
    heights = [float(pair.split()[1]) for pair in drawn.lines[0].data[1:].split("L")]
    assert heights[0] - heights[1] > drawn.floor / 3
    assert [mark.text for mark in drawn.marks] == ["0", "0.0005", "0.001", "0.0015", "0.002", "0.0025"]
    tiny = [
        Probe(float(at), "watch", "during", {"prose": score}) for at, score in enumerate((0.00001, 0.00002))
    ]
    drawn = scores_chart(Told(probes=tiny, seconds=1.0), ["prose"], {"prose": 0})
    assert drawn and drawn.marks[1].text == "0.000005"
