"""Labels lie beside their marks and on nothing else."""

from __future__ import annotations

from itertools import combinations

import pytest

from consolidation.benchmarks.labels import Box, Mark, place_labels

FRAME = Box(56, 92, 756, 398)
CROWDS = {
    "one heap": [Mark(300, 240 + 4 * n, 10, f"method {n} 89.{n} ± 0.3") for n in range(14)],
    "along the top": [Mark(80 + 40 * n, 96, 3, f"method {n} 94.0") for n in range(9)],
    "at the right edge": [Mark(736, 200 + 9 * n, 5, "derpp 88.0 ± 0.3") for n in range(6)],
    "at the bottom": [Mark(90 + 5 * n, 392, 4, "finetune 41.9 ± 2.2") for n in range(6)],
}


@pytest.mark.parametrize("marks", CROWDS.values(), ids=CROWDS)
def test_labels_meet_neither_each_other_nor_a_mark_nor_the_frame(marks: list[Mark]) -> None:
    labels = place_labels(marks, FRAME)
    assert len(labels) == len(marks)
    assert not any(a.box.meets(b.box) for a, b in combinations(labels, 2))
    assert not any(label.box.meets(mark.box) for label in labels for mark in marks)
    assert all(label.box.inside(FRAME) for label in labels)


def test_a_mark_that_stands_alone_has_its_label_at_its_right_without_a_line() -> None:
    (label,) = place_labels([Mark(300, 200, 0, "er 80.2")], FRAME)
    assert label.anchor == "start" and not label.far
    assert 300 < label.x < 315 and abs(label.y - 200) < 6
