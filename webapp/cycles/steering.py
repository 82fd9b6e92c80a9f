"""What people and the clock do with a cycle that is there: cancel, pause, resume, extend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.doorbell import ring_night
from webapp.core.errors import Conflict, InvalidInput
from webapp.cycles.choices import Kind, State
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import StateChanged, transition
from webapp.live.frames import DATA, frame_write

if TYPE_CHECKING:
    from datetime import datetime

    from webapp.accounts.models import User

_CANCEL_AT_ONCE: Final = (State.SCHEDULED, State.QUEUED, State.BLOCKED, State.PAUSED)
_CANCEL_BY_HOLDER: Final = (State.STARTING, State.RUNNING, State.PAUSING)
_PAUSE_AT_ONCE: Final = (State.QUEUED, State.BLOCKED)
_PAUSE_BY_HOLDER: Final = (State.STARTING, State.RUNNING)
_EXTENDABLE: Final = frozenset(
    {State.QUEUED, State.BLOCKED, State.STARTING, State.RUNNING, State.PAUSING, State.PAUSED}
)
# Up to here a longer plan still reaches the steps that it makes longer (the engine's names of stages).
EXTENDABLE_STAGES: Final = frozenset({"wake probe", "merging", "NREM replay", "learning"})
EXTEND_LIMIT: Final = 4.0


def cycle_cancel(*, actor: User, cycle: Cycle) -> Cycle:
    """Cancel: at once while it waits, through its worker while it runs (seconds; 30 s at most).

    Asking again while it is being cancelled is fine. Exactly one of cancelling and publishing wins.

    Raises:
        NotFound, Forbidden: the person may not.
        Conflict: `cycle.publishing` or `cycle.ended`: it is too late.
    """
    require_role(actor, cycle.project.workspace, Role.EDITOR)
    while True:
        try:
            return transition(
                cycle.pk, to=State.CANCELLED, expect_from=_CANCEL_AT_ONCE, actor=actor, verb="cycle_cancel"
            )
        except StateChanged as error:
            if error.state == State.CANCELLING:
                return Cycle.objects.select_related("project__workspace", "worker").get(pk=cycle.pk)
            if error.state not in _CANCEL_BY_HOLDER:
                raise _too_late_to(error.state, "cancel") from None
        try:
            return transition(
                cycle.pk,
                to=State.CANCELLING,
                expect_from=_CANCEL_BY_HOLDER,
                actor=actor,
                verb="cycle_cancel",
                cancel_requested_at=Now(),
                cancel_requested_by=actor,
            )
        except StateChanged:
            # It moved between the two looks (a worker took it or gave it back): look again.
            continue


def cycle_pause(*, actor: User | None, cycle: Cycle, reason: str = "") -> Cycle:
    """Pause: at once while it waits, through its worker while it runs: a snapshot, and the device is free.

    Asking again while it pauses, or once it is paused, is fine. A cycle that is done first is published.

    Args:
        actor: the person, who needs the role editor; None for the clock.
        reason: why, for the record.

    Raises:
        NotFound, Forbidden: the person may not.
        Conflict: `cycle.publishing`, `cycle.ended` or `cycle.cancelling`: it is too late.
    """
    if actor is not None:
        require_role(actor, cycle.project.workspace, Role.EDITOR)
    by_hand: dict[str, Any] = {} if actor is None else {"pause_at": None}
    while True:
        try:
            return transition(
                cycle.pk,
                to=State.PAUSED,
                expect_from=_PAUSE_AT_ONCE,
                actor=actor,
                verb="cycle_pause",
                reason=reason,
                error_code="",
                error_message="",
                **by_hand,
            )
        except StateChanged as error:
            if error.state in {State.PAUSING, State.PAUSED}:
                return Cycle.objects.select_related("project__workspace", "worker").get(pk=cycle.pk)
            if error.state not in _PAUSE_BY_HOLDER:
                raise _too_late_to(error.state, "pause") from None
        try:
            return transition(
                cycle.pk,
                to=State.PAUSING,
                expect_from=_PAUSE_BY_HOLDER,
                actor=actor,
                verb="cycle_pause",
                reason=reason,
                **by_hand,
            )
        except StateChanged:
            continue  # a worker took it or gave it back between the two looks


def cycle_resume(
    *, actor: User | None, cycle: Cycle, reason: str = "", pause_at: datetime | None = None
) -> Cycle:
    """Let a paused cycle go on from its snapshot; it keeps its old place in the queue.

    Args:
        actor: the person, who needs the role editor; None for the clock.
        reason: why, for the record.
        pause_at: the end of its new window.

    Raises:
        NotFound, Forbidden: the person may not.
        Conflict: `cycle.not_paused`.
    """
    if actor is not None:
        require_role(actor, cycle.project.workspace, Role.EDITOR)
    try:
        with transaction.atomic():
            ring_night(cycle.device)
            return transition(
                cycle.pk,
                to=State.QUEUED,
                expect_from=(State.PAUSED,),
                actor=actor,
                verb="cycle_resume",
                reason=reason,
                pause_at=pause_at,
            )
    except StateChanged as error:
        words = (
            "The cycle is still pausing; resume it in a moment."
            if error.state == State.PAUSING
            else "The cycle is not paused, so there is nothing to resume."
        )
        raise Conflict("cycle.not_paused", words) from None


def extendable(cycle: Cycle) -> bool:
    """Whether a longer plan would still reach the steps that it makes longer."""
    if cycle.kind == Kind.SCORE or cycle.state not in _EXTENDABLE or cycle.extended >= EXTEND_LIMIT:
        return False
    return not cycle.stage or cycle.stage in EXTENDABLE_STAGES


@transaction.atomic
def cycle_extend(*, actor: User, cycle: Cycle, share: float = 0.5) -> Cycle:
    """Let a cycle that has not ended go on for longer: `share` of its planned steps on top.

    A running one writes a snapshot and goes on from it with the longer plan; nothing is lost or repeated.

    Raises:
        NotFound, Forbidden: the person may not.
        InvalidInput: `cycle.extend_range`: not between 0.1 and 2, or more than 4 times the plan in all;
            `cycle.extend_kind`: scoring has no length.
        Conflict: `cycle.extend_late`: what can be extended is over, or the cycle has ended.
    """
    require_role(actor, cycle.project.workspace, Role.EDITOR)
    if cycle.kind == Kind.SCORE:
        raise InvalidInput("cycle.extend_kind", "Scoring looks at every answer once; it cannot be extended.")
    locked = Cycle.objects.select_for_update().get(pk=cycle.pk)
    if isinstance(share, bool) or not 0.1 <= share <= 2 or locked.extended + share > EXTEND_LIMIT:
        raise InvalidInput(
            "cycle.extend_range",
            "A cycle can be extended by 10 % to 200 % of its planned steps at a time, and by "
            f"{EXTEND_LIMIT:.0%} in all; it has {locked.extended:.0%} already.",
        )
    if not extendable(locked):
        raise Conflict(
            "cycle.extend_late",
            "The part of this cycle that can be made longer is over. Start another on its result instead.",
        )
    Cycle.objects.filter(pk=cycle.pk).update(extended=F("extended") + share)
    audit.record(
        workspace=cycle.project.workspace, actor=actor, verb="cycle_extend", target=cycle, kind=cycle.kind,
        number=cycle.number, share=share,
    )  # fmt: skip
    message = f"Extended by {share:.0%} of the planned steps."
    event = {
        "kind": "log",
        "level": "info",
        "message": message,
        "step": locked.step,
        "progress": locked.progress,
        "extended": locked.extended + share,
    }
    frame_write(cycle_id=cycle.pk, epoch=None, kind=DATA, payload={"events": [event]})
    return Cycle.objects.select_related("project__workspace", "worker").get(pk=cycle.pk)


def _too_late_to(state: str, word: str) -> Conflict:
    if state == State.PUBLISHING:
        return Conflict(
            "cycle.publishing",
            f"The cycle has done its work and is publishing the result, so it is too late to {word}.",
        )
    if state == State.CANCELLING:
        return Conflict("cycle.cancelling", f"The cycle is being cancelled, so it is too late to {word}.")
    return Conflict("cycle.ended", f"The cycle has ended; there is nothing left to {word}.")
