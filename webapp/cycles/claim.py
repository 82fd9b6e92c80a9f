"""Taking a waiting cycle, and keeping it: a lease by the database's clock under an epoch that only grows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Greatest, Least, Now

from webapp.cycles.choices import ACTIVE, State
from webapp.cycles.inputs import sets_revoked
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import step_record, transition
from webapp.live.frames import LeaseLost

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.fleet.models import Worker

# Worker losses and deploys do not use up a cycle's attempts, but something that is lost this often is not
# bad luck any more.
FREE_ATTEMPTS = 10
CHARGED_ATTEMPTS = 5
_ONE_ACTIVE = "cycle_one_active"

# The oldest waiting cycle that this device can run, of a project whose turn it is. A cycle that another claim
# has locked is skipped, and so are those behind it on its project: they are not the oldest. One that is
# blocked keeps its turn: what was queued after it builds on it.
_NEXT = """
    SELECT c.id FROM cycles_cycle c
    WHERE c.state = 'queued' AND c.protocol = %(protocol)s
      AND c.device IN ('', %(device)s) AND (%(memory)s = 0 OR c.memory_bytes <= %(memory)s)
      AND c.project_id NOT IN (SELECT a.project_id FROM cycles_cycle a WHERE a.state = ANY(%(active)s))
      AND NOT EXISTS (
          SELECT 1 FROM cycles_cycle q WHERE q.project_id = c.project_id AND q.state IN ('queued', 'blocked')
          AND q.protocol = c.protocol AND (q.queued_at, q.number) < (c.queued_at, c.number))
    ORDER BY c.queued_at, c.number, c.id
    LIMIT 1 FOR UPDATE OF c SKIP LOCKED
"""
# In one statement: round trips are what a claim spends. A CTE that locks is run once, before the UPDATE.
_TAKE = f"""
    WITH next AS ({_NEXT})
    UPDATE cycles_cycle t SET
        state = 'starting', epoch = t.epoch + 1, attempt = t.attempt + 1, worker_id = %(worker)s,
        lease_expires_at = statement_timestamp() + %(lease)s, heartbeat_at = statement_timestamp(),
        started_at = coalesce(t.started_at, statement_timestamp())
    FROM next WHERE t.id = next.id
    RETURNING t.*
"""  # noqa: S608  (no value is pasted in)


@dataclass(frozen=True, slots=True)
class Renewal:
    """What the holder learns when it renews: its cycle's state, so that a wish to cancel or to pause reaches
    it, how much longer the cycle may go on, and how many of the sets that it has read lost records since."""

    state: str
    extended: float = 0.0
    revoked: int = 0

    @property
    def cancelling(self) -> bool:
        return self.state == State.CANCELLING

    @property
    def pausing(self) -> bool:
        return self.state == State.PAUSING


def lease() -> timedelta:
    """How long a claim holds without a renewal."""
    return timedelta(seconds=settings.CYCLE_LEASE_SECONDS)


def claim(*, worker: Worker) -> Cycle | None:
    """Take the next waiting cycle: queued -> starting, epoch + 1, attempt + 1; None when none waits.

    A worker of another protocol finds nothing, and neither does one whose device is too small.
    """
    while True:
        try:
            return _claim_one(worker)
        except IntegrityError as error:
            # The last guard: somebody began on the project between our look and our write.
            if _ONE_ACTIVE not in str(error):
                raise


@transaction.atomic
def _claim_one(worker: Worker) -> Cycle | None:
    asked: dict[str, Any] = {
        "protocol": worker.protocol,
        "device": worker.device.partition(":")[0],
        "memory": worker.device_memory_bytes,
        "active": sorted(ACTIVE),
        "worker": worker.pk,
        "lease": lease(),
    }
    for cycle in Cycle.objects.raw(_TAKE, asked):
        cycle.worker = worker
        step_record(cycle, old=State.QUEUED)
        return cycle
    return None


def renew(*, cycle_id: UUID, epoch: int) -> Renewal:
    """Hold on for another lease.

    Raises:
        LeaseLost: the epoch is over, or the cycle is not held any more.
    """
    held = Cycle.objects.filter(pk=cycle_id, epoch=epoch, state__in=ACTIVE)
    if not held.update(lease_expires_at=Now() + lease(), heartbeat_at=Now()):
        raise LeaseLost
    return look(cycle_id=cycle_id, epoch=epoch)


def look(*, cycle_id: UUID, epoch: int) -> Renewal:
    """How the held cycle stands, without renewing.

    Raises:
        LeaseLost: the epoch is over, or the cycle is not held any more.
    """
    held = Cycle.objects.filter(pk=cycle_id, epoch=epoch, state__in=ACTIVE)
    found = held.values_list("state", "extended", "read_sets").first()
    if found is None:
        raise LeaseLost
    state, extended, read = found
    return Renewal(state, extended, sets_revoked(read))


def release(
    *,
    cycle_id: UUID,
    epoch: int | None,
    reason: str,
    free: bool = False,
    refund: bool = False,
    **fields: Any,
) -> Cycle:
    """Put an interrupted cycle back into the queue, where it keeps its old place.

    Args:
        cycle_id: which cycle.
        epoch: the holder's; None for the reaper, which has the row locked.
        reason: a stable word for the record: worker_lost, worker_stopping, trainer_died ...
        free: the attempt is not the cycle's fault; it may have another, up to FREE_ATTEMPTS times.
        refund: the attempt was cut short on purpose (a deploy, a full disk) and does not count at all.
        **fields: other columns of the row to set with it.

    Raises:
        LeaseLost, StateChanged: it is not the caller's any more.
    """
    more: dict[str, Any] = {}
    if free:
        more["max_attempts"] = Least(F("max_attempts") + 1, CHARGED_ATTEMPTS + FREE_ATTEMPTS)
    if refund:
        more["attempt"] = Greatest(F("attempt") - 1, 0)
    return transition(
        cycle_id,
        to=State.QUEUED,
        expect_from=(State.STARTING, State.RUNNING, State.PUBLISHING),
        epoch=epoch,
        fence=True,
        reason=reason,
        worker=None,
        **more,
        **fields,
    )
