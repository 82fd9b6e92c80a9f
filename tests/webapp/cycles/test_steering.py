"""Pausing, resuming and extending: who may, from where, what is recorded, and each no with its sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.jobs import Lab, worker
from tests.webapp.cycles.test_services import ready_to_sleep
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User
from webapp.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from webapp.core.models import AuditEntry
from webapp.cycles.choices import State
from webapp.cycles.claim import claim, look
from webapp.cycles.models import Cycle, Transition
from webapp.cycles.services import cycle_start
from webapp.cycles.steering import cycle_cancel, cycle_extend, cycle_pause, cycle_resume
from webapp.cycles.transitions import transition
from webapp.live.models import Frame

if TYPE_CHECKING:
    from django.test import Client


def running(lab: Lab) -> Cycle:
    lab.wake()
    mine = claim(worker=worker())
    assert mine is not None
    return transition(mine.pk, to=State.RUNNING, expect_from=(State.STARTING,), epoch=mine.epoch)


def test_a_waiting_cycle_is_paused_at_once_and_keeps_its_place(lab: Lab) -> None:
    first = lab.wake(0)
    paused = cycle_pause(actor=lab.alice, cycle=first)
    assert (paused.state, paused.attempt) == (State.PAUSED, 0)
    assert claim(worker=worker()) is None
    assert cycle_pause(actor=lab.alice, cycle=first).state == State.PAUSED
    assert cycle_resume(actor=lab.alice, cycle=first).queued_at == first.queued_at
    mine = claim(worker=worker())
    assert mine is not None
    assert mine.pk == first.pk
    asked = AuditEntry.objects.filter(verb__in=("cycle_pause", "cycle_resume")).order_by("id")
    assert list(asked.values_list("actor", "verb")) == [
        (lab.alice.pk, "cycle_pause"),
        (lab.alice.pk, "cycle_resume"),
    ]


def test_a_running_one_is_told_through_its_lease(lab: Lab) -> None:
    mine = running(lab)
    assert not look(cycle_id=mine.pk, epoch=mine.epoch).pausing
    assert cycle_pause(actor=lab.alice, cycle=mine).state == State.PAUSING
    assert look(cycle_id=mine.pk, epoch=mine.epoch).pausing
    assert cycle_pause(actor=lab.alice, cycle=mine).state == State.PAUSING
    assert Transition.objects.filter(cycle=mine, to_state=State.PAUSING).count() == 1
    with pytest.raises(Conflict) as error:
        cycle_resume(actor=lab.alice, cycle=mine)
    assert error.value.code == "cycle.not_paused"
    assert "still pausing" in error.value.message


def test_what_pauses_may_still_be_cancelled(lab: Lab) -> None:
    mine = running(lab)
    cycle_pause(actor=lab.alice, cycle=mine)
    assert cycle_cancel(actor=lab.alice, cycle=mine).state == State.CANCELLING
    with pytest.raises(Conflict) as error:
        cycle_pause(actor=lab.alice, cycle=mine)
    assert error.value.code == "cycle.cancelling"


def test_too_late_to_pause(lab: Lab) -> None:
    mine = running(lab)
    transition(mine.pk, to=State.PUBLISHING, expect_from=(State.RUNNING,), epoch=mine.epoch)
    with pytest.raises(Conflict) as error:
        cycle_pause(actor=lab.alice, cycle=mine)
    assert error.value.code == "cycle.publishing"
    transition(mine.pk, to=State.SUCCEEDED, expect_from=(State.PUBLISHING,), epoch=mine.epoch)
    for late in (cycle_pause, cycle_extend):
        with pytest.raises(Conflict):
            late(actor=lab.alice, cycle=mine)
    with pytest.raises(Conflict) as error:
        cycle_resume(actor=lab.alice, cycle=mine)
    assert error.value.code == "cycle.not_paused"


def test_an_extension_reaches_the_holder_and_everybody_who_watches(lab: Lab) -> None:
    mine = running(lab)
    Cycle.objects.filter(pk=mine.pk).update(stage="learning")
    assert cycle_extend(actor=lab.alice, cycle=mine, share=0.25).extended == 0.25
    assert look(cycle_id=mine.pk, epoch=mine.epoch).extended == 0.25
    frame = Frame.objects.filter(cycle=mine).latest("seq")
    assert "Extended by 25%" in frame.payload["events"][0]["message"]
    entry = AuditEntry.objects.get(verb="cycle_extend")
    assert (entry.actor, entry.detail["share"]) == (lab.alice, 0.25)


@pytest.mark.parametrize("share", [0.0, 0.05, 2.5, -1.0, float("nan"), True])
def test_an_extension_out_of_range_is_refused(lab: Lab, share: float) -> None:
    with pytest.raises(InvalidInput) as error:
        cycle_extend(actor=lab.alice, cycle=running(lab), share=share)
    assert error.value.code == "cycle.extend_range"


def test_extensions_add_up_to_a_limit(lab: Lab) -> None:
    mine = running(lab)
    for _ in range(2):
        cycle_extend(actor=lab.alice, cycle=mine, share=2.0)
    with pytest.raises(InvalidInput) as error:
        cycle_extend(actor=lab.alice, cycle=mine, share=0.5)
    assert "400%" in error.value.message


def test_what_is_over_cannot_be_extended(lab: Lab) -> None:
    mine = running(lab)
    Cycle.objects.filter(pk=mine.pk).update(stage="morning probe")
    with pytest.raises(Conflict) as error:
        cycle_extend(actor=lab.alice, cycle=mine)
    assert error.value.code == "cycle.extend_late"


def test_scoring_has_no_length(lab: Lab) -> None:
    ready_to_sleep(lab)
    cycle = cycle_start(actor=lab.alice, project=lab.project, kind="score", recipe={})
    with pytest.raises(InvalidInput) as error:
        cycle_extend(actor=lab.alice, cycle=cycle)
    assert error.value.code == "cycle.extend_kind"


@pytest.mark.parametrize("step", [cycle_pause, cycle_resume, cycle_extend])
def test_viewers_and_strangers_may_not(lab: Lab, step: object) -> None:
    cycle = lab.wake()
    bob = User.objects.create_user("bob@example.org", "correct horse battery")
    with pytest.raises(NotFound):
        step(actor=bob, cycle=cycle)  # type: ignore[operator]
    Membership.objects.create(workspace=lab.workspace, user=bob, role=Role.VIEWER)
    with pytest.raises(Forbidden):
        step(actor=bob, cycle=cycle)  # type: ignore[operator]
    assert Cycle.objects.get(pk=cycle.pk).state == State.QUEUED


def test_over_http(lab: Lab, client: Client) -> None:
    client.force_login(lab.alice)
    cycle = lab.wake()

    def post(step: str, body: object = None) -> tuple[int, dict[str, object]]:
        answer = client.post(f"/api/cycles/{cycle.pk}/{step}", body, content_type="application/json")
        return answer.status_code, answer.json()

    status, body = post("extend", {"share": 0.5})
    assert status == 200
    assert post("pause")[1]["state"] == "paused"
    assert post("resume")[1]["state"] == "queued"
    status, body = post("resume")
    assert (status, body["code"]) == (409, "cycle.not_paused")
    status, body = post("extend", {"share": 9})
    assert (status, body["code"]) == (422, "cycle.extend_range")
