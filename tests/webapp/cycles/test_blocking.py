"""Put aside for want of room or of a device, and let go on when it is there; nothing flaps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from tests.support.jobs import Lab, worker
from tests.webapp.cycles.test_room import alive, quota, start
from tests.webapp.cycles.test_services import ready_to_sleep
from webapp.core.models import AuditEntry
from webapp.core.store import RESERVE_BYTES, promised_to_cycles, room_left
from webapp.cycles import recheck, room
from webapp.cycles.blocking import cycle_block, disk_sentence
from webapp.cycles.choices import State
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle, Transition
from webapp.cycles.recheck import cycles_recheck
from webapp.cycles.steering import cycle_cancel, cycle_pause, cycle_resume
from webapp.cycles.transitions import StateChanged, transition
from webapp.fleet.models import Worker
from webapp.live.frames import LeaseLost

PLENTY = 10**12


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The store's and the worker's disks, as full as a test wants them; two disks, not one."""
    free = {"store": PLENTY, "work": PLENTY}
    monkeypatch.setattr(room, "disk_free", lambda: free["store"])
    monkeypatch.setattr(recheck, "disk_free", lambda: free["store"])
    monkeypatch.setattr(room, "work_free", lambda: free["work"])
    monkeypatch.setattr(room, "works_on_the_stores_disk", lambda: False)
    return free


def running(lab: Lab) -> Cycle:
    ready_to_sleep(lab)
    start(lab)
    mine = claim(worker=worker())
    assert mine is not None
    return transition(mine.pk, to=State.RUNNING, expect_from=(State.STARTING,), epoch=mine.epoch)


def now(cycle: Cycle) -> Any:
    """(state, code, sentence) as they are."""
    return Cycle.objects.values_list("state", "error_code", "error_message").get(pk=cycle.pk)


def reasons(cycle: Cycle) -> list[tuple[str, str]]:
    return list(Transition.objects.filter(cycle=cycle).values_list("to_state", "reason"))


# ------------------------------------------------------------ cycle_block


def test_a_running_cycle_is_released_and_put_aside_at_once(lab: Lab) -> None:
    mine = running(lab)
    blocked = cycle_block(
        cycle_id=mine.pk, code="cycle.disk_full", message="The disk is full.", epoch=mine.epoch
    )
    assert (blocked.state, blocked.worker, blocked.lease_expires_at) == (State.BLOCKED, None, None)
    assert (blocked.error_code, blocked.error_message) == ("cycle.disk_full", "The disk is full.")
    assert blocked.epoch == mine.epoch + 1
    assert (blocked.attempt, blocked.max_attempts) == (0, mine.max_attempts)  # it was not its fault
    assert reasons(mine)[-2:] == [("queued", "cycle.disk_full"), ("blocked", "cycle.disk_full")]
    assert AuditEntry.objects.get(verb="cycle_blocked").object_id == mine.pk
    assert claim(worker=worker()) is None
    assert promised_to_cycles() == 0


def test_a_waiting_one_is_put_aside_directly(lab: Lab) -> None:
    ready_to_sleep(lab)
    cycle = start(lab)
    cycle_block(cycle_id=cycle.pk, code="cycle.no_room", message="No room.")
    assert reasons(cycle) == [("queued", ""), ("blocked", "cycle.no_room")]


def test_one_that_is_publishing_too(lab: Lab) -> None:
    mine = running(lab)
    transition(mine.pk, to=State.PUBLISHING, expect_from=(State.RUNNING,), epoch=mine.epoch)
    blocked = cycle_block(cycle_id=mine.pk, code="store.disk_full", message="Full.", epoch=mine.epoch)
    assert blocked.state == State.BLOCKED
    # Whoever wanted it paused can still have it so.
    assert cycle_pause(actor=lab.alice, cycle=blocked).state == State.PAUSED


def test_only_the_holder_and_not_against_a_person(lab: Lab) -> None:
    mine = running(lab)
    with pytest.raises(LeaseLost):
        cycle_block(cycle_id=mine.pk, code="cycle.disk_full", message="Full.", epoch=mine.epoch - 1)
    assert now(mine)[0] == State.RUNNING
    cycle_cancel(actor=lab.alice, cycle=mine)
    with pytest.raises(StateChanged):
        cycle_block(cycle_id=mine.pk, code="cycle.disk_full", message="Full.", epoch=mine.epoch)
    assert now(mine)[0] == State.CANCELLING


def test_a_pause_that_a_person_wants_comes_first(lab: Lab) -> None:
    mine = running(lab)
    cycle_pause(actor=lab.alice, cycle=mine)
    with pytest.raises(StateChanged) as error:
        cycle_block(cycle_id=mine.pk, code="cycle.disk_full", message="Full.", epoch=mine.epoch)
    assert error.value.state == now(mine)[0] == State.PAUSING


def test_the_sentence_has_both_numbers() -> None:
    words = disk_sentence(1_200_000_000, 300_000_000, "worker")
    assert words.startswith(
        "The worker's disk has no room: this cycle needs 1.2 GB for its work, and 300.0 MB"
    )
    assert "store's disk" in disk_sentence(5, -7, "store")
    assert "0 bytes are free" in disk_sentence(5, -7, "store")
    assert "needs more" in disk_sentence(0, 5, "store")


# ------------------------------------------------------------ disks


def test_a_full_store_blocks_what_waits_until_there_is_need_and_reserve(
    lab: Lab, disk: dict[str, int]
) -> None:
    ready_to_sleep(lab)
    cycle = start(lab)
    need = cycle.store_bytes
    assert cycles_recheck() == 0
    disk["store"] = need - 1
    assert cycles_recheck() == 1
    state, code, message = now(cycle)
    assert (state, code) == (State.BLOCKED, "cycle.no_room")
    assert message.startswith("This cycle needs ")
    for free in (need - 1, need, need + RESERVE_BYTES - 1):  # no flapping
        disk["store"] = free
        assert cycles_recheck() == 0
    disk["store"] = need + RESERVE_BYTES
    assert cycles_recheck() == 1
    assert now(cycle) == (State.QUEUED, "", "")
    disk["store"] = need
    assert cycles_recheck() == 0
    assert reasons(cycle)[1:] == [("blocked", "cycle.no_room"), ("queued", "disk_free")]


def test_a_score_runs_on_a_full_disk(lab: Lab, disk: dict[str, int]) -> None:
    ready_to_sleep(lab)
    start(lab, kind="score")
    disk["store"] = 0
    assert cycles_recheck() == 0


def test_a_worker_whose_disk_was_full_tries_again_ever_more_rarely(lab: Lab, disk: dict[str, int]) -> None:
    mine = running(lab)

    def block() -> None:
        epoch = Cycle.objects.get(pk=mine.pk).epoch
        cycle_block(cycle_id=mine.pk, code="cycle.disk_full", message="Full.", epoch=epoch)

    disk["work"] = mine.disk_bytes
    block()
    assert cycles_recheck() == 0
    disk["work"] = mine.disk_bytes + 2 * RESERVE_BYTES
    assert cycles_recheck() == 1  # the first time at once
    block()
    assert cycles_recheck() == 0  # then after a minute
    Transition.objects.update(at=F("at") - timedelta(seconds=61))
    assert cycles_recheck() == 1
    block()
    Transition.objects.update(at=F("at") - timedelta(seconds=61))
    assert cycles_recheck() == 0
    Transition.objects.update(at=F("at") - timedelta(seconds=61))
    assert cycles_recheck() == 1
    assert now(mine) == (State.QUEUED, "", "")


# ------------------------------------------------------------ the quota


def test_a_lowered_quota_blocks_the_newest_and_the_oldest_go_on(lab: Lab, disk: dict[str, int]) -> None:
    ready_to_sleep(lab)
    cycles = [start(lab) for _ in range(3)]
    need = cycles[0].store_bytes
    quota(lab, -2 * need)
    assert cycles_recheck() == 2
    assert [now(cycle)[0] for cycle in cycles] == [State.QUEUED, State.BLOCKED, State.BLOCKED]
    assert "left of" in now(cycles[2])[2]
    assert cycles_recheck() == 0
    quota(lab, need)
    assert cycles_recheck() == 1
    assert [now(cycle)[0] for cycle in cycles] == [State.QUEUED, State.QUEUED, State.BLOCKED]
    assert room_left(type(lab.workspace).objects.get(pk=lab.workspace.pk)) == 0


def test_coming_back_from_a_pause_promises_nothing_twice(lab: Lab, disk: dict[str, int]) -> None:
    ready_to_sleep(lab)
    first = start(lab)
    cycle_block(cycle_id=first.pk, code="cycle.no_room", message="No room.")
    cycle_pause(actor=lab.alice, cycle=first)  # a paused cycle holds no place, it may never go on
    quota(lab, first.store_bytes)
    cycle_resume(actor=lab.alice, cycle=first)
    assert cycles_recheck() == 0
    assert now(first)[0] == State.QUEUED
    cycle_pause(actor=lab.alice, cycle=first)
    quota(lab, 0)
    cycle_resume(actor=lab.alice, cycle=first)
    assert cycles_recheck() == 1
    assert now(first)[:2] == (State.BLOCKED, "cycle.no_room")


def test_a_reason_that_is_gone_may_leave_another(lab: Lab, disk: dict[str, int]) -> None:
    ready_to_sleep(lab)
    cycle = start(lab, device="mps")
    alive("cpu")
    assert cycles_recheck() == 1
    quota(lab, 0)
    alive("apple", device="mps")
    assert cycles_recheck() == 0
    assert now(cycle)[:2] == (State.BLOCKED, "cycle.no_room")
    quota(lab, cycle.store_bytes)
    assert cycles_recheck() == 1


# ------------------------------------------------------------ devices


def silent(name: str, seconds: float) -> None:
    Worker.objects.filter(name=name).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))


def test_without_any_worker_it_waits(lab: Lab, disk: dict[str, int]) -> None:
    ready_to_sleep(lab)
    cycle = start(lab, device="cuda")
    assert cycles_recheck() == 0
    alive("cpu")
    silent("cpu", 40)
    assert cycles_recheck() == 0
    assert now(cycle)[0] == State.QUEUED


def test_workers_of_other_kinds_block_it_until_one_of_its_kind_comes(lab: Lab, disk: dict[str, int]) -> None:
    ready_to_sleep(lab)
    cycle, any_kind = start(lab, device="cuda"), start(lab)
    alive("cpu")
    assert cycles_recheck() == 1
    state, code, message = now(cycle)
    assert (state, code) == (State.BLOCKED, "cycle.no_device")
    assert message.startswith("This cycle asks for a worker with cuda, and those that are alive have cpu.")
    assert now(any_kind)[0] == State.QUEUED
    silent("cpu", 40)
    assert cycles_recheck() == 0  # nobody alive at all is no device either
    alive("gpu", device="cuda:1")
    assert cycles_recheck() == 1
    assert reasons(cycle)[-1] == ("queued", "device_back")
    silent("gpu", 40)  # it is being started again
    alive("cpu")
    assert cycles_recheck() == 0
    silent("gpu", 300)
    assert cycles_recheck() == 1


def test_devices_that_are_too_small_block_it(lab: Lab, disk: dict[str, int]) -> None:
    ready_to_sleep(lab)
    cycle, for_cpu = start(lab), start(lab, device="cpu")
    alive("small", memory=1000)
    assert cycles_recheck() == 2
    for one in (cycle, for_cpu):
        assert now(one)[1] == "cycle.no_device"
        assert "the largest worker has 1.0 KB" in now(one)[2]
    alive("unknown", device="cuda")
    assert cycles_recheck() == 1
    assert [now(one)[0] for one in (cycle, for_cpu)] == [State.QUEUED, State.BLOCKED]


# ------------------------------------------------------------ the tick


def test_other_reasons_are_left_to_others(lab: Lab, disk: dict[str, int]) -> None:
    ready_to_sleep(lab)
    cycle = start(lab)
    cycle_block(cycle_id=cycle.pk, code="cycle.window_closed", message="The window is closed.")
    assert cycles_recheck() == 0
    assert now(cycle)[0] == State.BLOCKED


def test_a_tick_with_nothing_to_do_asks_little(
    lab: Lab, disk: dict[str, int], django_assert_max_num_queries: Any
) -> None:
    ready_to_sleep(lab)
    for _ in range(5):
        start(lab)
    alive("cpu")
    with django_assert_max_num_queries(9):
        assert cycles_recheck() == 0
