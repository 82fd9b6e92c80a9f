"""How an attempt ended, and what that makes of the cycle: tried again, failed, or cancelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from webapp.cycles.choices import State
from webapp.cycles.claim import release
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import transition
from webapp.live.frames import LeaseLost
from workers.child import signal_name
from workers.job import BAD_INPUT, OK, STOPPED

# Classes of error of the trainer: whose fault decides who pays.
_CHARGED_RETRY: Final = "died"
_FREE_RETRY: Final = "infra"


@dataclass(frozen=True)
class Ending:
    """One attempt's end.

    Attributes:
        kind: "done", "cancelled", "stopping" (the worker shuts down), "failed", "died" (charged retry) or
            "infra" (free retry).
        code, message: of the error, for the person.
        final: the trainer's result when it is done.
    """

    kind: str
    code: str = ""
    message: str = ""
    final: dict[str, Any] | None = None


def read_ending(
    *, exit_code: int, final: dict[str, Any] | None, cancelling: bool, stopping: bool, stalled: bool
) -> Ending:
    """What the trainer's exit and its last word mean."""
    if final is not None and final["kind"] == "result" and exit_code == OK and not cancelling:
        return Ending("done", final=final)
    if cancelling:
        return Ending("cancelled")
    if final is not None and final["kind"] == "error":
        kind = "infra" if final.get("class") == "infra" else "failed"
        return Ending(kind, str(final.get("code")), str(final.get("message")))
    if stopping:
        return Ending("stopping")
    if stalled:
        return Ending(
            "died",
            "cycle.stalled",
            "The worker's process stood still for a quarter of an hour and was ended. If this goes on, "
            "look at the worker's log.",
        )
    if exit_code < 0:
        name = signal_name(exit_code)
        why = " The system does that when memory runs out." if name == "SIGKILL" else ""
        return Ending(
            "died", "cycle.trainer_died", f"The process that worked on the model was ended by {name}.{why}"
        )
    if exit_code in {BAD_INPUT, STOPPED}:
        return Ending(
            "died", "cycle.trainer_died", "The process that worked on the model stopped without a word."
        )
    return Ending(
        "died",
        "cycle.trainer_died",
        f"The process that worked on the model ended early with exit code {exit_code}. "
        "The worker's log says more.",
    )


def settle(cycle: Cycle, epoch: int, ending: Ending) -> Cycle:
    """Write the end of an attempt that did not publish.

    Raises:
        LeaseLost: it is somebody else's to write.
        StateChanged: a person cancelled at the last moment; settle it as cancelled.
    """
    if ending.kind == "cancelled":
        return transition(
            cycle.pk, to=State.CANCELLED, expect_from=(State.CANCELLING,), epoch=epoch, reason="cancelled"
        )
    if ending.kind == "stopping":
        return release(cycle_id=cycle.pk, epoch=epoch, reason="worker_stopping", free=True)
    if ending.kind in {_CHARGED_RETRY, _FREE_RETRY}:
        return retry_or_fail(
            cycle.pk,
            epoch=epoch,
            code=ending.code,
            message=ending.message,
            free=ending.kind == _FREE_RETRY,
        )
    return fail(cycle, epoch=epoch, code=ending.code, message=ending.message)


def retry_or_fail(cycle_id: Any, *, epoch: int | None, code: str, message: str, free: bool) -> Cycle:
    """Back into the queue while attempts are left, else failed with the sentence."""
    now = Cycle.objects.filter(pk=cycle_id).values_list("attempt", "max_attempts").first()
    if now is None:
        raise LeaseLost
    attempt, most = now
    if attempt < most:
        return release(cycle_id=cycle_id, epoch=epoch, reason=code, free=free)
    return fail_by_id(cycle_id, epoch=epoch, code=code, message=f"{message} It was tried {attempt} times.")


def fail(cycle: Cycle, *, epoch: int | None, code: str, message: str) -> Cycle:
    """active -> failed."""
    return fail_by_id(cycle.pk, epoch=epoch, code=code, message=message)


def fail_by_id(cycle_id: Any, *, epoch: int | None, code: str, message: str) -> Cycle:
    """active -> failed, with the code and the sentence that the page shows."""
    return transition(
        cycle_id,
        to=State.FAILED,
        expect_from=(State.STARTING, State.RUNNING, State.PAUSING, State.PUBLISHING),
        epoch=epoch,
        fence=epoch is None,
        reason=code,
        error_code=code,
        error_message=message,
    )
