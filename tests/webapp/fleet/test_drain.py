"""Draining a worker: who may, what it does and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests.webapp import rows
from tests.webapp.conftest import logged_in, member
from webapp.accounts.abilities import operated_by
from webapp.accounts.choices import Role
from webapp.accounts.models import Workspace
from webapp.core.errors import Forbidden
from webapp.core.models import AuditEntry
from webapp.fleet.models import Worker
from webapp.fleet.services import worker_drain, worker_heartbeat, worker_stopped, worker_undrain

if TYPE_CHECKING:
    from django.http import HttpResponse

    from webapp.accounts.models import User


def post(user: User, view: str, worker: Worker) -> HttpResponse:
    return logged_in(user).post(reverse(view, args=[worker.pk]), follow=True)  # type: ignore[return-value]


def drains(worker: Worker) -> bool:
    return Worker.objects.get(pk=worker.pk).draining_at is not None


def audit() -> list[tuple[str, str, str]]:
    rows_of = AuditEntry.objects.filter(object_type="worker").order_by("id")
    return [(row.verb, row.workspace.name, row.actor.email if row.actor else "") for row in rows_of]


def test_the_owner_of_the_first_workspace_drains_and_undoes(alice: User, charlie: User) -> None:
    worker = rows.worker("gpu-1")
    page = post(alice, "worker_drain", worker).content.decode()
    assert drains(worker)
    assert "gpu-1 takes no new cycle; what it runs goes on to its end." in page
    assert page.count(reverse("worker_undrain", args=[worker.pk])) == 2, "in the row, and as the toast's Undo"
    assert "gpu-1 takes cycles again." in post(alice, "worker_undrain", worker).content.decode()
    assert not drains(worker)
    assert audit() == [
        ("worker_drain", "Lab", "alice@example.org"),
        ("worker_undrain", "Lab", "alice@example.org"),
    ]


def test_nobody_else_sees_the_button_or_may_post(
    alice: User, bob: User, charlie: User, workspace: Workspace
) -> None:
    worker = rows.worker("gpu-1")
    admin = member(workspace, "adam@example.org", Role.ADMIN)
    for user in (bob, admin, charlie):
        assert "worker_drain" not in logged_in(user).get(reverse("fleet")).content.decode()
        assert (
            reverse("worker_drain", args=[worker.pk]) not in logged_in(user).get("/fleet/").content.decode()
        )
        for view in ("worker_drain", "worker_undrain"):
            answer = post(user, view, worker)
            assert answer.status_code == 403
            assert "only the owners of the first workspace of this site" in answer.content.decode()
        with pytest.raises(Forbidden):
            worker_drain(actor=user, worker=worker)
    assert not drains(worker)
    assert audit() == []
    assert reverse("worker_drain", args=[worker.pk]) in logged_in(alice).get("/fleet/").content.decode()


def test_asking_twice_is_fine_and_recorded_once(alice: User) -> None:
    worker = rows.worker("gpu-1")
    first = worker_drain(actor=alice, worker=worker).draining_at
    assert worker_drain(actor=alice, worker=worker).draining_at == first
    worker_undrain(actor=alice, worker=worker)
    worker_undrain(actor=alice, worker=worker)
    assert [verb for verb, _, _ in audit()] == ["worker_drain", "worker_undrain"]


def test_a_worker_that_is_started_again_still_drains(alice: User) -> None:
    worker = worker_heartbeat(name="gpu-1", device="cpu", version="1", protocol=1)
    worker_drain(actor=alice, worker=worker)
    worker_stopped(name="gpu-1")
    again = worker_heartbeat(name="gpu-1", device="cpu", version="2", protocol=1)
    assert again.pk == worker.pk
    assert drains(worker)
    assert again.draining_at is not None, "what it is told decides whether it takes a cycle"


def test_the_command_line_acts_in_nobodys_name(alice: User) -> None:
    worker = rows.worker("gpu-1")
    worker_drain(actor=None, worker=worker)
    assert audit() == [("worker_drain", "Lab", "")]


def test_before_anybody_was_let_in_there_is_nothing_to_record(db: None) -> None:
    worker = rows.worker("gpu-1")
    assert worker_drain(actor=None, worker=worker).draining_at is not None
    assert audit() == []


def test_the_oldest_workspace_is_the_one_that_counts(
    alice: User, charlie: User, workspace: Workspace
) -> None:
    assert operated_by(alice) == workspace
    assert operated_by(charlie) is None
    workspace.delete()
    assert operated_by(charlie) == Workspace.objects.get()


def test_a_worker_that_is_not_there(alice: User) -> None:
    worker = rows.worker("gpu-1")
    worker.delete()
    worker.pk = "00000000-0000-4000-8000-000000000000"
    for view in ("worker_drain", "worker_undrain"):
        assert post(alice, view, worker).status_code == 404
        assert logged_in(alice).get(reverse(view, args=[worker.pk])).status_code == 405
