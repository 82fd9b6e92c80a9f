"""R7: what the system or a library killed is told apart from a bug, and nobody tries it for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.history import check
from tests.chaos.watching import supervise
from webapp.cycles.choices import State

if TYPE_CHECKING:
    from tests.support.jobs import Lab

pytestmark = pytest.mark.timeout(120)


def test_three_deaths_in_one_place_are_quarantined_and_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOCTURNE_FAULTS", "trainer.load:segv")
    lab.wake(0, epochs=1)
    for _ in range(2):
        assert supervise().state == State.QUEUED
    ended = supervise()
    assert (ended.state, ended.error_code) == (State.QUARANTINED, "cycle.trainer_died")
    assert "SIGSEGV" in ended.error_message
    assert "3 times" in ended.error_message
    assert (ended.attempt, ended.max_attempts) == (3, 5)
    assert check() == []
