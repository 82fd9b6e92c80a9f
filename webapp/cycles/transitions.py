"""The one way in which a cycle changes its state: conditional, recorded, audited, streamed, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from webapp.core.errors import Conflict
from webapp.cycles.choices import ACTIVE, TERMINAL, TRANSITIONS, State
from webapp.cycles.models import Cycle
from webapp.live.frames import CHANNEL, STATE, LeaseLost

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from webapp.accounts.models import User


_RECORD: Final = """
    WITH told AS (
        UPDATE cycles_cycle SET seq = seq + 1 WHERE id = %(cycle)s
        RETURNING id, project_id, seq, epoch, started_at
    ), step AS (
        INSERT INTO cycles_transition (cycle_id, at, from_state, to_state, epoch, actor_id, reason)
        SELECT id, statement_timestamp(), %(old)s, %(new)s, epoch, %(actor)s, %(reason)s FROM told
    ), entry AS (
        INSERT INTO core_auditentry (workspace_id, at, actor_id, verb, object_type, object_id, detail)
        SELECT p.workspace_id, statement_timestamp(), %(actor)s, %(verb)s, 'cycle', told.id, %(detail)s::jsonb
        FROM told JOIN projects_project p ON p.id = told.project_id
    ), frame AS (
        INSERT INTO live_frame (cycle_id, seq, epoch, t_ms, kind, payload, telling, committed_at)
        SELECT id, seq, epoch,
               coalesce(extract(epoch FROM clock_timestamp() - started_at) * 1000, 0)::bigint,
               %(kind)s, %(payload)s::jsonb, true, clock_timestamp()
        FROM told
    )
    SELECT seq, pg_notify(%(channel)s, id::text) FROM told
"""


# What the audit log calls a step that nobody asked for: a worker or the clock took it.
OWN_STEPS: Final = tuple(f"cycle_{state}" for state in State.values)


class StateChanged(Conflict):
    """The cycle is not (or no longer) in a state from which this step is possible."""

    def __init__(self, state: str) -> None:
        label = State(state).label.lower() if state else "gone"
        super().__init__(
            "cycle.state_changed",
            f"The cycle is {label} by now, so this is no longer possible. Reload the page to see it now.",
            state=state,
        )
        self.state = state


def allowed(old: str, new: str) -> bool:
    """Whether the table lets a cycle go from `old` ("" when it is new) to `new`."""
    return new in TRANSITIONS.get(old, frozenset())


@transaction.atomic
def transition(
    cycle_id: UUID,
    *,
    to: str,
    expect_from: Iterable[str],
    epoch: int | None = None,
    fence: bool = False,
    actor: User | None = None,
    verb: str = "",
    reason: str = "",
    **fields: Any,
) -> Cycle:
    """Move a cycle on, with its Transition row, its state frame and its audit entry.

    Args:
        cycle_id: which cycle.
        to: the new state.
        expect_from: the states in which this step may find it; each must lead to `to` by the table.
        epoch: the holder's epoch; None for people, the clock and the reaper.
        fence: count the epoch on, so that whatever the old holder still writes touches nothing.
        actor: the person behind it, None for the system.
        verb: of the audit entry, the service's own name; "cycle_" and the new state when nobody asked for it.
        reason: why, as a sentence or a stable word.
        **fields: other columns of the row to set in the same statement.

    Returns:
        The cycle as it is afterwards.

    Raises:
        ValueError: the table knows no such step.
        LeaseLost: the epoch is over.
        StateChanged: it is in another state; `.state` says which.
    """
    expected = [str(state) for state in expect_from]
    for old in expected:
        if not allowed(old, to):
            raise ValueError(f"a cycle never goes from {old} to {to}")
    found = Cycle.objects.select_for_update().filter(pk=cycle_id).values_list("state", "epoch").first()
    if found is None:
        raise StateChanged("")
    old, current_epoch = found
    if epoch is not None and epoch != current_epoch:
        raise LeaseLost
    if old not in expected:
        raise StateChanged(old)
    if to not in ACTIVE:
        fields.setdefault("lease_expires_at", None)
    if to in TERMINAL:
        fields.setdefault("finished_at", Now())
    if to in {State.STARTING, State.RUNNING}:
        fields.setdefault("started_at", Coalesce("started_at", Now()))
    if fence:
        fields["epoch"] = F("epoch") + 1
    Cycle.objects.filter(pk=cycle_id, state=old, epoch=current_epoch).update(state=to, **fields)
    return transition_record(cycle_id, old=old, actor=actor, verb=verb, reason=reason)


def transition_record(
    cycle_id: UUID, *, old: str, actor: User | None = None, verb: str = "", reason: str = ""
) -> Cycle:
    """Write down, in the caller's transaction, that the cycle just went from `old` to what its row says."""
    cycle = Cycle.objects.select_related("project__workspace", "worker").get(pk=cycle_id)
    step_record(cycle, old=old, actor=actor, verb=verb, reason=reason)
    return cycle


def step_record(
    cycle: Cycle, *, old: str, actor: User | None = None, verb: str = "", reason: str = ""
) -> None:
    """The same of a row that is at hand as it is by now; its `seq` is counted on.

    One statement writes all three, as `audit.record` and `frame_write` would: sixteen workers claim at once.
    """
    step = {
        "from": old,
        "to": cycle.state,
        "reason": reason,
        "step": cycle.step,
        "attempt": cycle.attempt,
        "epoch": cycle.epoch,
        "worker": cycle.worker.name if cycle.worker else None,
    }
    detail = {"kind": cycle.kind, "number": cycle.number, "state": cycle.state}
    detail |= ({"before": old} if old else {}) | ({"reason": reason} if reason else {})
    values: dict[str, Any] = {
        "cycle": cycle.pk, "old": old, "new": cycle.state, "actor": actor.pk if actor else None,
        "reason": reason, "verb": verb or f"cycle_{cycle.state}", "detail": json.dumps(detail),
        "kind": STATE, "payload": json.dumps({"state": step}), "channel": CHANNEL,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_RECORD, values)
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost
    cycle.seq = int(row[0])
