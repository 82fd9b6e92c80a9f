"""The fleet over HTTP: one shape, one's own cycles, and the same rights as the page."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.core.models import AuditEntry
from webapp.fleet.models import Worker

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


def get(user: User, query: str = "") -> dict[str, Any]:
    answer = logged_in(user).get("/api/fleet" + query)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_workers_and_queue(alice: User, bob: User, charlie: User, project: Project) -> None:
    gpu = rows.worker("gpu-1")
    started = timezone.now() - timedelta(minutes=1)
    running = rows.cycle(
        project, "sleep", "running", worker=gpu, progress=0.5, attempt=1, started_at=started, stage="scoring"
    )
    waiting = rows.cycle(project, "wake", "queued", queued_at=timezone.now(), created_by=bob, device="cpu")
    mine, theirs = get(alice), get(charlie)
    (worker,) = mine["workers"]
    assert (worker["name"], worker["state"], worker["busy"], worker["problem"]) == (
        "gpu-1",
        "busy",
        True,
        None,
    )
    assert worker["cycles"] == [
        {
            "id": str(running.pk), "title": "Sleep 1", "project": "support-bot", "state": "running",
            "stage": "scoring", "progress": 0.5,
        }
    ]  # fmt: skip
    assert 59 <= worker["seconds_left"] <= 65
    (queued,) = mine["queue"]
    assert (queued["id"], queued["position"], queued["queued_by"]) == (str(waiting.pk), 1, "bob@example.org")
    assert queued["reason"]["code"] == "cycle.project_runs"
    assert queued["expected"]["earliest"] < queued["expected"]["latest"]
    assert (mine["waiting"], mine["page"], mine["pages"]) == (1, 1, 1)
    (seen,) = theirs["workers"]
    assert (seen["busy"], seen["cycles"], seen["seconds_left"]) == (True, [], None)
    assert (theirs["waiting"], theirs["queue"]) == (1, [])


def test_a_problem_has_its_code(alice: User) -> None:
    worker = rows.worker("gpu-1")
    Worker.objects.filter(pk=worker.pk).update(problem_code="store.not_mounted", problem="No store.")
    (seen,) = get(alice)["workers"]
    assert seen["state"] == "problem"
    assert seen["problem"] == {"code": "store.not_mounted", "message": "No store."}


def test_draining_by_whoever_runs_the_site(alice: User, charlie: User) -> None:
    worker = rows.worker("gpu-1")
    for verb in ("drain", "undrain"):
        address = f"/api/workers/{worker.pk}/{verb}"
        refused = logged_in(charlie).post(address)
        assert (refused.status_code, refused.json()["code"]) == (403, "role.missing")
        answer = logged_in(alice).post(address)
        assert answer.status_code == 200
        assert (answer.json()["draining_at"] is not None) == (verb == "drain")
    assert list(AuditEntry.objects.order_by("id").values_list("verb", flat=True))[-2:] == [
        "worker_drain",
        "worker_undrain",
    ]


def test_nobody_without_a_login(client: Any, db: None) -> None:
    assert client.get("/api/fleet").status_code == 401
