"""Changes of state: only by the table, recorded, audited, streamed, and never by halves."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from django.db import connection, transaction

from tests.support.jobs import Lab, worker
from tests.webapp.cycles.test_claim import in_threads
from webapp.core.models import AuditEntry
from webapp.cycles.choices import TERMINAL, TRANSITIONS, State
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle, Transition
from webapp.cycles.transitions import StateChanged, transition
from webapp.live.frames import DATA, PAYLOAD_LIMIT, STATE, LeaseLost, frame_write
from webapp.live.models import Frame


def history(cycle: Cycle) -> list[tuple[str, str]]:
    return list(Transition.objects.filter(cycle=cycle).order_by("id").values_list("from_state", "to_state"))


def test_every_step_that_the_table_does_not_know_is_refused(lab: Lab) -> None:
    cycle = lab.wake()
    for old in State.values:
        for new in State.values:
            if new not in TRANSITIONS[old]:
                with pytest.raises(ValueError, match="never goes"):
                    transition(cycle.pk, to=new, expect_from=(old,))
    assert history(cycle) == [("", State.QUEUED)]


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_leaves_an_end(lab: Lab, state: str) -> None:
    assert TRANSITIONS[state] == frozenset()


def test_a_step_leaves_a_row_a_frame_and_an_audit_entry(lab: Lab) -> None:
    cycle = lab.wake()
    transition(
        cycle.pk,
        to=State.CANCELLED,
        expect_from=(State.QUEUED,),
        actor=lab.alice,
        verb="cycle_cancel",
        reason="changed my mind",
    )
    cycle.refresh_from_db()
    assert cycle.state == State.CANCELLED
    assert cycle.finished_at is not None
    assert history(cycle) == [("", State.QUEUED), (State.QUEUED, State.CANCELLED)]
    frame = Frame.objects.filter(cycle=cycle).latest("seq")
    assert (frame.seq, frame.kind, frame.t_ms) == (2, STATE, 0)
    assert frame.payload["state"] == {
        "from": "queued",
        "to": "cancelled",
        "reason": "changed my mind",
        "step": 0,
        "attempt": 0,
        "epoch": 0,
        "worker": None,
    }
    entry = AuditEntry.objects.get(verb="cycle_cancel")
    assert (entry.actor, entry.object_id) == (lab.alice, cycle.pk)


def test_another_state_than_expected_changes_nothing(lab: Lab) -> None:
    cycle = lab.wake()
    with pytest.raises(StateChanged) as error:
        transition(cycle.pk, to=State.RUNNING, expect_from=(State.STARTING,))
    assert error.value.state == State.QUEUED
    assert "waiting" in error.value.message
    assert Frame.objects.filter(cycle=cycle).count() == 1


def test_a_failure_in_the_same_transaction_takes_everything_back(lab: Lab) -> None:
    cycle = lab.wake()
    with pytest.raises(RuntimeError), transaction.atomic():
        transition(cycle.pk, to=State.CANCELLED, expect_from=(State.QUEUED,))
        raise RuntimeError
    cycle.refresh_from_db()
    assert (cycle.state, cycle.seq) == (State.QUEUED, 1)
    assert history(cycle) == [("", State.QUEUED)]


def test_sixteen_threads_leave_a_legal_history_and_frames_without_gaps(committed_lab: Lab) -> None:
    cycle = committed_lab.wake()

    def work(index: int) -> None:
        dice = random.Random(index)
        for _ in range(12):
            now = Cycle.objects.values_list("state", flat=True).get(pk=cycle.pk)
            choices = sorted(TRANSITIONS[now] - TERMINAL)
            if not choices:
                return
            try:
                transition(cycle.pk, to=dice.choice(choices), expect_from=(now,))
            except StateChanged:
                continue

    in_threads(16, work)
    steps = history(cycle)
    assert all(new in TRANSITIONS[old] for old, new in steps)
    assert all(one[1] == two[0] for one, two in pairwise(steps))
    cycle.refresh_from_db()
    assert steps[-1][1] == cycle.state
    assert list(Frame.objects.filter(cycle=cycle).order_by("seq").values_list("seq", flat=True)) == list(
        range(1, len(steps) + 1)
    )


def test_frames_of_many_writers_have_no_gap_and_no_double(committed_lab: Lab) -> None:
    cycle = committed_lab.wake()

    def work(index: int) -> None:
        for _ in range(10):
            frame_write(cycle_id=cycle.pk, epoch=None, kind=DATA, payload={"writer": index})

    in_threads(8, work)
    seqs = Frame.objects.filter(cycle=cycle).order_by("seq").values_list("seq", flat=True)
    assert list(seqs) == list(range(1, 82))
    cycle.refresh_from_db()
    assert cycle.seq == 81


def test_a_frame_rings_when_it_commits(committed_lab: Lab) -> None:
    cycle = committed_lab.wake()
    heard: list[str] = []
    import psycopg

    with psycopg.connect(**connection.get_connection_params() | {"autocommit": True}) as listener:
        listener.execute("LISTEN frames")
        frame_write(cycle_id=cycle.pk, epoch=None, kind=DATA, payload={})
        heard = [note.payload for note in listener.notifies(timeout=5, stop_after=1)]
    assert heard == [str(cycle.pk)]


def test_frames_count_time_from_the_first_start(lab: Lab) -> None:
    lab.wake()
    mine = claim(worker=worker())
    assert mine is not None
    seq = frame_write(
        cycle_id=mine.pk,
        epoch=mine.epoch,
        kind=DATA,
        payload={"points": {}},
        progress={"stage": "learning", "progress": 0.25, "step": 7, "total_steps": 28},
    )
    frame = Frame.objects.get(cycle=mine, seq=seq)
    mine.refresh_from_db()
    assert mine.started_at is not None
    elapsed = (frame.committed_at - mine.started_at).total_seconds() * 1000
    assert abs(frame.t_ms - elapsed) <= 1
    assert (mine.stage, mine.progress, mine.step, mine.total_steps) == ("learning", 0.25, 7, 28)


def test_what_a_frame_may_not_hold(lab: Lab) -> None:
    cycle = lab.wake()
    for payload in ({"x": "a" * PAYLOAD_LIMIT}, {"x": float("nan")}):
        with pytest.raises(ValueError, match=r"limit|JSON"):
            frame_write(cycle_id=cycle.pk, epoch=None, kind=DATA, payload=payload)
    with pytest.raises(ValueError, match="not columns"):
        frame_write(cycle_id=cycle.pk, epoch=None, kind=DATA, payload={}, progress={"state": "succeeded"})
    with pytest.raises(LeaseLost):
        frame_write(cycle_id=cycle.pk, epoch=7, kind=DATA, payload={})
    cycle.refresh_from_db()
    assert cycle.seq == 1
