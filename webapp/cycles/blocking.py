"""Putting a cycle aside that cannot run for want of room or of a device, with the sentence that says so.

A blocked cycle holds nothing but its snapshot: neither its attempt nor the room that was promised to it.
`recheck.cycles_recheck` queues it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction

from webapp.core.store import in_words
from webapp.cycles.choices import State
from webapp.cycles.claim import release
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import StateChanged, transition

if TYPE_CHECKING:
    from uuid import UUID

_HELD: Final = frozenset({State.STARTING, State.RUNNING, State.PUBLISHING})


@transaction.atomic
def cycle_block(*, cycle_id: UUID, code: str, message: str, epoch: int | None = None) -> Cycle:
    """Put a cycle aside until what it lacks is there; what a snapshot holds of its work stays.

    A held one is released first (its attempt is given back, its epoch is over), in the same transaction.

    Args:
        code: which lack, a stable code; `cycles_recheck` knows when it is over.
        message: the sentence that the page shows meanwhile.
        epoch: the holder's; None for the tick.

    Raises:
        LeaseLost: it is somebody else's to write.
        StateChanged: a person cancelled or paused it, or it has ended.
    """
    state = Cycle.objects.select_for_update().filter(pk=cycle_id).values_list("state", flat=True).first()
    if state is None:
        raise StateChanged("")
    if state in _HELD:
        release(cycle_id=cycle_id, epoch=epoch, reason=code, refund=True)
    return transition(
        cycle_id,
        to=State.BLOCKED,
        expect_from=(State.QUEUED,),
        reason=code,
        error_code=code,
        error_message=message,
    )


def disk_sentence(need_bytes: int, free_bytes: int, where: str) -> str:
    """The sentence for a full disk, with both numbers.

    Args:
        need_bytes: what the cycle needs there, the reserve not counted; 0 when it is not known.
        free_bytes: what is free for it.
        where: "worker" (the work folder) or "store" (the results).
    """
    disk, what = {
        "worker": ("worker's", "this cycle needs {need} for its work"),
        "store": ("store's", "the result of this cycle needs {need}"),
    }[where]
    if need_bytes and free_bytes >= need_bytes:
        return (
            f"The {disk} disk refused to take more, although {in_words(free_bytes)} are free there by now: "
            "it was full for a moment, or that folder has a limit of its own. Nothing is lost; it is tried "
            "again by itself."
        )
    needs = what.format(need=in_words(need_bytes) if need_bytes else "more")
    return (
        f"The {disk} disk has no room: {needs}, and {in_words(max(free_bytes, 0))} are free for it. "
        "Nothing is lost; free some space there, and it goes on by itself."
    )
