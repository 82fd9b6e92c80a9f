"""What becomes of cycles whose worker is gone, and of trainers whose supervisor is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from webapp.core.faults import fault
from webapp.core.oplog import note
from webapp.cycles.choices import ACTIVE, TERMINAL, State
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import StateChanged, transition
from workers.child import PROCESS_FILE, kill_recorded
from workers.outcome import pause_held, retry_or_fail
from workers.scratch import clear

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)


def reap() -> int:
    """Take every cycle whose lease has run out, by the database's clock, from its silent holder.

    Back into the queue with the attempt given back, to go on from its snapshot; failed when it was lost too
    often; cancelled or paused when that was the wish. Any number of reapers may run. Returns how many there
    were.
    """
    late = Cycle.objects.filter(state__in=ACTIVE, lease_expires_at__lt=Now())
    return sum(_reap_one(pk) for pk in late.values_list("pk", flat=True))


def _reap_one(cycle_id: UUID) -> bool:
    with transaction.atomic():
        cycle = (
            Cycle.objects.select_for_update(skip_locked=True)
            .filter(pk=cycle_id, state__in=ACTIVE, lease_expires_at__lt=Now())
            .first()
        )
        if cycle is None:
            return False
        logger.warning("cycle %s: the lease of epoch %d ran out", cycle.pk, cycle.epoch)
        try:
            ended = _take(cycle)
            fault("reap.before_commit")
        except StateChanged:
            return False
    note("reaped", cycle=ended.pk, epoch=ended.epoch, state=ended.state)
    fault("reap.after_commit")
    if ended.state in TERMINAL:
        clear(ended.pk)
    return True


def _take(cycle: Cycle) -> Cycle:
    if cycle.state == State.CANCELLING:
        return transition(
            cycle.pk, to=State.CANCELLED, expect_from=(State.CANCELLING,), fence=True, reason="worker_lost"
        )
    if cycle.state == State.PAUSING:
        return pause_held(cycle.pk, epoch=None, reason="worker_lost")
    return retry_or_fail(
        cycle.pk,
        epoch=None,
        code="cycle.worker_lost",
        message="The worker that ran this cycle disappeared. Look at the fleet page and at the worker's log.",
        free=True,
    )


def orphans_kill() -> int:
    """End trainers on this machine whose supervisor is dead; the number of those."""
    return sum(kill_recorded(record) for record in _records())


def trainers_kill(supervisor: int) -> int:
    """End the trainers of a supervisor on this machine that has lost its device, dead or frozen."""
    return sum(kill_recorded(record, of=supervisor) for record in _records())


def _records() -> list[Path]:
    return list(Path(settings.CYCLES_DIR).glob(f"*/e*/{PROCESS_FILE}"))
