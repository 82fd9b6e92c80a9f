"""Why nothing takes a waiting cycle, though it is its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from webapp.core.store import in_words
from webapp.cycles.choices import State
from webapp.fleet.selectors import workers_alive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webapp.cycles.models import Cycle
    from webapp.fleet.models import Worker


def device_kind(worker: Worker) -> str:
    """ "cuda" of a worker on "cuda:0"; as the claim compares it."""
    return worker.device.partition(":")[0]


def waiting_reason(cycle: Cycle, workers: Iterable[Worker] | None = None) -> dict[str, str] | None:
    """Why no live worker can take the cycle: {"code", "message"}; None when one can, or it does not wait.

    Args:
        workers: those alive, when they are at hand; else one query.

    The tests are those of `claim`, in the order in which a person would look for the cause.
    """
    if cycle.state != State.QUEUED:
        return None
    left = list(workers_alive() if workers is None else workers)
    if not left:
        words = _("No worker is alive, so nothing takes cycles. Start one, and this one begins by itself.")
        return _reason("no_worker", words)
    left = [worker for worker in left if worker.protocol == cycle.protocol]
    if not left:
        return _reason(
            "no_version",
            _(
                "The workers that are alive are of another version, so they leave this cycle alone. Update "
                "them, or start one of this version."
            ),
        )
    others = sorted({device_kind(worker) for worker in left})
    left = [worker for worker in left if cycle.device in {"", device_kind(worker)}]
    if not left:
        words = _(
            "This cycle asks for %(wanted)s, and the workers that are alive have %(there)s. Start one with "
            "%(wanted)s, or cancel this cycle and start it for any device."
        )
        return _reason("no_device", words % {"wanted": cycle.device, "there": ", ".join(others)})
    most = max(worker.device_memory_bytes for worker in left)
    left = [w for w in left if not w.device_memory_bytes or w.device_memory_bytes >= cycle.memory_bytes]
    if not left:
        words = _(
            "This cycle needs about %(need)s on the device, and the largest that is alive has %(most)s. "
            "Start a worker on a larger one, or cancel this cycle and choose a smaller batch."
        )
        sizes = {"need": in_words(cycle.memory_bytes), "most": in_words(most)}
        return _reason("no_memory", words % sizes)
    ready = [worker for worker in left if worker.draining_at is None]
    if not ready:
        return _reason(
            "draining",
            _(
                "Every worker that could take it is being drained and takes nothing new. Start another, or "
                "let one of them work again on the fleet page."
            ),
        )
    if all(worker.problem_code for worker in ready):
        words = _("The worker %(name)s could take it, but it has a problem: %(problem)s")
        return _reason("worker_problem", words % {"name": ready[0].name, "problem": ready[0].problem})
    return None


def _reason(word: str, message: str) -> dict[str, str]:
    return {"code": f"cycle.{word}", "message": message}
