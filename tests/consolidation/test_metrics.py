"""Every formula on a matrix small enough to do by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from consolidation import metrics
from consolidation.errors import NocturneInputError
from consolidation.metrics import Row, rows_from_json, shares_of_best, summary

T = ["a", "b", "c"]
# three wakes; a sleep directly after the second and after the third
ROWS = [
    Row("v1", "wake", {"a": 0.9, "b": 0.2, "c": 0.1}, "a"),
    Row("v2", "wake", {"a": 0.5, "b": 0.8, "c": 0.2}, "b"),
    Row("s1", "sleep", {"a": 0.8, "b": 0.7, "c": 0.2}),
    Row("v3", "wake", {"a": 0.4, "b": 0.5, "c": 0.95}, "c"),
    Row("s2", "sleep", {"a": 0.6, "b": 0.75, "c": 0.9}),
]


def close(metric: metrics.Metric, value: float) -> None:
    assert metric.reason is None
    assert metric.value == pytest.approx(value)


def test_learned_is_the_sleep_right_after_the_wake_or_the_wake_itself() -> None:
    learned = metrics.learned_stages(ROWS, T)
    assert learned.since == {"a": 0, "b": 1, "c": 3}
    assert learned.at == {"a": 0, "b": 2, "c": 4}
    assert learned.newest == "c"
    assert learned.old == ["a", "b"]


def test_formulas() -> None:
    close(metrics.average_accuracy(ROWS, T), (0.6 + 0.75 + 0.9) / 3)
    close(metrics.backward_transfer(ROWS, T), ((0.6 - 0.9) + (0.75 - 0.7)) / 2)
    close(metrics.forgetting(ROWS, T), ((0.9 - 0.6) + (0.8 - 0.75)) / 2)  # wake rows count in the maximum
    close(metrics.retention(ROWS, T), (0.6 / 0.9 + 0.75 / 0.8) / 2)
    close(metrics.learning_accuracy(ROWS, T), (0.9 + 0.7 + 0.9) / 3)
    close(metrics.stability_gap(ROWS, T), (0.4 + 0.5) / 2)
    joint = {"a": 0.95, "b": 0.9, "c": 0.92}
    close(metrics.intransigence(ROWS, T, joint), (0.05 + 0.2 + 0.02) / 3)
    # just before b is learned the row is v1; just before c it is s1
    baseline = {"a": 0.1, "b": 0.1, "c": 0.1}
    close(metrics.forward_transfer(ROWS, T, baseline), ((0.2 - 0.1) + (0.2 - 0.1)) / 2)
    close(metrics.sleep_gain(0.4, 0.6), 0.2)
    close(metrics.recovery(0.4, 0.6, 0.9), 0.4)
    close(metrics.forgetting_reduction(0.1, 0.5), 0.8)


def test_forgetting_may_be_negative() -> None:
    rows = [Row("v1", "wake", {"a": 0.6}, "a"), Row("v2", "wake", {"a": 0.7, "b": 0.9}, "b")]
    close(metrics.forgetting(rows, ["a", "b"]), -0.1)


def test_undefined_is_null_with_a_reason() -> None:
    one = [Row("v1", "wake", {"a": 0.9}, "a")]
    for metric in (
        metrics.forgetting(one, ["a"]),
        metrics.retention(one, ["a"]),
        metrics.average_accuracy([], T),
        metrics.forward_transfer(ROWS, T, None),
        metrics.intransigence(ROWS, T, None),
        metrics.recovery(0.9, 0.95, 0.9),
        metrics.forgetting_reduction(0.1, 0.001),
        metrics.average_accuracy([Row("x", "score", {"a": None})], ["a"]),
    ):
        assert metric.value is None
        assert metric.reason


def test_an_uploaded_checkpoint_scored_once_has_no_retention() -> None:
    row = {"label": "uploaded", "kind": "score", "scores": {"a": 0.9, "b": 0.8}}
    rows = rows_from_json([row, row])
    body = summary(rows, ["a", "b"])
    assert body["retention"] is None
    assert body["forgetting"] is None
    assert "no past score" in body["reasons"]["retention"]
    earlier = {"label": "older", "kind": "score", "scores": {"a": 1.0, "b": 0.8}}
    assert summary(rows_from_json([earlier, row]), ["a", "b"])["retention"] == pytest.approx(0.9)


def test_wakes_without_a_name_are_taken_in_task_order_and_later_tasks_are_not_learned_yet() -> None:
    rows = [Row("v1", "wake", {"a": 0.9}), Row("v2", "wake", {"a": 0.6, "b": 0.9, "c": 0.1})]
    body = summary(rows, T)
    assert body["newest_task"] == "b"
    assert body["retention"] == pytest.approx(0.6 / 0.9)
    assert body["tasks"]["c"] == {"score": 0.1, "best": None, "retention": None, "forgetting": None}
    assert body["worst_task"] == "a"
    assert body["worst_forgetting"] == pytest.approx(0.3)


def test_input_is_never_changed() -> None:
    before = copy.deepcopy(ROWS)
    summary(ROWS, T)
    assert before == ROWS


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "wake"},
        {"kind": "nap", "scores": {}},
        {"kind": "wake", "scores": {"a": 1.5}},
        {"kind": "wake", "scores": {"a": "x" * 500}},
        {"kind": "wake", "scores": {"a": float("nan")}},
        "nonsense",
    ],
)
def test_bad_history_is_refused_with_a_sentence(row: Any) -> None:
    with pytest.raises(NocturneInputError) as caught:
        rows_from_json([row])
    assert caught.value.code == "history.row"
    assert len(caught.value.message) < 250


def test_shares_of_best_level_tasks_of_unlike_sizes() -> None:
    rows = [
        Row("a", "wake", {"x": 0.5, "y": 0.02}, "x"),
        Row("b", "wake", {"x": 0.25, "y": 0.04}, "y"),
        Row("c", "sleep", {"x": 0.4, "y": 0.06}),
    ]
    assert [row.scores for row in shares_of_best(rows)] == [
        {"x": 1.0, "y": 0.5}, {"x": 0.5, "y": 1.0}, {"x": 0.8, "y": pytest.approx(1.5)}
    ]  # fmt: skip
    assert rows[2].scores == {"x": 0.4, "y": 0.06}
    plain, language = summary(rows, ["x", "y"]), summary(rows, ["x", "y"], objective="language")
    assert plain["worst_forgetting"] == pytest.approx(0.1)
    assert language["worst_forgetting"] == pytest.approx(0.2)
    assert language["acc"] == plain["acc"]
    assert language["tasks"]["x"]["score"] == 0.4


def test_shares_of_best_of_one_row_and_of_nothing() -> None:
    assert shares_of_best([]) == []
    (only,) = shares_of_best([Row("a", "score", {"x": 0.2, "y": 0.0, "z": None})])
    assert only.scores == {"x": 1.0, "y": 0.0, "z": None}
