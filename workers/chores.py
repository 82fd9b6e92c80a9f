"""What the chores worker does besides: each is idempotent, and one that fails does not stop the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from django.db import connection

from webapp.core.broker import embedded_broker
from webapp.core.doorbell import ring_night
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.fleet.services import workers_forget
from webapp.live.compaction import frames_compact
from webapp.schedules.services import schedules_fire_due, schedules_forget
from webapp.uploads.services import upload_sweep
from workers.reaper import reap
from workers.scratch import scratch_sweep

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


def broker_sweep() -> int:
    """Delete delivered messages: kombu's SQLAlchemy transport only marks them. How many there were."""
    if not embedded_broker():
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('kombu_message') IS NOT NULL")
        row = cursor.fetchone()
        if row is None or not row[0]:
            return 0
        cursor.execute("DELETE FROM kombu_message WHERE visible = false")
        return int(cursor.rowcount)


def ring_for_waiting() -> int:
    """Ring when cycles wait: the ring of their own start may have been lost. How many wait."""
    waiting = Cycle.objects.filter(state=State.QUEUED).count()
    if waiting:
        ring_night()
    return waiting


CHORES: Final[dict[str, Callable[[], int]]] = {
    "reap": reap,
    "schedules_fire_due": schedules_fire_due,
    "schedules_forget": schedules_forget,
    "ring_for_waiting": ring_for_waiting,
    "upload_sweep": upload_sweep,
    "broker_sweep": broker_sweep,
    "workers_forget": workers_forget,
    "scratch_sweep": scratch_sweep,
    "frames_compact": frames_compact,
}


def do_chores() -> dict[str, int]:
    """All chores in order; what each says it did, -1 for one that failed (its traceback is in the log)."""
    done = {}
    for name, chore in CHORES.items():
        try:
            done[name] = chore()
        except Exception:
            logger.exception("the chore %s failed; the next tick tries again", name)
            done[name] = -1
    return done
