"""How an attempt ended, and what that makes of the cycle: tried again, paused, blocked, failed or cancelled.

The class of error decides who pays: *user* is not tried again; *resource* (no memory) once more with half as
many records at a time; *room* (a full disk) waits until there is some; *infra* (a lost worker, a bad disk) is
free, up to a cap; a *bug* and a *death* cost an attempt, and three of them in one place are *poison*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from webapp.cycles.blocking import cycle_block
from webapp.cycles.choices import State
from webapp.cycles.claim import release
from webapp.cycles.inputs import REVOKED, revoked_sentence
from webapp.cycles.models import Cycle, Snapshot
from webapp.cycles.transitions import transition
from webapp.live.frames import LeaseLost
from workers.child import signal_name
from workers.job import BAD_INPUT, OK, STOPPED

POISON_DEATHS: Final = 3
# Classes as the trainer tells them, and the kinds of ending that they are.
_KIND_OF: Final = {"infra": "infra", "resource": "resource", "room": "room", "bug": "died"}


@dataclass(frozen=True)
class Ending:
    """One attempt's end.

    Attributes:
        kind: "done", "cancelled", "paused", "stopping" (the worker shuts down), "extended" (it goes on at
            once with a longer plan), "failed" (user), "died" (a bug or a death: charged), "infra" (free),
            "resource" (no memory) or "room" (a full disk).
        code, message: of the error, for the person.
        final: the trainer's result when it is done.
    """

    kind: str
    code: str = ""
    message: str = ""
    final: dict[str, Any] | None = None


@dataclass(frozen=True)
class Wishes:
    """Why the supervisor asked its trainer to stop, if it did; `revoked` counts the sets that it has read and
    of which records were erased since."""

    cancelling: bool = False
    revoked: int = 0
    pausing: bool = False
    stopping: bool = False
    extending: bool = False


def read_ending(
    *, exit_code: int, final: dict[str, Any] | None, wishes: Wishes, stuck: str = "", stage: str = ""
) -> Ending:
    """What the trainer's exit and its last word mean.

    Args:
        stuck: why the supervisor ended it by force: "" (it did not), "silent" or "frozen".
        stage: where it was, for the sentence.
    """
    if final is not None and final["kind"] == "result" and exit_code == OK and not wishes.cancelling:
        return Ending("done", final=final)
    if wishes.cancelling:
        return Ending("cancelled")
    if wishes.revoked:
        return Ending("failed", REVOKED, revoked_sentence(wishes.revoked))
    if final is not None and final["kind"] == "error":
        kind = _KIND_OF.get(str(final.get("class")), "failed")
        return Ending(kind, str(final.get("code")), str(final.get("message")))
    if wishes.stopping:
        return Ending("stopping")
    if wishes.pausing:
        return Ending("paused")
    if wishes.extending and exit_code == STOPPED:
        return Ending("extended")
    if wishes.extending:  # it did not stop in time: it goes on from an older snapshot, under another epoch
        return Ending("infra", "cycle.extended", "It was ended to be extended.")
    where = f" in {stage}" if stage else ""
    if stuck:
        what = "was frozen from outside" if stuck == "frozen" else "said nothing for too long"
        return Ending(
            "died",
            f"cycle.{stuck}",
            f"The process that worked on the model {what}{where} and was ended. If this goes on, look at the "
            "worker's log.",
        )
    if exit_code < 0:
        name = signal_name(exit_code)
        why = {
            "SIGKILL": " The system does that when memory runs out, or a person did.",
            "SIGSEGV": " That is a fault in a library or the hardware, not in your model or data.",
        }.get(name, "")
        return Ending(
            "died",
            "cycle.trainer_died",
            f"The process that worked on the model was ended by {name}{where}.{why}",
        )
    if exit_code in {BAD_INPUT, STOPPED}:
        return Ending(
            "died", "cycle.trainer_died", "The process that worked on the model stopped without a word."
        )
    return Ending(
        "died",
        "cycle.trainer_died",
        f"The process that worked on the model ended early with exit code {exit_code}{where}. "
        "The worker's log says more.",
    )


def settle(cycle: Cycle, epoch: int, ending: Ending) -> Cycle:
    """Write the end of an attempt that did not publish.

    Raises:
        LeaseLost: it is somebody else's to write.
        StateChanged: a person cancelled or paused at the last moment; settle it as that.
    """
    if ending.kind == "cancelled":
        return transition(
            cycle.pk, to=State.CANCELLED, expect_from=(State.CANCELLING,), epoch=epoch, reason="cancelled"
        )
    if ending.kind == "paused":
        return pause_held(cycle.pk, epoch=epoch, reason="snapshot")
    if ending.kind == "stopping":
        return release(cycle_id=cycle.pk, epoch=epoch, reason="worker_stopping", refund=True)
    if ending.kind == "room":
        return cycle_block(cycle_id=cycle.pk, code=ending.code, message=ending.message, epoch=epoch)
    if ending.kind == "infra":
        return retry_or_fail(cycle.pk, epoch=epoch, code=ending.code, message=ending.message, free=True)
    if ending.kind == "resource":
        return _smaller_or_fail(cycle.pk, epoch, ending)
    if ending.kind == "died":
        return _died(cycle.pk, epoch, ending)
    return fail_by_id(cycle.pk, epoch=epoch, code=ending.code, message=ending.message)


def pause_held(cycle_id: Any, *, epoch: int | None, reason: str) -> Cycle:
    """pausing -> paused; the attempt is given back."""
    now = Cycle.objects.filter(pk=cycle_id).values_list("attempt", flat=True).first()
    return transition(
        cycle_id,
        to=State.PAUSED,
        expect_from=(State.PAUSING,),
        epoch=epoch,
        fence=True,
        reason=reason,
        worker=None,
        attempt=max(0, (now or 0) - 1),
    )


def _smaller_or_fail(cycle_id: Any, epoch: int, ending: Ending) -> Cycle:
    """Once more with half as many records at a time and the same batch; the second time it is the end."""
    cycle = _current(cycle_id)
    at_once = int(cycle.recipe.get("micro_batch") or cycle.recipe.get("batch") or 0)
    if cycle.adapted.get("micro_batch") or at_once < 2:
        return fail_by_id(cycle_id, epoch=epoch, code=ending.code, message=ending.message)
    smaller = at_once // 2
    return release(
        cycle_id=cycle_id,
        epoch=epoch,
        reason="out_of_memory",
        free=True,
        adapted={**cycle.adapted, "micro_batch": smaller},
    )


def _died(cycle_id: Any, epoch: int, ending: Ending) -> Cycle:
    """A charged attempt. Three deaths without a new snapshot in between, and nobody tries again by itself."""
    cycle = _current(cycle_id)
    reached = Snapshot.objects.filter(cycle_id=cycle_id).order_by("-id").values_list("id", flat=True).first()
    place = int(reached or 0)
    deaths = cycle.deaths + 1 if cycle.deaths and cycle.died_at == place else 1
    counted: dict[str, Any] = {"deaths": deaths, "died_at": place}
    if deaths >= POISON_DEATHS:
        return transition(
            cycle_id,
            to=State.QUARANTINED,
            expect_from=_HELD,
            epoch=epoch,
            reason=ending.code,
            error_code=ending.code,
            error_message=f"{ending.message} It happened {deaths} times in one place, so it is not tried "
            "again by itself. Look at the worker's log; when the cause is gone, try it again.",
            **counted,
        )
    return retry_or_fail(
        cycle_id, epoch=epoch, code=ending.code, message=ending.message, free=False, **counted
    )


def retry_or_fail(
    cycle_id: Any, *, epoch: int | None, code: str, message: str, free: bool, **fields: Any
) -> Cycle:
    """Back into the queue while attempts are left, else failed with the sentence."""
    cycle = _current(cycle_id)
    if cycle.attempt < cycle.max_attempts:
        return release(cycle_id=cycle_id, epoch=epoch, reason=code, free=free, **fields)
    return fail_by_id(
        cycle_id, epoch=epoch, code=code, message=f"{message} It was tried {cycle.attempt} times."
    )


_HELD: Final = (State.STARTING, State.RUNNING, State.PAUSING, State.PUBLISHING)


def fail_by_id(cycle_id: Any, *, epoch: int | None, code: str, message: str) -> Cycle:
    """active -> failed, with the code and the sentence that the page shows."""
    return transition(
        cycle_id,
        to=State.FAILED,
        expect_from=_HELD,
        epoch=epoch,
        fence=epoch is None,
        reason=code,
        error_code=code,
        error_message=message,
    )


def _current(cycle_id: Any) -> Cycle:
    cycle = Cycle.objects.filter(pk=cycle_id).first()
    if cycle is None:
        raise LeaseLost
    return cycle
