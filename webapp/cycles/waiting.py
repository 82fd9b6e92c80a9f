"""Why nothing takes a waiting cycle, though it is its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.utils.translation import gettext as _

from webapp.core.store import in_words
from webapp.cycles.choices import Kind, State
from webapp.cycles.models import Cycle
from webapp.fleet.selectors import workers_alive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webapp.fleet.models import Worker

Rows = TypeVar("Rows", bound=QuerySet[Any])

# Of the same turns and before it, as `claim` orders them.
_BEFORE: Final = Q(queued_at__lt=OuterRef("queued_at")) | Q(
    queued_at=OuterRef("queued_at"), number__lt=OuterRef("number")
)


def device_kind(worker: Worker) -> str:
    """ "cuda" of a worker on "cuda:0"; as the claim compares it."""
    return worker.device.partition(":")[0]


def with_blocker(rows: Rows) -> Rows:
    """The same rows with `blocker`, the blocked cycle that keeps their project's turn, in the same query."""
    before = Cycle.objects.filter(
        _BEFORE, state=State.BLOCKED, project=OuterRef("project"), protocol=OuterRef("protocol")
    )
    names = before.order_by("queued_at", "number").values(name=JSONObject(kind="kind", number="number"))
    found: Rows = rows.annotate(blocker=Subquery(names[:1]))
    return found


def behind_blocked(title: str) -> dict[str, str]:
    """What a cycle is told whose turn a blocked one keeps."""
    words = _(
        "%(title)s of this project comes first, and it is blocked. This one begins after it, or once that "
        "one is paused or cancelled."
    )
    return _reason("project_blocked", words % {"title": title})


def waiting_reason(cycle: Cycle, workers: Iterable[Worker] | None = None) -> dict[str, str] | None:
    """Why no live worker can take the cycle: {"code", "message"}; None when one can, or it does not wait.

    That a blocked cycle is before it is known of rows that `with_blocker` read.

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
    if blocker := getattr(cycle, "blocker", None):
        return behind_blocked(f"{Kind(blocker['kind']).label} {blocker['number']}")
    return None


def _reason(word: str, message: str) -> dict[str, str]:
    return {"code": f"cycle.{word}", "message": message}
