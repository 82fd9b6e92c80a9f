"""When a waiting cycle begins: told from what runs, what ran, and who is there to take it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from tests.webapp import rows
from tests.webapp.fleet.test_durations import ended
from webapp.cycles.blocking import cycle_block
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_pause
from webapp.fleet.forecast import expected_start, outlook
from webapp.fleet.models import Worker
from webapp.fleet.waiting import Reason, Reasons

if TYPE_CHECKING:
    from webapp.accounts.models import Workspace
    from webapp.projects.models import Project

POLL, TICK = 20, 15


@pytest.fixture
def projects(workspace: Workspace) -> list[Project]:
    return [rows.project_of(workspace, name) for name in ("one", "two", "three")]


def waits(project: Project, minutes: float = 0, **fields: object) -> Cycle:
    """A cycle that was queued so many minutes after the first."""
    at = timezone.now() - timedelta(hours=1) + timedelta(minutes=minutes)
    return rows.cycle(project, str(fields.pop("kind", "sleep")), "queued", queued_at=at, **fields)


def runs(project: Project, worker: Worker, **fields: object) -> Cycle:
    facts = {"state": "running", "attempt": 1, "queued_at": timezone.now() - timedelta(hours=2)} | fields
    return rows.cycle(project, "sleep", str(facts.pop("state")), worker=worker, **facts)


def seconds(cycle: Cycle) -> tuple[int, int] | None:
    found = expected_start(cycle)
    return None if found is None else (round(found.low), round(found.high))


def why(cycle: Cycle) -> Reason:
    return Reasons(outlook()).of(cycle)


def test_a_free_worker_takes_it_before_it_looks_again_by_itself(projects: list[Project]) -> None:
    cycle = waits(projects[0])
    rows.worker("a")
    assert seconds(cycle) == (0, POLL)
    assert why(cycle).code == "cycle.next"


def test_a_busy_one_by_its_pace(projects: list[Project]) -> None:
    cycle = waits(projects[0])
    runs(projects[1], rows.worker("a"), progress=0.5, started_at=timezone.now() - timedelta(seconds=300))
    assert seconds(cycle) == (200, 450 + POLL)
    assert why(cycle) == Reason("cycle.workers_busy", "The one worker that can take it is busy.")


def test_the_second_waits_for_the_first_of_its_project(projects: list[Project]) -> None:
    for took in (100, 100, 100, 100):
        ended(projects[0], took)
    first, second = waits(projects[0], 0), waits(projects[0], 1)
    rows.worker("a")
    rows.worker("b")
    assert seconds(first) == (0, POLL)
    assert seconds(second) == (100, 100 + POLL)
    assert why(second) == Reason("cycle.project_waits", f"{first} of this project comes first.")


def test_behind_a_blocked_one_nothing_is_promised(projects: list[Project]) -> None:
    before, blocked, behind = (waits(projects[0], minutes) for minutes in (0, 1, 2))
    other = waits(projects[1], 3)
    cycle_block(cycle_id=blocked.pk, code="cycle.no_room", message="No room.")
    worker = rows.worker("a")
    assert seconds(before) == (0, POLL)
    assert seconds(behind) is None
    reason = why(behind)
    assert (reason.code, reason.stuck) == ("cycle.project_blocked", True)
    assert reason.message.startswith(f"{blocked} of this project comes first, and it is blocked.")
    assert why(before).code == "cycle.next"
    # The claim agrees: what is before it and what is of another project is taken, and then nothing is.
    for wanted in (before, other):
        taken = claim(worker=worker)
        assert taken == wanted
        Cycle.objects.filter(pk=wanted.pk).update(worker=None, state="cancelling")
        Cycle.objects.filter(pk=wanted.pk).update(state="cancelled")
    assert claim(worker=worker) is None
    Cycle.objects.filter(pk=blocked.pk).update(state="queued")
    assert why(behind).code == "cycle.project_waits"
    cycle_pause(actor=None, cycle=blocked)
    assert (seconds(behind), why(behind).code) == ((0, POLL), "cycle.next")


def test_a_blocked_one_of_another_version_keeps_no_turn(projects: list[Project]) -> None:
    blocked, newer = waits(projects[0], 0), waits(projects[0], 1)
    cycle_block(cycle_id=blocked.pk, code="cycle.no_room", message="No room.")
    rows.worker("a")
    for row in (Cycle.objects.filter(pk=newer.pk), Worker.objects):
        row.update(protocol=7)
    newer.refresh_from_db()
    assert (seconds(newer), why(newer).code) == ((0, POLL), "cycle.next")


def test_a_project_that_runs_is_waited_for(projects: list[Project]) -> None:
    running = runs(
        projects[0], rows.worker("a"), progress=0.5, started_at=timezone.now() - timedelta(minutes=2)
    )
    rows.worker("b")
    cycle = waits(projects[0])
    assert seconds(cycle) == (80, 180 + POLL)
    assert why(cycle).message == f"{running} of this project runs; a project runs one cycle at a time."


def test_after_what_nobody_knows_the_end_of_it_is_unknown(projects: list[Project]) -> None:
    cycle = waits(projects[0])
    runs(projects[1], rows.worker("a"))
    assert seconds(cycle) is None
    assert why(cycle).code == "cycle.workers_busy"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"draining_at": timezone.now()}, "cycle.draining"),
        ({"problem_code": "store.not_mounted", "problem": "No store."}, "cycle.worker_problem"),
        ({"protocol": 7}, "cycle.no_version"),
        ({"stopped_at": timezone.now()}, "cycle.no_worker"),
        ({"heartbeat_at": timezone.now() - timedelta(minutes=5)}, "cycle.no_worker"),
        ({"device": "mps"}, "cycle.no_device"),
        ({"device_memory_bytes": 8}, "cycle.no_memory"),
    ],
)
def test_who_cannot_take_it_does_not_count(
    projects: list[Project], change: dict[str, object], code: str
) -> None:
    cycle = waits(projects[0], device="cpu", memory_bytes=9)
    worker = rows.worker("a")
    assert seconds(cycle) == (0, POLL)
    Worker.objects.filter(pk=worker.pk).update(**change)
    assert seconds(cycle) is None
    reason = why(cycle)
    assert (reason.code, reason.stuck) == (code, True)


def test_the_cycle_of_a_lost_worker_comes_back_into_its_old_place(projects: list[Project]) -> None:
    ended(projects[0], 100)
    lost = rows.worker("lost", silent=timedelta(minutes=1))
    lease = timezone.now() + timedelta(seconds=30)
    runs(projects[0], lost, attempt=2, progress=0.5, lease_expires_at=lease)
    again, other = waits(projects[0]), waits(projects[1])
    rows.worker("a")
    low, high = seconds(again) or (0, 0)
    # The lease, then half of about 100 s; and in the slow play what the other takes is not known.
    assert seconds(other) == (0, POLL)
    assert why(again).code == "cycle.project_runs"
    assert (low, high) == (0, 0) or low >= 30
    rows.worker("b")
    low, high = seconds(again) or (0, 0)
    assert 60 <= low <= 65
    assert 30 + TICK + 75 <= high <= 30 + TICK + 75 + POLL + 1


def test_what_does_not_wait_has_no_start(projects: list[Project]) -> None:
    rows.worker("a")
    assert expected_start(rows.cycle(projects[0], "sleep", "blocked", queued_at=timezone.now())) is None


def test_who_is_foretold_to_be_next_is_who_is_claimed(projects: list[Project]) -> None:
    """The play and the claim's own query agree, worker after worker, until nobody finds anything."""
    kinds = [("cpu", 0), ("cpu", 8), ("cuda", 64)]  # by name, as the play has them
    workers = [rows.worker(f"{device} {memory}") for device, memory in kinds]
    for worker, (device, memory) in zip(workers, kinds, strict=True):
        worker.device, worker.device_memory_bytes = f"{device}:0" if device == "cuda" else device, memory
        worker.save()
    moment = timezone.now()
    for number in range(12):
        waits(
            projects[number % 3], number // 5, device=("", "cuda", "", "cpu")[number % 4],
            memory_bytes=(0, 16, 4)[number % 3],
        )  # fmt: skip
    Cycle.objects.filter(number__lte=2).update(queued_at=moment - timedelta(hours=2))
    blocked = Cycle.objects.filter(project=projects[1]).order_by("queued_at", "number")[1]
    cycle_block(cycle_id=blocked.pk, code="cycle.no_room", message="No room.")
    taken = []
    while foretold := {key for key, start in outlook().expected.items() if start.high <= POLL}:
        found = {cycle.pk for worker in workers if (cycle := claim(worker=worker))}
        assert found == foretold
        taken += sorted(found)
        Cycle.objects.filter(pk__in=found).update(worker=None, state="cancelling")
        Cycle.objects.filter(pk__in=found).update(state="cancelled")
    assert len(taken) > 6
    assert Cycle.objects.filter(project=projects[1], state="queued").count() == 2, "behind the blocked one"


def test_it_asks_the_database_as_often_for_many(
    projects: list[Project], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for amount in (1, 40):
        for number in range(amount):
            waits(projects[number % 3], number)
            rows.worker(f"{amount} {number}")
        with django_assert_num_queries(7):
            outlook()
