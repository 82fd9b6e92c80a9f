"""How an attempt ended and who pays: the classes of error, adapted retries, poison."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models.functions import Now

from tests.support.jobs import Lab, worker
from webapp.cycles.choices import State
from webapp.cycles.claim import FREE_ATTEMPTS, claim
from webapp.cycles.models import Cycle, Snapshot
from webapp.cycles.steering import cycle_cancel, cycle_pause
from webapp.cycles.transitions import StateChanged, transition
from workers.job import BAD_INPUT, OK, STOPPED
from workers.outcome import POISON_DEATHS, Ending, Wishes, read_ending, settle

DEATH = Ending("died", "cycle.trainer_died", "The process was ended by SIGKILL.")


def ending(exit_code: int, final: dict[str, Any] | None = None, **wishes: bool) -> tuple[str, str]:
    found = read_ending(exit_code=exit_code, final=final, wishes=Wishes(**wishes))
    return found.kind, found.code


def error(blame: str) -> dict[str, Any]:
    return {"kind": "error", "code": "a.b", "message": "M.", "class": blame}


def test_how_an_attempt_ended() -> None:
    result = {"kind": "result"}
    assert ending(OK, result) == ("done", "")
    for wish in ("stopping", "pausing", "extending"):
        assert ending(OK, result, **{wish: True}) == ("done", ""), "it was done first"
    assert ending(OK, result, cancelling=True) == ("cancelled", "")
    assert ending(-9, cancelling=True) == ("cancelled", "")
    stopped = {"kind": "stopped", "reason": "stop"}
    assert ending(STOPPED, stopped, stopping=True) == ("stopping", "")
    assert ending(STOPPED, stopped, pausing=True) == ("paused", "")
    assert ending(STOPPED, stopped, extending=True) == ("extended", "")
    assert ending(-9, extending=True) == ("infra", "cycle.extended"), "it did not stop in time"
    assert ending(STOPPED, stopped, pausing=True, stopping=True) == ("stopping", "")


@pytest.mark.parametrize(
    ("blame", "kind"),
    [("user", "failed"), ("resource", "resource"), ("room", "room"), ("bug", "died"), ("infra", "infra")],
)
def test_the_class_of_an_error_decides(blame: str, kind: str) -> None:
    assert ending(BAD_INPUT, error(blame)) == (kind, "a.b")


def test_a_death_is_told_apart_from_a_bug_by_its_signal() -> None:
    assert ending(-11) == ("died", "cycle.trainer_died")
    assert ending(1) == ("died", "cycle.trainer_died")
    named = read_ending(exit_code=-11, final=None, wishes=Wishes(), stage="NREM replay")
    assert "SIGSEGV in NREM replay" in named.message
    for stuck, words in (("frozen", "was frozen from outside"), ("silent", "said nothing for too long")):
        found = read_ending(exit_code=-9, final=None, wishes=Wishes(), stuck=stuck)
        assert found.code == f"cycle.{stuck}"
        assert words in found.message


def running(lab: Lab, index: int = 0) -> Cycle:
    lab.wake(index)
    return again()


def again() -> Cycle:
    mine = claim(worker=worker())
    assert mine is not None
    return transition(mine.pk, to=State.RUNNING, expect_from=(State.STARTING,), epoch=mine.epoch)


def snapshot(cycle: Cycle) -> None:
    Snapshot.objects.create(
        cycle=cycle, epoch=cycle.epoch, step=1, number=1, stage="learning", folder="x", created_at=Now()
    )


def test_three_deaths_in_one_place_are_poison(lab: Lab) -> None:
    mine = running(lab)
    snapshot(mine)
    for _ in range(POISON_DEATHS - 1):
        assert settle(mine, mine.epoch, DEATH).state == State.QUEUED
        mine = again()
    ended = settle(mine, mine.epoch, DEATH)
    assert (ended.state, ended.error_code) == (State.QUARANTINED, "cycle.trainer_died")
    assert "SIGKILL" in ended.error_message
    assert "3 times in one place" in ended.error_message
    assert ended.finished_at is not None


def test_a_snapshot_in_between_is_another_place(lab: Lab) -> None:
    mine = running(lab)
    for _ in range(4):
        snapshot(mine)
        assert settle(mine, mine.epoch, DEATH).state == State.QUEUED
        mine = again()
    ended = settle(mine, mine.epoch, DEATH)
    assert (ended.state, ended.attempt) == (State.FAILED, 5)
    assert "It was tried 5 times." in ended.error_message


def test_without_memory_it_is_tried_once_with_half_as_many_at_a_time(lab: Lab) -> None:
    mine = running(lab)
    none = Ending("resource", "cycle.out_of_memory", "The computer ran out of memory.")
    queued = settle(mine, mine.epoch, none)
    assert queued.state == State.QUEUED
    assert queued.adapted == {"micro_batch": mine.recipe["batch"] // 2}
    assert queued.max_attempts == mine.max_attempts + 1
    mine = again()
    ended = settle(mine, mine.epoch, none)
    assert (ended.state, ended.error_code) == (State.FAILED, "cycle.out_of_memory")


def test_one_record_at_a_time_is_not_halved(lab: Lab) -> None:
    lab.wake(0, batch=1)
    mine = again()
    assert settle(mine, mine.epoch, Ending("resource", "cycle.out_of_memory", "No.")).state == State.FAILED


def test_a_full_disk_blocks_with_its_sentence_and_costs_nothing(lab: Lab) -> None:
    mine = running(lab)
    blocked = settle(mine, mine.epoch, Ending("room", "cycle.disk_full", "The worker's disk is full."))
    assert (blocked.state, blocked.error_code) == (State.BLOCKED, "cycle.disk_full")
    assert (blocked.attempt, blocked.max_attempts) == (0, mine.max_attempts)
    steps = mine.transitions.order_by("id").values_list("from_state", "to_state")
    assert list(steps)[-2:] == [(State.RUNNING, State.QUEUED), (State.QUEUED, State.BLOCKED)]


def test_infrastructure_is_free_up_to_a_cap(lab: Lab) -> None:
    mine = running(lab)
    disk = Ending("infra", "cycle.disk_error", "The disk refused.")
    for _ in range(5 + FREE_ATTEMPTS - 1):
        assert settle(mine, mine.epoch, disk).state == State.QUEUED
        mine = again()
    ended = settle(mine, mine.epoch, disk)
    assert (ended.state, ended.attempt) == (State.FAILED, 5 + FREE_ATTEMPTS)


def test_a_pause_gives_the_attempt_back_and_ends_the_epoch(lab: Lab) -> None:
    mine = running(lab)
    cycle_pause(actor=lab.alice, cycle=mine)
    paused = settle(mine, mine.epoch, Ending("paused"))
    assert (paused.state, paused.attempt, paused.epoch) == (State.PAUSED, 0, mine.epoch + 1)
    assert paused.worker is None
    assert claim(worker=worker()) is None


@pytest.mark.parametrize("wish", [cycle_pause, cycle_cancel])
@pytest.mark.parametrize("kind", ["died", "infra", "resource", "room", "stopping"])
def test_a_wish_at_the_last_moment_is_not_lost(lab: Lab, wish: Any, kind: str) -> None:
    """The supervisor is told of it, and settles once more, as it was wished."""
    mine = running(lab)
    wish(actor=lab.alice, cycle=mine)
    with pytest.raises(StateChanged) as found:
        settle(mine, mine.epoch, Ending(kind, "a.b", "M."))
    assert found.value.state in {State.PAUSING, State.CANCELLING}
    assert Cycle.objects.get(pk=mine.pk).state == found.value.state
