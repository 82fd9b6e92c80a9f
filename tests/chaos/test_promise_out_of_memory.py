"""R6: out of memory is handled, not looped: once more with half as many records at a time, then an end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.history import check
from tests.chaos.watching import supervise
from webapp.cycles.choices import State

if TYPE_CHECKING:
    from tests.support.jobs import Lab

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("point", ["trainer.load", "trainer.step", "leave.before_write"])
def test_once_it_is_tried_again_in_smaller_pieces(
    point: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOCTURNE_FAULTS", f"{point}:memory@1")
    monkeypatch.setenv("NOCTURNE_FAULT_COUNTS", str(tmp_path))
    batch = lab.wake(0, epochs=1).recipe["batch"]
    first = supervise()
    assert (first.state, first.adapted) == (State.QUEUED, {"micro_batch": batch // 2})
    assert first.transitions.latest("id").reason == "out_of_memory"
    # Not the cycle's attempt, and not another recipe: the same batch, in two halves.
    assert first.max_attempts == 6
    assert first.recipe["batch"] == batch
    assert supervise().state == State.SUCCEEDED
    assert check() == []


def test_twice_is_the_end_with_a_sentence(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOCTURNE_FAULTS", "trainer.load:memory")
    lab.wake(0, epochs=1)
    assert supervise().state == State.QUEUED
    ended = supervise()
    assert (ended.state, ended.error_code) == (State.FAILED, "cycle.out_of_memory")
    assert "memory" in ended.error_message
    assert check() == []
