"""When a waiting cycle may begin: the queue of now, played ahead over the workers of now, fast and slow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import connection

from webapp.cycles.choices import ACTIVE, Kind, State
from webapp.cycles.models import Cycle
from webapp.fleet.durations import UNKNOWN, Durations, Length, durations_of, time_left
from webapp.fleet.models import Worker
from webapp.fleet.selectors import ALIVE, takes_cycles
from webapp.fleet.simulation import Asks, Hand, Job, simulate

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

# Further back in the line nothing is foretold: it would be a guess on guesses, and pages must stay quick.
DEPTH: Final = 2000
_NOTHING: Final = Length(0.0, 0.0, 0.0)
_NOW: Final = "SELECT now(), count(*) FROM cycles_cycle WHERE state = 'queued' AND queued_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Entry:
    """A waiting or held cycle, of whatever workspace: no more of it than the play needs."""

    id: UUID
    project: UUID
    number: int
    kind: str
    state: str
    attempt: int
    progress: float
    device: str
    memory_bytes: int
    protocol: int
    queued_at: datetime | None
    started_at: datetime | None
    lease_expires_at: datetime | None
    worker: UUID | None

    @property
    def title(self) -> str:
        return f"{Kind(self.kind).label} {self.number}"

    @property
    def asks(self) -> Asks:
        return Asks(self.device, self.memory_bytes, self.protocol)

    @property
    def place(self) -> tuple[float, int, UUID]:
        """The order in which cycles are taken."""
        return (self.queued_at.timestamp() if self.queued_at else inf, self.number, self.id)


_COLUMNS: Final = (
    "id", "project_id", "number", "kind", "state", "attempt", "progress", "device", "memory_bytes",
    "protocol", "queued_at", "started_at", "lease_expires_at", "worker_id",
)  # fmt: skip
# A project's cycles of one protocol: within it, they are taken in order.
Turns = tuple["UUID", int]


@dataclass(frozen=True, slots=True)
class Expected:
    """A start that lies between two moments."""

    now: datetime
    low: float
    high: float

    @property
    def earliest(self) -> datetime:
        return self.now + timedelta(seconds=self.low)

    @property
    def latest(self) -> datetime:
        return self.now + timedelta(seconds=self.high)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The fleet and its queue at one moment, and what is to be expected of them.

    `workers` are all that have a row, `held` the cycles that workers hold, `waiting` counts the line, `queue`
    is the first DEPTH of it, in order; `blocked` is the oldest blocked cycle of each project and protocol:
    nothing behind it begins before it does. `left` says of a held cycle how much longer it runs, `expected`
    of a waiting one when it begins; what is not in them is not known.
    """

    now: datetime
    workers: list[Worker]
    held: list[Entry]
    waiting: int
    queue: list[Entry]
    blocked: dict[Turns, Entry]
    left: dict[UUID, Length]
    expected: dict[Hashable, Expected]

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers if is_alive(worker, self.now)]


def is_alive(worker: Worker, now: datetime) -> bool:
    """As `workers_alive`, of a row that was read already."""
    return worker.stopped_at is None and worker.heartbeat_at > now - ALIVE


def hand_of(worker: Worker) -> Hand:
    return Hand(worker.device.partition(":")[0], worker.device_memory_bytes, worker.protocol)


def outlook() -> Outlook:
    """Look ahead. Seven queries, however many workers and cycles there are."""
    with connection.cursor() as cursor:
        cursor.execute(_NOW)
        now, waiting = cursor.fetchone()
    workers = list(Worker.objects.all())
    held = [Entry(*row) for row in Cycle.objects.filter(state__in=ACTIVE).values_list(*_COLUMNS)]
    line = Cycle.objects.filter(state=State.QUEUED, queued_at__isnull=False)
    first = line.order_by("queued_at", "number", "id").values_list(*_COLUMNS)[:DEPTH]
    queue = [Entry(*row) for row in first]
    blocked = _oldest_blocked()
    durations = durations_of((entry.project, entry.kind) for entry in (*held, *queue))
    left = {entry.id: length for entry in held if (length := _left(entry, now, durations)) is not None}
    expected = _expect(now, workers, held, queue, blocked, left, durations)
    return Outlook(now, workers, held, waiting, queue, blocked, left, expected)


def expected_start(cycle: Cycle) -> Expected | None:
    """When a waiting cycle begins, within which bounds; None: it does not wait, or nobody can say.

    Seven queries. `expected_words` writes it.
    """
    return outlook().expected.get(cycle.pk) if cycle.state == State.QUEUED else None


def _oldest_blocked() -> dict[Turns, Entry]:
    turns = ("project_id", "protocol")
    rows = Cycle.objects.filter(state=State.BLOCKED, queued_at__isnull=False)
    oldest = rows.order_by(*turns, "queued_at", "number").distinct(*turns).values_list(*_COLUMNS)
    return {(entry.project, entry.protocol): entry for entry in (Entry(*row) for row in oldest)}


def _left(entry: Entry, now: datetime, durations: Durations) -> Length | None:
    elapsed = (now - entry.started_at).total_seconds() if entry.started_at else 0.0
    return time_left(
        state=entry.state,
        attempt=entry.attempt,
        progress=entry.progress,
        elapsed=elapsed,
        whole=durations.of(entry.project, entry.kind),
    )


def _expect(
    now: datetime,
    workers: Sequence[Worker],
    held: Sequence[Entry],
    queue: Sequence[Entry],
    blocked: Mapping[Turns, Entry],
    left: Mapping[UUID, Length],
    durations: Durations,
) -> dict[Hashable, Expected]:
    alive = {worker.pk for worker in workers if is_alive(worker, now)}
    lost = [entry for entry in held if entry.worker not in alive]
    kept = [entry for entry in held if entry.worker in alive]
    free: dict[UUID | None, Length] = {entry.worker: left.get(entry.id, UNKNOWN) for entry in kept}
    takers = [
        (hand_of(worker), free.get(worker.pk, _NOTHING))
        for worker in workers
        if worker.pk in alive and takes_cycles(worker)
    ]
    busy = {entry.project: left.get(entry.id, UNKNOWN) for entry in kept}
    busy |= {entry.project: _given_up(entry, now) for entry in lost}
    again = [entry for entry in lost if entry.state not in {State.CANCELLING, State.PAUSING}]
    jobs = [
        (entry, left.get(entry.id) or durations.of(entry.project, entry.kind) or UNKNOWN)
        for entry in sorted((*again, *queue), key=lambda entry: entry.place)
        if not _behind(blocked.get((entry.project, entry.protocol)), entry)
    ]

    def play(end: str) -> Mapping[Hashable, float]:
        starts = simulate(
            [(hand, getattr(free_at, end)) for hand, free_at in takers],
            [Job(entry.id, entry.project, entry.asks, getattr(lasts, end)) for entry, lasts in jobs],
            {project: getattr(until, end) for project, until in busy.items()},
        )
        return {key: start.at for key, start in starts.items()}

    return _between(now, play("low"), play("high"), (entry.id for entry in queue))


def _behind(blocked: Entry | None, entry: Entry) -> bool:
    """Whether the blocked cycle of the same turns keeps this one waiting, for nobody knows how long."""
    return blocked is not None and blocked.place < entry.place


def _given_up(entry: Entry, now: datetime) -> Length:
    """When the cycle of a lost worker is back in the queue: its lease is over, and the clock has looked."""
    lease = max(0.0, (entry.lease_expires_at - now).total_seconds()) if entry.lease_expires_at else 0.0
    return Length(lease, lease, lease + settings.CLOCK_TICK_SECONDS)


def _between(
    now: datetime, fast: Mapping[Hashable, float], slow: Mapping[Hashable, float], keys: Iterable[Hashable]
) -> dict[Hashable, Expected]:
    """Shorter cycles can make another one wait for longer, so neither play is the early one for all. A worker
    that hears no bell looks by itself after CLAIM_POLL_SECONDS."""
    return {
        key: Expected(now, min(fast[key], slow[key]), max(fast[key], slow[key]) + settings.CLAIM_POLL_SECONDS)
        for key in keys
        if key in fast and key in slow
    }
