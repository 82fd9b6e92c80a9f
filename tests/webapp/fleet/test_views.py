"""The fleet page: who works, who waits for what, and nothing of other people's work."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries  # noqa: TC002  (a fixture's type)

from tests.support.rows_free import free_states
from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.cycles.models import Cycle
from webapp.cycles.selectors import queue_position
from webapp.cycles.steering import cycle_cancel
from webapp.fleet.models import Worker
from webapp.fleet.page import QUEUE_SHOWN, fleet_of
from webapp.projects.models import Project

if TYPE_CHECKING:
    from django.conf import LazySettings

    from webapp.accounts.models import User, Workspace


def look(user: User, query: str = "") -> str:
    answer = logged_in(user).get(reverse("fleet") + query)
    assert answer.status_code == 200
    return answer.content.decode()


def changed(name: str, **fields: object) -> Worker:
    """A worker that was just heard of, with something about it."""
    worker = rows.worker(name)
    Worker.objects.filter(pk=worker.pk).update(**fields)
    worker.refresh_from_db()
    return worker


def queued(project: Project, **fields: object) -> Cycle:
    return rows.cycle(project, "sleep", "queued", queued_at=timezone.now(), **fields)


@pytest.fixture
def foreign(charlie: User) -> Project:
    return rows.project_of(charlie.memberships.get().workspace, "secret-project")


def test_without_a_worker_it_gives_the_command_for_here_and_elsewhere(alice: User) -> None:
    page = look(alice)
    assert "No worker. Start one:" in page
    assert 'data-copy="worker-command"' in page
    for word in ("nocturne worker", "DATABASE_URL", "CELERY_BROKER_URL", "NOCTURNE_STORE", "NOCTURNE_CYCLES"):
        assert word in page
    assert "Nothing waits." in page


def test_it_says_that_an_embedded_database_is_out_of_reach(alice: User, settings: LazySettings) -> None:
    settings.EMBEDDED_DATABASE = True
    assert "other machines cannot reach it" in look(alice)
    settings.EMBEDDED_DATABASE = False
    assert "other machines cannot reach it" not in look(alice)


def test_the_secrets_of_the_address_are_never_shown(alice: User, settings: LazySettings) -> None:
    settings.DATABASE_URL = "postgresql://nocturne:hush@db.example/nocturne"
    assert "hush" not in look(alice)


def test_each_standing_has_its_badge(alice: User, project: Project) -> None:
    rows.worker("free")
    rows.cycle(project, "sleep", "running", worker=rows.worker("busy"))
    rows.worker("silent", silent=timedelta(minutes=2))
    changed("gone", stopped_at=timezone.now())
    changed("drains", draining_at=timezone.now())
    changed("broken", problem_code="store.not_mounted", problem="The store is not there.")
    changed("old", protocol=0)
    page = look(alice)
    expected = {"alive": 1, "busy": 1, "late": 1, "stopped": 1, "draining": 1, "problem": 2}
    assert {badge: page.count(f"badge--{badge}") for badge in expected} == expected
    assert "The store is not there." in page
    assert "store.not_mounted" in page
    assert "It speaks another protocol (0; this site speaks 1): it takes nothing until it is updated." in page
    assert "5 alive · 2 take cycles" in page


def test_a_late_worker_says_since_when_and_what_becomes_of_its_cycle(
    alice: User, project: Project, settings: LazySettings
) -> None:
    settings.CYCLE_LEASE_SECONDS, settings.CLOCK_TICK_SECONDS = 40, 12
    silent = rows.worker("silent", silent=timedelta(minutes=2))
    assert "It holds no cycle, so nothing is lost." in look(alice)
    rows.cycle(project, "sleep", "running", worker=silent)
    page = look(alice)
    assert "Silent since" in page
    assert silent.heartbeat_at.isoformat() in page
    assert "given to another worker when its lease runs out: at most 40 s + 12 s" in page


def test_a_drained_worker_says_what_that_means_also_after_a_restart(alice: User, project: Project) -> None:
    drained = changed("drains", draining_at=timezone.now())
    assert "runs nothing: it can be stopped. Started again, it still drains." in look(alice)
    assert "No worker takes cycles now" in look(alice)
    rows.cycle(project, "sleep", "running", worker=drained)
    assert "what it runs goes on to its end. Started again, it still drains." in look(alice)
    Worker.objects.update(stopped_at=timezone.now())
    assert "when it is started again it still takes nothing" in look(alice)


def test_what_a_worker_runs_is_told_to_its_workspace_only(
    alice: User, charlie: User, project: Project
) -> None:
    facts = {"progress": 0.5, "stage": "NREM replay", "attempt": 1}
    started = timezone.now() - timedelta(minutes=6)
    rows.cycle(project, "sleep", "running", worker=rows.worker("gpu-2"), started_at=started, **facts)
    mine, theirs = look(alice), look(charlie)
    assert "NREM replay · 50.0 % · about 6 min left" in mine
    assert "support-bot" in mine
    assert "gpu-2" in theirs
    assert "Busy for another workspace" in theirs
    assert "support-bot" not in theirs


def test_the_queue_names_only_ones_own_and_counts_all(
    alice: User, charlie: User, bob: User, project: Project, foreign: Project
) -> None:
    queued(foreign)
    first = queued(project, created_by=bob, device="cuda", memory_bytes=24 * 10**9)
    queued(foreign)
    second = queued(project, schedule=rows.schedule(project, "Every night"))
    seen = fleet_of(alice)
    assert [(row.cycle, row.position) for row in seen.queue] == [(first, 2), (second, 4)]
    page = look(alice)
    assert "4 cycles in line" in page
    assert "by bob@example.org" in page
    assert "by the schedule Every night" in page
    assert "24.0 GB" in page
    assert "secret-project" not in page
    assert "support-bot" not in look(charlie)


def test_a_place_is_the_same_here_and_on_the_cycles_own_page(alice: User, project: Project) -> None:
    cycles = [queued(project) for _ in range(5)]
    Cycle.objects.filter(pk__in=[c.pk for c in cycles[1:4]]).update(queued_at=cycles[1].queued_at)
    for row in fleet_of(alice).queue:
        row.cycle.refresh_from_db()
        assert row.position == queue_position(row.cycle)
    assert [row.cycle.number for row in fleet_of(alice).queue] == [c.number for c in cycles], (
        "of one moment too"
    )


def test_when_one_is_cancelled_the_others_move_up(alice: User, project: Project, foreign: Project) -> None:
    queued(foreign)
    first, second = queued(project), queued(project)
    assert {row.cycle.pk: row.position for row in fleet_of(alice).queue} == {first.pk: 2, second.pk: 3}
    cycle_cancel(actor=alice, cycle=first)
    assert {row.cycle.pk: row.position for row in fleet_of(alice).queue} == {second.pk: 2}


def test_a_blocked_one_is_not_in_the_line_and_says_why(alice: User, project: Project) -> None:
    queued(project)
    words = "The store has 1 GB free and this cycle needs 3."
    blocked = rows.cycle(
        project, "sleep", "blocked", queued_at=timezone.now(), error_code="storage.short", error_message=words
    )
    last = fleet_of(alice).queue[-1]
    assert (last.cycle, last.position, last.expected) == (blocked, None, None)
    assert (last.reason.code, last.reason.message, last.reason.stuck) == ("storage.short", words, True)
    assert words in look(alice)


def test_a_long_queue_has_pages(alice: User, project: Project) -> None:
    for _ in range(QUEUE_SHOWN + 1):
        queued(project)
    assert f"Sleep {QUEUE_SHOWN + 1}<" not in look(alice)
    assert f"Sleep {QUEUE_SHOWN + 1}<" in look(alice, "?page=2")
    for strange in ("?page=0", "?page=9999", "?page=x"):
        assert "waiting-" in look(alice, strange)


def test_two_hundred_workers_and_two_thousand_cycles_cost_the_same_queries(
    alice: User,
    workspace: Workspace,
    charlie: User,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client, counts, now = logged_in(alice), [], timezone.now()
    spaces = (workspace, charlie.memberships.get().workspace)
    for size, amount in ((3, 10), (197, 1990)):
        workers = Worker.objects.bulk_create(
            Worker(name=f"{size}-{n}", device="cpu", version="1", protocol=1, heartbeat_at=now)
            for n in range(size)
        )
        projects = Project.objects.bulk_create(
            Project(workspace=spaces[n % 2], name=f"{size}-{n}") for n in range(size)
        )
        with free_states():
            Cycle.objects.bulk_create(
                Cycle(
                    project=projects[n % size], number=1 + n // size, kind="sleep", state="queued",
                    protocol=1, queued_at=now,
                )
                for n in range(amount)
            )  # fmt: skip
            Cycle.objects.bulk_create(
                Cycle(
                    project=project, number=999, kind="sleep", state="running", protocol=1, worker=worker,
                    attempt=1, progress=0.5, started_at=now - timedelta(minutes=1), queued_at=now,
                )
                for project, worker in zip(projects[::2], workers[::2], strict=True)
            )  # fmt: skip
        with django_assert_max_num_queries(15) as queries:
            page = client.get(reverse("fleet")).content.decode()
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert "2,000 cycles in line" in page
    assert page.count('<tr id="worker-') == 200
    assert page.count('id="waiting-') == QUEUE_SHOWN
