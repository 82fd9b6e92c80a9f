"""The life of a model: what is drawn is what was scored, in the order of the line."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.projects.life import HEIGHT, LABEL_GAP, life_of


def row(
    number: int, kind: str, task: str | None = None, standing: str = "promoted", **scores: float
) -> dict[str, Any]:
    return {
        "label": f"v{number}", "kind": kind, "task": task, "checkpoint_id": str(number), "number": number,
        "standing": standing, "scores": scores,
    }  # fmt: skip


MATRIX = {
    "tasks": ["a", "b"],
    "rows": [
        row(1, "wake", "a", a=0.9, b=0.1),
        row(2, "wake", "b", a=0.5, b=0.8),
        row(3, "sleep", None, "candidate", a=0.6, b=0.7),
        row(4, "sleep", a=0.9, b=0.8),
    ],
}
PARENTS = {1: None, 2: 1, 3: 2, 4: 2}


def points(data: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", data)]


def test_a_task_begins_where_it_was_learned_and_falls_and_rises_with_its_scores() -> None:
    life = life_of(MATRIX, [1, 2, 4], parents=PARENTS)
    assert life is not None
    a, b = life.curves
    assert [x for x, _ in points(a.data)] == [0.5, 1.5, 2.5]
    assert [x for x, _ in points(b.data)] == [1.5, 2.5]
    heights = [y for _, y in points(a.data)]
    assert heights[0] == heights[2] < heights[1], "0.9, 0.5, 0.9; y grows downwards"
    assert [stage.kind for stage in life.stages] == ["wake", "wake", "sleep"]
    assert life.stages[1].retention == pytest.approx(0.5 / 0.9)
    change = {value.task: value.change for value in life.stages[2].values}
    assert change == {"a": pytest.approx(0.4), "b": pytest.approx(0.0)}
    assert [value.change for value in life.stages[1].values] == [pytest.approx(-0.4), None]


def test_small_scores_are_drawn_as_shares_of_each_tasks_best() -> None:
    """A language model's: 1 / perplexity of 20 and of 40."""
    rows = [row(1, "wake", "a", a=0.05), row(2, "wake", "b", a=0.025, b=0.01)]
    life = life_of({"tasks": ["a", "b"], "rows": rows}, [1, 2], parents={1: None, 2: 1}, shares=True)
    assert life is not None
    a, b = life.curves
    (_, best), (_, half) = points(a.data)
    assert [y for _, y in points(b.data)] == [best]
    assert {word: y for y, word in life.marks}["0.6"] < half < HEIGHT
    assert (a.score, b.score) == (0.025, 0.01)
    assert life.stages[1].values[0].change == pytest.approx(-0.025)


def test_a_candidate_stands_beside_the_line() -> None:
    life = life_of(MATRIX, [1, 2, 4], parents=PARENTS, open_columns=1)
    assert life is not None
    (aside,) = life.asides
    assert aside.label == "v3"
    assert [x for x, _ in points(aside.data)] == [1.5, 1.9]
    assert life.columns == 4


def test_one_stage_is_no_life_yet() -> None:
    assert life_of(MATRIX, [1], parents=PARENTS) is None
    assert life_of({"tasks": [], "rows": []}, [], parents={}) is None


def test_old_stages_are_left_out_openly() -> None:
    rows = [
        row(n, "wake" if n % 2 else "sleep", "a" if n == 1 else None, a=0.5 + n / 400) for n in range(1, 101)
    ]
    matrix = {"tasks": ["a"], "rows": rows}
    parents = {n: n - 1 for n in range(1, 101)}
    life = life_of(matrix, list(range(1, 101)), parents=parents)
    assert life is not None
    assert (len(life.stages), life.hidden, life.stages[-1].label) == (40, 60, "v100")
    every = life_of(matrix, list(range(1, 101)), parents=parents, shown=None)
    assert every is not None
    assert (len(every.stages), every.hidden) == (100, 0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_names_never_overlap_and_stay_inside(ends: list[float]) -> None:
    tasks = [f"t{i}" for i in range(len(ends))]
    first = dict.fromkeys(tasks, 0.5)
    rows = [row(1, "upload"), row(2, "sleep")]
    rows[0]["scores"], rows[1]["scores"] = first, dict(zip(tasks, ends, strict=True))
    life = life_of({"tasks": tasks, "rows": rows}, [1, 2], parents={1: None, 2: 1})
    assert life is not None
    ys = sorted(curve.y for curve in life.curves)
    assert all(later - earlier >= LABEL_GAP - 0.11 for earlier, later in itertools.pairwise(ys))
    assert ys[-1] <= HEIGHT
