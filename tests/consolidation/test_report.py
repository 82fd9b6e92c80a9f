"""What a report may say of a model whose past nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from consolidation.metrics import Row
from consolidation.report import NO_PAST, outcome


def bits(right: int, of: int = 10) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.arange(of) < right


BEFORE, AFTER = {"a": bits(4), "b": bits(9)}, {"a": bits(8), "b": bits(9)}


def test_a_model_without_a_past_never_shows_a_retention_of_one() -> None:
    fields = outcome(kind="sleep", history=[], before=BEFORE, after=AFTER, tasks=["a", "b"]).fields()
    shown = fields["metrics"]["after"]
    assert shown["retention"] is None
    assert shown["forgetting"] is None
    assert shown["worst_forgetting"] is None
    assert shown["reasons"]["retention"] == NO_PAST
    assert shown["tasks"]["a"] == {"score": 0.8, "best": None, "retention": None, "forgetting": None}
    assert (fields["before"]["a"], fields["after"]["a"]) == (0.4, 0.8), "the scores themselves stay"


def test_with_a_past_retention_is_measured_against_the_best_of_it() -> None:
    history = [Row("v1", "wake", {"a": 1.0}, "a"), Row("v2", "wake", {"a": 0.4, "b": 0.9}, "b")]
    fields = outcome(kind="sleep", history=history, before=BEFORE, after=AFTER, tasks=["a", "b"]).fields()
    assert fields["metrics"]["before"]["retention"] == pytest.approx(0.4)
    assert fields["metrics"]["after"]["retention"] == pytest.approx(0.8)
    assert fields["metrics"]["after"]["forgetting"] == pytest.approx(0.2)
