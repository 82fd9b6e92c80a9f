"""Claims: one worker a cycle, one cycle a project, the oldest first, and stale numbers touch nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, connection
from django.db.models import F
from django.db.models.functions import Now

from tests.support.jobs import Lab, worker
from webapp.cycles.choices import State
from webapp.cycles.claim import FREE_ATTEMPTS, claim, look, release, renew
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import transition
from webapp.fleet.services import worker_heartbeat
from webapp.live.frames import DATA, LeaseLost, frame_write
from webapp.live.models import Frame


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in so many threads that begin together, each with its own connection."""
    start = threading.Barrier(count)
    errors: list[BaseException] = []

    def one(index: int) -> None:
        try:
            start.wait()
            work(index)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_a_claim_counts_epoch_and_attempt_and_sets_the_lease(lab: Lab) -> None:
    cycle = lab.wake()
    mine = worker()
    taken = claim(worker=mine)
    assert taken is not None
    assert (taken.pk, taken.state, taken.epoch, taken.attempt) == (cycle.pk, State.STARTING, 1, 1)
    assert taken.worker == mine
    assert taken.started_at is not None
    assert Cycle.objects.filter(pk=cycle.pk, lease_expires_at__gt=Now() + timedelta(seconds=40)).exists()
    assert claim(worker=mine) is None


def test_a_project_has_one_active_cycle_and_goes_on_in_order(lab: Lab) -> None:
    first, second = lab.wake(0), lab.wake(1)
    other = lab.another_project().wake(0)
    got = [claim(worker=worker()), claim(worker=worker("bench-cpu-1")), claim(worker=worker("bench-cpu-2"))]
    assert [cycle.pk if cycle else None for cycle in got] == [first.pk, other.pk, None]
    assert second.pk not in {cycle.pk for cycle in got if cycle}


def test_the_index_is_the_last_guard(lab: Lab) -> None:
    lab.wake(0)
    second = lab.wake(1)
    assert claim(worker=worker()) is not None
    with pytest.raises(IntegrityError):
        Cycle.objects.filter(pk=second.pk).update(state=State.STARTING)


def test_another_protocol_is_left_for_newer_workers(lab: Lab) -> None:
    cycle = lab.wake()
    Cycle.objects.filter(pk=cycle.pk).update(protocol=99)
    assert claim(worker=worker()) is None


def test_what_a_device_cannot_run_is_left_for_one_that_can(lab: Lab) -> None:
    cycle = lab.wake()
    Cycle.objects.filter(pk=cycle.pk).update(device="cuda", memory_bytes=20 * 10**9)

    def on(device: str, memory_bytes: int) -> Cycle | None:
        mine = worker_heartbeat(
            name=f"one-{device}-{memory_bytes}", device=device, device_memory_bytes=memory_bytes,
            version="test", protocol=settings.CYCLE_PROTOCOL,
        )  # fmt: skip
        return claim(worker=mine)

    assert on("cpu", 64 * 10**9) is None
    assert on("cuda:0", 16 * 10**9) is None
    taken = on("cuda:1", 24 * 10**9)
    assert taken is not None
    assert taken.pk == cycle.pk
    other = lab.another_project().wake()
    Cycle.objects.filter(pk=other.pk).update(memory_bytes=20 * 10**9)
    assert on("mps", 0) is not None, "a device of unknown size may try"


def test_a_worker_of_another_protocol_takes_nothing(lab: Lab) -> None:
    lab.wake()
    old = worker_heartbeat(name="old", device="cpu", version="0.1", protocol=settings.CYCLE_PROTOCOL + 1)
    assert claim(worker=old) is None


def test_eight_workers_race_for_each_cycle_and_one_gets_it(committed_lab: Lab) -> None:
    labs = [committed_lab, *(committed_lab.another_project(f"project {n}") for n in range(3))]
    queued = {each.wake(0).pk for each in labs} | {each.wake(1).pk for each in labs}
    taken: list[Cycle] = []

    def work(index: int) -> None:
        mine = worker(f"bench-cpu-{index}")
        for _ in range(4):
            if (cycle := claim(worker=mine)) is not None:
                taken.append(cycle)

    in_threads(8, work)
    assert len(taken) == len({cycle.pk for cycle in taken}) == len(labs)
    assert {cycle.pk for cycle in taken} <= queued
    assert len({cycle.project_id for cycle in taken}) == len(labs)
    assert {cycle.number for cycle in taken} == {1}


def test_a_stale_epoch_touches_no_row(lab: Lab) -> None:
    lab.wake()
    mine = claim(worker=worker())
    assert mine is not None
    release(cycle_id=mine.pk, epoch=mine.epoch, reason="worker_lost", free=True)
    theirs = claim(worker=worker("bench-cpu-1"))
    assert theirs is not None
    assert theirs.epoch > mine.epoch
    before = Cycle.objects.values().get(pk=mine.pk)
    frames = Frame.objects.filter(cycle=mine).count()
    for write in (
        lambda: renew(cycle_id=mine.pk, epoch=mine.epoch),
        lambda: look(cycle_id=mine.pk, epoch=mine.epoch),
        lambda: frame_write(cycle_id=mine.pk, epoch=mine.epoch, kind=DATA, payload={}),
        lambda: release(cycle_id=mine.pk, epoch=mine.epoch, reason="x", free=False),
        lambda: transition(mine.pk, to=State.RUNNING, expect_from=(State.STARTING,), epoch=mine.epoch),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert Cycle.objects.values().get(pk=mine.pk) == before
    assert Frame.objects.filter(cycle=mine).count() == frames


def test_renewing_moves_the_lease_by_the_databases_clock(lab: Lab) -> None:
    lab.wake()
    mine = claim(worker=worker())
    assert mine is not None
    Cycle.objects.filter(pk=mine.pk).update(lease_expires_at=Now() + timedelta(seconds=1))
    assert renew(cycle_id=mine.pk, epoch=mine.epoch).cancelling is False
    assert Cycle.objects.filter(pk=mine.pk, lease_expires_at__gt=Now() + timedelta(seconds=40)).exists()


def test_a_free_retry_gives_the_attempt_back_but_not_for_ever(lab: Lab) -> None:
    cycle = lab.wake()
    for _ in range(FREE_ATTEMPTS + 3):
        mine = claim(worker=worker())
        assert mine is not None
        release(cycle_id=mine.pk, epoch=mine.epoch, reason="worker_lost", free=True)
    cycle.refresh_from_db()
    assert (cycle.attempt, cycle.max_attempts) == (FREE_ATTEMPTS + 3, 5 + FREE_ATTEMPTS)


def test_an_interrupted_cycle_keeps_its_place(lab: Lab) -> None:
    first = lab.wake(0)
    lab.wake(1)
    mine = claim(worker=worker())
    assert mine is not None
    release(cycle_id=mine.pk, epoch=mine.epoch, reason="worker_stopping", free=True)
    again = claim(worker=worker())
    assert again is not None
    assert (again.pk, again.attempt) == (first.pk, 2)
    assert Cycle.objects.filter(pk=first.pk, attempt=2, epoch__gt=F("attempt")).exists()
