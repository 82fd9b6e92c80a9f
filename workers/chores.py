"""What the chores worker does besides: each is idempotent, and one that fails does not stop the others."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from django.db import connection
from django.db.models import Count

from webapp.core.broker import embedded_broker
from webapp.core.doorbell import ring_night
from webapp.core.store_collect import store_collect
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.cycles.recheck import cycles_recheck
from webapp.cycles.revoking import cycles_revoke
from webapp.fleet.selectors import workers_alive
from webapp.fleet.services import workers_forget
from webapp.live.compaction import frames_compact
from webapp.memories.retention import record_sets_expire
from webapp.schedules.services import schedules_fire_due, schedules_forget
from webapp.schedules.windows import windows_close
from webapp.storage.services import trash_purge
from webapp.uploads.services import upload_sweep
from workers.erasing import records_purge
from workers.leftovers import cycle_folders_collect
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
    """Ring when cycles wait: the ring of their own start may have been lost. How many wait.

    One ring for each kind of device that is wanted and that some worker has: where nobody hears, rings would
    only pile up in the broker, and whoever starts later looks for work first.
    """
    wanted = dict(
        Cycle.objects.filter(state=State.QUEUED).values_list("device").annotate(n=Count("pk")).order_by()
    )
    taking = workers_alive().filter(draining_at__isnull=True)
    kinds = {name.partition(":")[0] for name in taking.values_list("device", flat=True)} if wanted else set()
    for device in wanted:
        if device in kinds or (kinds and not device):
            ring_night(device)
    return sum(wanted.values())


CHORES: Final[dict[str, Callable[[], int]]] = {
    "reap": reap,
    "windows_close": windows_close,
    "schedules_fire_due": schedules_fire_due,
    "schedules_forget": schedules_forget,
    "cycles_recheck": cycles_recheck,
    "cycles_revoke": cycles_revoke,
    "ring_for_waiting": ring_for_waiting,
    "upload_sweep": upload_sweep,
    "broker_sweep": broker_sweep,
    "workers_forget": workers_forget,
    "scratch_sweep": scratch_sweep,
    "trash_purge": trash_purge,
    "record_sets_expire": record_sets_expire,
    "records_purge": records_purge,
    "store_collect": store_collect,
    "cycle_folders_collect": cycle_folders_collect,
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
