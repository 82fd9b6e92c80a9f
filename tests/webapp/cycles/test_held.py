"""Since when a cycle stands still, and who wanted it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import night
from tests.support.night_script import Night
from webapp.cycles.blocking import cycle_block
from webapp.cycles.models import Cycle, Transition
from webapp.cycles.selectors import cycle_state
from webapp.cycles.steering import cycle_pause, cycle_resume
from webapp.schedules.windows import WINDOW_CLOSED

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace


@pytest.fixture
def running(workspace: Workspace, alice: User) -> Cycle:
    return night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=alice), actor=alice))


def last_step(cycle: Cycle) -> str:
    return Transition.objects.filter(cycle=cycle).latest("id").at.isoformat()


def test_a_pause_names_its_person_though_the_worker_ends_it(
    running: Cycle, alice: User, django_assert_max_num_queries: Any
) -> None:
    alice.name = "Alice"
    alice.save()
    cycle_pause(actor=alice, cycle=running)
    held = cycle_state(running)["held"]
    assert (held["by"], held["reason"], held["since"]) == ("Alice", "", last_step(running))
    paused = night.pause_done(running)
    with django_assert_max_num_queries(4):
        held = cycle_state(paused)["held"]
    assert (held["by"], held["reason"], held["since"]) == ("Alice", "", last_step(paused))


def test_somebody_without_a_name_is_an_address(running: Cycle, bob: User) -> None:
    assert cycle_state(night.paused(running, actor=bob))["held"]["by"] == "bob@example.org"


def test_the_clock_gives_its_reason_and_the_last_pause_counts(running: Cycle, alice: User) -> None:
    cycle_resume(actor=alice, cycle=night.paused(running, actor=alice))
    again = cycle_pause(actor=None, cycle=running, reason=WINDOW_CLOSED)
    held = cycle_state(again)["held"]
    assert (again.state, held["by"]) == ("paused", None)
    assert held["reason"] == "its window is over; it goes on at the schedule's next time"
    cycle_resume(actor=alice, cycle=again)
    assert cycle_state(again)["held"] is None


def test_a_block_has_its_sentence_and_its_hour(running: Cycle) -> None:
    blocked = cycle_block(cycle_id=running.pk, code="cycle.no_room", message="No room.")
    state = cycle_state(blocked)
    assert (state["state"], state["error"]) == (
        "blocked",
        {"code": "cycle.no_room", "message": "No room."},
    )
    assert state["held"] == {"since": last_step(blocked), "by": None, "reason": ""}


def test_it_can_be_extended_until_its_replay_is_over(running: Cycle) -> None:
    assert cycle_state(running)["can_extend"] is True
    for stage, can in (("NREM replay", True), ("downscaling", False)):
        Cycle.objects.filter(pk=running.pk).update(stage=stage)
        assert cycle_state(running)["can_extend"] is can, stage
    Cycle.objects.filter(pk=running.pk).update(stage="NREM replay", extended=4)
    assert cycle_state(running)["can_extend"] is False
    Cycle.objects.filter(pk=running.pk).update(extended=0)
    night.finish(Cycle.objects.get(pk=running.pk), Night(seconds=3))
    assert cycle_state(running)["can_extend"] is False
