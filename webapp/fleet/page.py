"""All that the fleet page, its API and `nocturne workers` show: who works on what, and who waits for what.

A selector like `selectors`, apart from it because only these need it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import Case, IntegerField, Value, When
from django.utils.translation import gettext as _

from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.fleet.forecast import is_alive, outlook
from webapp.fleet.waiting import Reasons
from webapp.fleet.words import expected_words, left_words

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from webapp.accounts.models import User
    from webapp.fleet.durations import Length
    from webapp.fleet.forecast import Entry, Expected, Outlook
    from webapp.fleet.models import Worker
    from webapp.fleet.waiting import Reason

QUEUE_SHOWN: Final = 50
# One statement whose snapshot holds everybody's place; a count for each row would be a query for each.
_PLACES = """
    SELECT q.id, q.place FROM (
        SELECT id, row_number() OVER (ORDER BY queued_at, number, id) AS place
        FROM cycles_cycle WHERE state = 'queued' AND queued_at IS NOT NULL) q
    WHERE q.id = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker, and what it runs as far as the person may see it.

    `standing` is busy, alive (and free), problem (takes nothing), draining, late or stopped; `running` are
    cycles of the person's workspaces, `foreign` whether it runs one of another's.
    """

    worker: Worker
    standing: str
    running: list[Cycle]
    foreign: bool
    left: Length | None

    @property
    def label(self) -> str:
        return {
            "alive": _("Free"),
            "busy": _("Busy"),
            "problem": _("Takes nothing"),
            "draining": _("Draining"),
            "late": _("Not heard of"),
            "stopped": _("Stopped"),
        }[self.standing]

    @property
    def speaks_another_protocol(self) -> bool:
        return self.worker.protocol != settings.CYCLE_PROTOCOL

    @property
    def gone(self) -> bool:
        """Nothing is heard of it now."""
        return self.standing in {"late", "stopped"}

    @property
    def left_words(self) -> str:
        return "" if self.gone else left_words(self.left)


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """A waiting cycle of the person's, its place among all that wait (None: it is not in the line)."""

    cycle: Cycle
    position: int | None
    reason: Reason
    expected: Expected | None

    @property
    def expected_words(self) -> str:
        return expected_words(self.expected)


@dataclass(frozen=True, slots=True)
class Fleet:
    """One look at the fleet. `waiting` counts everybody's line; `queue` is a page of the person's own."""

    now: datetime
    workers: list[WorkerRow]
    queue: list[WaitingRow]
    page: Page[Cycle]
    waiting: int

    @property
    def alive(self) -> int:
        return sum(not row.gone for row in self.workers)

    @property
    def taking(self) -> int:
        return sum(row.standing in {"alive", "busy"} for row in self.workers)


def fleet_of(user: User | AnonymousUser, *, page: int | str = 1) -> Fleet:
    """What a person sees of the fleet. Eleven queries, however many workers and cycles there are."""
    return fleet_seen(Cycle.objects.visible_to(user), page=page)


def fleet_seen(visible: QuerySet[Cycle], *, page: int | str = 1, shown: int = QUEUE_SHOWN) -> Fleet:
    """The fleet for somebody to whom these cycles are visible; all others are counted and never named."""
    ahead = outlook()
    mine = {
        cycle.pk: cycle
        for cycle in visible.filter(pk__in=[entry.id for entry in ahead.held]).select_related("project")
    }
    queued_first = Case(
        When(state=State.QUEUED, then=Value(0)), default=Value(1), output_field=IntegerField()
    )
    open_rows = (
        visible.filter(state__in=(State.QUEUED, State.BLOCKED), queued_at__isnull=False)
        .select_related("project", "created_by", "schedule")
        .order_by(queued_first, "queued_at", "number", "id")
    )
    found: Page[Cycle] = Paginator(open_rows, shown).get_page(page)
    cycles = list(found.object_list)
    places = _places([cycle.pk for cycle in cycles])
    reasons = Reasons(ahead)
    queue = [
        WaitingRow(cycle, places.get(cycle.pk), reasons.of(cycle), ahead.expected.get(cycle.pk))
        for cycle in cycles
    ]
    return Fleet(ahead.now, _worker_rows(ahead, mine), queue, found, ahead.waiting)


def _places(ids: list[UUID]) -> dict[UUID, int]:
    with connection.cursor() as cursor:
        cursor.execute(_PLACES, [ids])
        return dict(cursor.fetchall())


def _worker_rows(ahead: Outlook, mine: dict[UUID, Cycle]) -> list[WorkerRow]:
    """By name; those that said goodbye come last."""
    held: dict[UUID | None, list[Entry]] = defaultdict(list)
    for entry in ahead.held:
        held[entry.worker].append(entry)
    rows = []
    for worker in ahead.workers:
        entries = held[worker.pk]
        running = [mine[entry.id] for entry in entries if entry.id in mine]
        left = ahead.left.get(entries[0].id) if entries else None
        standing = _standing(worker, ahead.now, busy=bool(entries))
        rows.append(WorkerRow(worker, standing, running, len(running) < len(entries), left))
    return sorted(rows, key=lambda row: (row.standing == "stopped", row.worker.name))


def _standing(worker: Worker, now: datetime, *, busy: bool) -> str:
    if worker.stopped_at is not None:
        return "stopped"
    if not is_alive(worker, now):
        return "late"
    if worker.problem_code or worker.protocol != settings.CYCLE_PROTOCOL:
        return "problem"
    if worker.draining_at is not None:
        return "draining"
    return "busy" if busy else "alive"


def fleet_json(fleet: Fleet) -> dict[str, Any]:
    """The one JSON shape of the API and of `nocturne workers --json`."""
    return {
        "now": fleet.now.isoformat(),
        "protocol": settings.CYCLE_PROTOCOL,
        "workers": [_worker_json(row) for row in fleet.workers],
        "waiting": fleet.waiting,
        "queue": [_waiting_json(row) for row in fleet.queue],
        "page": fleet.page.number,
        "pages": fleet.page.paginator.num_pages,
    }


def _worker_json(row: WorkerRow) -> dict[str, Any]:
    worker = row.worker
    problem = {"code": worker.problem_code, "message": worker.problem} if worker.problem_code else None
    known = row.running and row.left is not None and not row.gone
    return {
        "id": str(worker.pk),
        "name": worker.name,
        "state": row.standing,
        "device": worker.device,
        "device_memory_bytes": worker.device_memory_bytes or None,
        "version": worker.version,
        "protocol": worker.protocol,
        "heartbeat_at": worker.heartbeat_at.isoformat(),
        "stopped_at": worker.stopped_at.isoformat() if worker.stopped_at else None,
        "draining_at": worker.draining_at.isoformat() if worker.draining_at else None,
        "problem": problem,
        "busy": bool(row.running) or row.foreign,
        "cycles": [
            {
                "id": str(cycle.pk),
                "title": str(cycle),
                "project": cycle.project.name,
                "state": cycle.state,
                "stage": cycle.stage,
                "progress": cycle.progress,
            }
            for cycle in row.running
        ],
        "seconds_left": round(row.left.likely) if known and row.left else None,
    }


def _waiting_json(row: WaitingRow) -> dict[str, Any]:
    cycle, expected = row.cycle, row.expected
    by = cycle.created_by
    return {
        "id": str(cycle.pk),
        "title": str(cycle),
        "project": cycle.project.name,
        "state": cycle.state,
        "position": row.position,
        "queued_at": cycle.queued_at.isoformat() if cycle.queued_at else None,
        "queued_by": (by.name or by.email) if by else None,
        "schedule": cycle.schedule.name if cycle.schedule else None,
        "device": cycle.device or None,
        "memory_bytes": cycle.memory_bytes or None,
        "reason": {"code": row.reason.code, "message": row.reason.message},
        "expected": {"earliest": expected.earliest.isoformat(), "latest": expected.latest.isoformat()}
        if expected
        else None,
    }
