"""Worst groups: what is scored, what is refused, and that the whole night tells it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from consolidation.cycle import sleep
from consolidation.groups import gap, gap_growth, group_scores
from consolidation.guard import judge_sleep
from consolidation.recipe import preset
from consolidation.report import outcome
from consolidation.scoring import score
from tests.consolidation.helpers import make_records, make_world

OF = np.repeat(np.array([3, -1, 8], np.int64), [100, 100, 19])


def bits(first: int, second: int, few: int = 0) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    """So many right answers of group 3 (100), group -1 (100) and group 8 (19, too few to count)."""
    return {"faces": np.concatenate([np.arange(n) < r for n, r in ((100, first), (100, second), (19, few))])}


def judge(before: Any, after: Any, groups: Any = None, **gates: Any) -> tuple[str, list[str]]:
    found = outcome(
        kind="sleep", history=[], before=before, after=after, tasks=list(before),
        groups={"faces": OF} if groups is None else groups,
    )  # fmt: skip
    judged = judge_sleep(
        before=before, after=after, rows_before=found.rows_before, rows_after=found.rows_after,
        recipe=preset("night", **gates), finite=True, groups=found.group_scores(),
    )  # fmt: skip
    return judged.verdict, judged.reasons


def test_scores_are_by_group_and_a_handful_of_answers_is_none() -> None:
    assert group_scores(bits(90, 80), {"faces": OF}) == {
        "faces": {"-1": {"answers": 100, "score": 0.8}, "3": {"answers": 100, "score": 0.9}}
    }
    assert group_scores(bits(90, 80), {"other": OF}) == {}


def test_a_gap_needs_two_groups() -> None:
    found = gap(group_scores(bits(60, 95), {"faces": OF})["faces"])
    assert found is not None
    assert (found.best, found.worst) == ("-1", "3")
    assert found.size == pytest.approx(0.35)
    assert gap({"1": {"answers": 30, "score": 0.5}}) is None


def test_a_mean_that_rose_on_the_back_of_one_group_is_rejected() -> None:
    verdict, reasons = judge(bits(60, 60), bits(90, 70))
    assert verdict == "rejected"
    assert reasons == [
        "On faces the gap between the best and the worst group grew from 0.0 points (group 3 60.0 %, group "
        "-1 60.0 %) to 20.0 points (group 3 90.0 %, group -1 70.0 %), by more than the 10 points allowed."
    ]


@pytest.mark.parametrize(
    ("before", "after", "gates"),
    [
        (bits(60, 60), bits(90, 80), {}),  # by 10 points, which is allowed
        (bits(60, 60), bits(90, 70), {"group_gap": 0.2}),
        (bits(0, 20), bits(0, 100), {"group_gap": 1.0}),  # off
        (bits(40, 90), bits(75, 95), {}),  # wide, but narrower than it was
        (bits(60, 60, 19), bits(80, 80, 0), {}),  # the small group fell to nothing: chance
    ],
)
def test_what_the_gate_lets_pass(before: Any, after: Any, gates: dict[str, float]) -> None:
    assert judge(before, after, **gates)[0] == "improved"


def test_without_groups_there_is_no_gate() -> None:
    assert judge(bits(60, 60), bits(90, 70), groups={})[0] == "improved"


def test_of_several_tasks_the_worst_is_named_and_the_others_are_counted() -> None:
    before = {task: group_scores(bits(60, 60), {"faces": OF})["faces"] for task in "ab"}
    after = {
        "a": group_scores(bits(80, 60), {"faces": OF})["faces"],
        "b": group_scores(bits(95, 60), {"faces": OF})["faces"],
    }
    told = gap_growth(before, after, 0.1)
    assert told is not None
    assert told.startswith("On b ")
    assert told.endswith("; 1 other task did so too.")
    assert gap_growth(before, before, 0.0) is None


def test_a_night_and_a_scoring_report_the_groups_of_their_proof() -> None:
    world = make_world(passes=1.0)
    told = make_records(0, 120, 2)
    world.probes[0] = told.with_rights(group=np.arange(120, dtype=np.int64) % 2)
    report = sleep(world.model, world.memories, world.probes, world.recipe)
    shown = json.loads(json.dumps(report.to_json()))["groups"]
    for when in ("before", "after"):
        groups = shown[when]
        assert set(groups) == {"first"}
        assert sum(one["answers"] for one in groups["first"].values()) == report.counts["first"]
        mean = sum(one["answers"] * one["score"] for one in groups["first"].values()) / report.counts["first"]
        assert mean == pytest.approx(getattr(report, when)["first"])
    again = score(world.model, world.probes)
    assert again.groups == {"after": report.groups["after"]}
    assert score(world.model, world.probes[1:]).groups == {}


def test_a_night_that_serves_one_group_only_is_rejected() -> None:
    """Group 1's labels are shuffled in the probe: what the night teaches helps group 0 alone."""
    world = make_world(passes=40.0, dream=0.0, merge=0.0, forgetting_budget=1.0, newest_drop=1.0)
    told = make_records(0, 400, 2)
    group = np.arange(400, dtype=np.int64) % 2
    y = np.where(group == 1, np.random.default_rng(0).integers(0, 4, 400), told.y)
    told.y = y
    world.memories, world.probes = [make_records(0, 200, 1)], [told.with_rights(group=group)]
    with torch.no_grad():  # a model that tells nothing apart
        world.model.get_parameter("head.weight").zero_()
    report = sleep(world.model, world.memories, world.probes, world.recipe)
    assert report.verdict == "rejected"
    assert "On first the gap between the best and the worst group grew from" in report.reasons[0]
