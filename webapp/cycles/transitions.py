"""The one way in which a cycle changes its state: conditional, recorded, audited, streamed, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from webapp.core import audit
from webapp.core.errors import Conflict
from webapp.cycles.choices import ACTIVE, TERMINAL, TRANSITIONS, State
from webapp.cycles.models import Cycle, Transition
from webapp.live.frames import STATE, LeaseLost, frame_write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from webapp.accounts.models import User


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
    Transition.objects.create(
        cycle=cycle,
        at=Now(),
        from_state=old,
        to_state=cycle.state,
        epoch=cycle.epoch,
        actor=actor,
        reason=reason,
    )
    audit.record(
        workspace=cycle.project.workspace,
        actor=actor,
        verb=verb or f"cycle_{cycle.state}",
        target=cycle,
        kind=cycle.kind,
        number=cycle.number,
        state=cycle.state,
        **({"before": old} if old else {}),
        **({"reason": reason} if reason else {}),
    )
    step = {
        "from": old,
        "to": cycle.state,
        "reason": reason,
        "step": cycle.step,
        "attempt": cycle.attempt,
        "epoch": cycle.epoch,
        "worker": cycle.worker.name if cycle.worker else None,
    }
    cycle.seq = frame_write(cycle_id=cycle_id, epoch=None, kind=STATE, payload={"state": step})
    return cycle
