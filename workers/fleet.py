"""The fleet on a terminal: `nocturne workers` and `nocturne drain`, for whoever has the site's database."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import django
from django.db import OperationalError
from rich import box
from rich.console import Console
from rich.table import Table

from consolidation.errors import NocturneInputError

if TYPE_CHECKING:
    from webapp.fleet.models import Worker
    from webapp.fleet.page import Fleet, WorkerRow

WIDE: Final = 200


def fleet_json() -> dict[str, Any]:
    """What `GET /api/fleet` answers, of every workspace's cycles.

    Raises:
        NocturneInputError: `database.down`.
    """
    fleet = _look()
    from webapp.fleet.page import fleet_json as to_json

    return to_json(fleet)


def fleet_table() -> None:
    """Print who works on what, and how many wait. What is no terminal gets lines as long as they are.

    Raises:
        NocturneInputError: `database.down`.
    """
    # What people called their projects is text, not markup.
    width = None if sys.stdout.isatty() else WIDE
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    fleet = _look()
    if not fleet.workers:
        console.print("No worker. Start one: nocturne worker")
    else:
        table = Table(box=box.SIMPLE, pad_edge=False, header_style="bold")
        for name in ("worker", "state", "device", "memory", "now", "heartbeat", "version"):
            table.add_column(name, overflow="fold", no_wrap=name in {"state", "memory", "heartbeat"})
        for row in fleet.workers:
            table.add_row(*_cells(row, fleet))
        console.print(table)
        for row in fleet.workers:
            if row.worker.problem_code and not row.gone:
                words = f"{row.worker.name}: {row.worker.problem} [{row.worker.problem_code}]"
                console.print(words, markup=False)
    count = fleet.waiting
    console.print(f"{count} {'cycle waits' if count == 1 else 'cycles wait'}.")


def drain(name: str, *, undo: bool) -> dict[str, Any]:
    """Let the worker of this name take nothing new, or take cycles again.

    Raises:
        NocturneInputError: `worker.missing`, with the names that there are; `database.down`.
    """
    django.setup()
    from webapp.fleet.models import Worker
    from webapp.fleet.services import worker_drain, worker_undrain

    try:
        worker = Worker.objects.filter(name=name).first()
        if worker is None:
            raise _no_such(name, [known.name for known in Worker.objects.all()[:20]])
        worker = (worker_undrain if undo else worker_drain)(actor=None, worker=worker)
    except OperationalError as error:
        raise _database_down() from error
    return {"name": worker.name, "draining": worker.draining_at is not None, "runs": _runs(worker)}


def _look() -> Fleet:
    django.setup()
    from webapp.cycles.models import Cycle
    from webapp.fleet.page import fleet_seen

    try:
        return fleet_seen(Cycle.objects.all())
    except OperationalError as error:
        raise _database_down() from error


def _cells(row: WorkerRow, fleet: Fleet) -> tuple[str, ...]:
    from webapp.core.templatetags.nocturne import ago_text, bytes_text, percent

    worker = row.worker
    runs = [f"{cycle} · {cycle.project.name} · {percent(cycle.progress)}" for cycle in row.running]
    if row.left_words:
        runs.append(row.left_words)
    state = row.label.lower()
    if worker.draining_at is not None and row.standing != "draining":
        state += ", drained"
    memory = bytes_text(worker.device_memory_bytes) if worker.device_memory_bytes else "-"
    beat = ago_text(worker.heartbeat_at, fleet.now)
    return worker.name, state, worker.device, memory, "\n".join(runs) or "-", beat, worker.version


def _runs(worker: Worker) -> str | None:
    from webapp.cycles.choices import ACTIVE
    from webapp.cycles.models import Cycle

    held = Cycle.objects.filter(worker=worker, state__in=ACTIVE).select_related("project").first()
    return f"{held} of {held.project.name}" if held else None


def _no_such(name: str, known: list[str]) -> NocturneInputError:
    there = f"There are: {', '.join(known)}." if known else "There is none."
    return NocturneInputError("worker.missing", f"There is no worker called {name[:80]!r}. {there}")


def _database_down() -> NocturneInputError:
    return NocturneInputError(
        "database.down",
        "The database does not answer. Start Nocturne on this machine (nocturne up), or name the database of "
        "the site with DATABASE_URL.",
    )
