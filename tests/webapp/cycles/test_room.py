"""Refused before it is queued: no device that could hold it, no quota, no disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from tests.webapp.cycles.test_services import ready_to_sleep
from webapp.accounts.models import Workspace
from webapp.core import store
from webapp.core.errors import InvalidInput
from webapp.core.store import NoRoom, promised_to_cycles, room_left
from webapp.cycles import room
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_retry, cycle_start
from webapp.cycles.steering import cycle_cancel
from webapp.fleet.services import worker_heartbeat, worker_stopped
from webapp.uploads.services import upload_create

if TYPE_CHECKING:
    from tests.support.jobs import Lab


def alive(name: str, device: str = "cpu", memory: int = 0, protocol: int = 1) -> None:
    worker_heartbeat(name=name, device=device, version="test", protocol=protocol, device_memory_bytes=memory)


def start(lab: Lab, **asked: Any) -> Cycle:
    given: dict[str, Any] = {"actor": lab.alice, "project": lab.project, "kind": "sleep", "recipe": {}}
    return cycle_start(**(given | asked))


def refused(lab: Lab, **asked: Any) -> Any:
    with pytest.raises((InvalidInput, NoRoom)) as error:
        start(lab, **asked)
    assert not Cycle.objects.exists()
    return error.value


def quota(lab: Lab, left: int) -> None:
    """Leave so many bytes."""
    fresh = Workspace.objects.get(pk=lab.workspace.pk)
    Workspace.objects.filter(pk=fresh.pk).update(quota_bytes=fresh.quota_bytes - room_left(fresh) + left)


def test_what_no_worker_could_hold_is_refused_with_both_numbers(lab: Lab) -> None:
    ready_to_sleep(lab)
    alive("small", memory=100_000_000)
    alive("smaller", memory=50_000_000)
    error = refused(lab)
    assert (error.code, error.status) == ("cycle.does_not_fit", 422)
    assert "the largest worker has 100.0 MB" in error.message
    assert error.detail["memory_bytes"] > error.detail["largest"] == 100_000_000
    # One that is large enough, or does not tell, is enough.
    alive("unknown")
    assert start(lab).state == State.QUEUED


def test_only_workers_of_the_wanted_kind_count(lab: Lab) -> None:
    ready_to_sleep(lab)
    alive("large", memory=10**12)
    alive("gpu", device="cuda:0", memory=100_000_000)
    assert refused(lab, device="cuda").code == "cycle.does_not_fit"
    assert start(lab, device="cpu").device == "cpu"
    assert start(lab).device == ""
    # One of another kind may still come.
    assert start(lab, device="mps").state == State.QUEUED


def test_nobody_alive_refuses_nothing(lab: Lab) -> None:
    ready_to_sleep(lab)
    alive("gone", memory=1)
    worker_stopped(name="gone")
    alive("of another version", memory=1, protocol=99)
    assert start(lab).state == State.QUEUED


def test_a_device_that_is_none(lab: Lab) -> None:
    ready_to_sleep(lab)
    error = refused(lab, device="abacus")
    assert error.code == "cycle.device_unknown"
    assert "cpu, cuda, mps" in error.message


def test_the_quota_must_have_room_for_what_is_published(lab: Lab) -> None:
    ready_to_sleep(lab)
    quota(lab, 1000)
    error = refused(lab)
    assert (error.code, error.status) == ("cycle.no_room", 413)
    assert error.detail["free"] == 1000
    assert "1.0 KB left of" in error.message
    assert store.in_words(error.detail["need"]) in error.message
    # A score publishes nothing.
    assert start(lab, kind="score").state == State.QUEUED


def test_what_waits_is_promised_its_room_until_it_ends(lab: Lab) -> None:
    ready_to_sleep(lab)
    need = start(lab).store_bytes
    assert promised_to_cycles(lab.workspace) == promised_to_cycles() == need
    quota(lab, need - 1)
    with pytest.raises(NoRoom, match="other cycles were promised"):
        start(lab)
    # Uploads see the promise too.
    with pytest.raises(NoRoom) as error:
        upload_create(
            actor=lab.alice, project=lab.project, purpose="memories", filename="x.npz", size_bytes=need,
            form={"task": str(lab.task(0).pk)},
        )  # fmt: skip
    assert error.value.code == "upload.quota"
    cancelled = cycle_cancel(actor=lab.alice, cycle=Cycle.objects.get())
    assert promised_to_cycles() == 0
    again = cycle_retry(actor=lab.alice, cycle=cancelled)
    assert again.store_bytes == need
    with pytest.raises(NoRoom):
        cycle_retry(actor=lab.alice, cycle=cancelled)


def test_the_disk_must_have_room(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    ready_to_sleep(lab)
    monkeypatch.setattr(room, "disk_free", lambda: 5_000)
    error = refused(lab)
    assert (error.code, error.status, error.detail["free"]) == ("cycle.no_room", 507, 5_000)
    assert "5.0 KB are free" in error.message
    assert store.in_words(error.detail["need"]) in error.message


def test_other_cycles_are_promised_their_place_on_the_disk(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    ready_to_sleep(lab)
    monkeypatch.setattr(room, "works_on_the_stores_disk", lambda: False)
    need = start(lab).store_bytes
    monkeypatch.setattr(room, "disk_free", lambda: 2 * need - 1)
    with pytest.raises(NoRoom):
        start(lab)
    monkeypatch.setattr(room, "disk_free", lambda: 2 * need)
    assert start(lab).state == State.QUEUED


def test_fifty_at_once_never_overcommit(committed_lab: Lab) -> None:
    """R26: as many as fit are taken, the others are told so."""
    lab = committed_lab
    ready_to_sleep(lab)
    need = start(lab).store_bytes
    quota(lab, 7 * need + need // 2)
    # On several projects, so that it is not the project's lock that makes them take turns.
    labs = [lab, *(lab.another_project(f"project {index}") for index in range(3))]
    for other in labs[1:]:
        ready_to_sleep(other)

    def one(index: int) -> str:
        try:
            start(labs[index % len(labs)])
        except NoRoom as error:
            return error.code
        finally:
            connections.close_all()
        return "started"

    with ThreadPoolExecutor(10) as pool:
        told = list(pool.map(one, range(50)))
    assert sorted(set(told)) == ["cycle.no_room", "started"]
    fresh = Workspace.objects.get(pk=lab.workspace.pk)
    assert 0 <= room_left(fresh) < need
    assert Cycle.objects.count() - 1 == told.count("started") == 7
