"""The tick's look at waiting cycles: those that cannot run are blocked, those whose reason is gone go on.

It does not flap: a disk must have the reserve on top before a cycle goes on, a kind of device is missed only
after `PATIENCE`, and what is blocked by a disk again and again is let go on ever more rarely.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Now

from webapp.accounts.models import Workspace
from webapp.core.doorbell import ring_night
from webapp.core.store import RESERVE_BYTES, disk_free, room_left
from webapp.cycles import room
from webapp.cycles.choices import ACTIVE, UNFINISHED, State
from webapp.cycles.models import Cycle, Transition
from webapp.cycles.transitions import StateChanged, transition
from webapp.fleet.models import Worker
from webapp.uploads.models import Upload, UploadState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

# A worker that was there so lately is being started again, not gone.
PATIENCE: Final = timedelta(minutes=2)
# So many changes of one kind a tick; the next tick goes on.
AT_ONCE: Final = 200
_NO_ROOM, _NO_DEVICE = "cycle.no_room", "cycle.no_device"
_FIRST_WAIT, _LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)


def cycles_recheck() -> int:
    """Block what cannot run now, let go on what can. Any number of ticks may do so at once.

    Returns:
        How many cycles changed their state.
    """
    alive = room.workers_here()
    return _let_go(alive) + _block_without_device(alive) + _block_over_quota() + _block_without_disk()


# ------------------------------------------------------------ going on


def _let_go(alive: list[Worker]) -> int:
    # What runs was promised its place; what waits may be waiting for the very cycle that is looked at.
    running = Cycle.objects.filter(state__in=ACTIVE).aggregate(total=Sum("store_bytes"))["total"] or 0
    free = disk_free() - int(running)
    gone: dict[str, Callable[[Cycle], str]] = {
        _NO_ROOM: lambda cycle: _disk_again(cycle, free),
        "store.disk_full": lambda cycle: _patiently(cycle, _disk_again(cycle, free)),
        "cycle.disk_full": lambda cycle: _patiently(cycle, _work_disk_again(cycle)),
        _NO_DEVICE: lambda cycle: _device_again(cycle, alive),
    }
    blocked = Cycle.objects.filter(state=State.BLOCKED, error_code__in=gone)
    done = 0
    for cycle in blocked.select_related("project").order_by("queued_at", "number").iterator():
        reason = gone[cycle.error_code](cycle)
        if reason and _queue_again(cycle, reason):
            done += 1
            free -= _store_need(cycle)
        if done >= AT_ONCE:
            break
    return done


def _queue_again(cycle: Cycle, reason: str) -> bool:
    """blocked -> queued, and its room is promised to it again, unless the quota has none."""
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update(no_key=True).get(pk=cycle.project.workspace_id)
        # Those behind it on its project wait for it; the newest of them give way when it is too much.
        later = Q(queued_at__gt=cycle.queued_at) | Q(queued_at=cycle.queued_at, number__gt=cycle.number)
        behind = Cycle.objects.filter(later, project=cycle.project_id, state=State.QUEUED)
        left = room_left(workspace) + int(behind.aggregate(total=Sum("store_bytes"))["total"] or 0)
        if cycle.store_bytes > left:
            if cycle.error_code != _NO_ROOM:  # the one reason is gone, there is another
                told = room.quota_full(cycle.store_bytes, left, workspace)
                same = Cycle.objects.filter(pk=cycle.pk, state=State.BLOCKED)
                same.update(error_code=told.code, error_message=told.message)
            return False
        try:
            transition(
                cycle.pk,
                to=State.QUEUED,
                expect_from=(State.BLOCKED,),
                reason=reason,
                error_code="",
                error_message="",
            )
        except StateChanged:
            return False
        ring_night()
    return True


def _disk_again(cycle: Cycle, free: int) -> str:
    if free < cycle.store_bytes + RESERVE_BYTES:
        return ""  # without a walk through its folder
    return "disk_free" if free >= _store_need(cycle) + RESERVE_BYTES else ""


def _work_disk_again(cycle: Cycle) -> str:
    """As far as this machine sees; a worker elsewhere looks at its own disk before it begins."""
    free = room.work_free()
    need = room.work_still_needs(cycle.pk, cycle.disk_bytes) + 2 * RESERVE_BYTES
    return "disk_free" if free is None or free >= need else ""


def _device_again(cycle: Cycle, alive: list[Worker]) -> str:
    able = any(room.holds(worker, cycle.memory_bytes) for worker in room.of_kind(alive, cycle.device))
    return "device_back" if able else ""


def _patiently(cycle: Cycle, reason: str) -> str:
    """The first time at once, then after a minute, two, four ... : a disk of which we see too little, or a
    need that was foretold too small, must not send a cycle round in circles."""
    if not reason:
        return ""
    past = Transition.objects.filter(cycle=cycle, to_state=State.BLOCKED)
    times = past.aggregate(n=Count("id"))["n"]
    if times < 2:
        return reason
    wait = min(_FIRST_WAIT * 2 ** min(times - 2, 10), _LONGEST_WAIT)
    return reason if not past.filter(at__gt=Now() - wait).exists() else ""


# ------------------------------------------------------------ standing still


def _block_without_device(alive: list[Worker]) -> int:
    """Workers are alive, but none could hold it. With none alive at all it simply waits."""
    if not alive:
        return 0
    lately = list(Worker.objects.filter(heartbeat_at__gt=Now() - PATIENCE, protocol=settings.CYCLE_PROTOCOL))
    kinds = {worker.device.partition(":")[0] for worker in lately}
    unfit = ~Q(device__in=["", *kinds])
    for device in ["", *kinds]:
        most = [worker.device_memory_bytes for worker in room.of_kind(lately, device)]
        if all(most):
            unfit |= Q(device=device, memory_bytes__gt=max(most))
    waiting = Cycle.objects.filter(unfit, state=State.QUEUED, protocol=settings.CYCLE_PROTOCOL)
    return _block(
        (cycle, _NO_DEVICE, _device_sentence(cycle, lately))
        for cycle in waiting.order_by("queued_at", "number")[:AT_ONCE]
    )


def _device_sentence(cycle: Cycle, lately: list[Worker]) -> str:
    kind = room.of_kind(lately, cycle.device)
    if not kind:
        there = ", ".join(sorted({worker.device.partition(":")[0] for worker in lately}))
        return (
            f"This cycle asks for a worker with {cycle.device}, and those that are alive have {there}. Start "
            f"one with {cycle.device}, and it goes on by itself."
        )
    largest = max(worker.device_memory_bytes for worker in kind)
    return (
        f"{room.too_small(cycle.memory_bytes, largest)} Start a larger one, and it goes on by itself; or "
        "cancel this cycle and take a smaller batch."
    )


def _block_over_quota() -> int:
    """More was promised than there is: the quota was lowered, or cycles came back from a pause."""
    return sum(_block_in(pk) for pk in _over_quota())


def _over_quota() -> list[UUID]:
    queued = Cycle.objects.filter(state=State.QUEUED, store_bytes__gt=0)
    asked = Workspace.objects.filter(pk__in=queued.values("project__workspace"))
    stored = asked.annotate(held=Sum("stored_files__size_bytes")).values_list("pk", "quota_bytes", "held")
    quota = {pk: limit - (held or 0) for pk, limit, held in stored}
    promised = (
        Cycle.objects.filter(project__workspace__in=quota)
        .filter(state__in=UNFINISHED - {State.BLOCKED, State.PAUSED})
        .values_list("project__workspace")
        .annotate(total=Sum("store_bytes"))
    )
    uploads = (
        Upload.objects.filter(
            project__workspace__in=quota, state__in=(UploadState.RECEIVING, UploadState.VERIFYING)
        )
        .values_list("project__workspace")
        .annotate(total=Sum("size_bytes"))
    )
    for rows in (promised, uploads):
        for pk, total in rows:
            quota[pk] -= total
    return [pk for pk, left in quota.items() if left < 0]


def _block_in(workspace_id: UUID) -> int:
    """The newest that wait give way, until what is left was promised once only."""
    done = 0
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update(no_key=True).get(pk=workspace_id)
        left = room_left(workspace)
        waiting = Cycle.objects.filter(
            project__workspace=workspace, state=State.QUEUED, store_bytes__gt=0
        ).order_by("-queued_at", "-number")
        for cycle in waiting[:AT_ONCE]:
            if left >= 0:
                break
            told = room.quota_full(cycle.store_bytes, left + cycle.store_bytes, workspace)
            if _block([(cycle, told.code, told.message)]):
                left += cycle.store_bytes
                done += 1
    return done


def _block_without_disk() -> int:
    """The store's disk could not even take this one."""
    free = disk_free()
    need = F("store_bytes") + (F("disk_bytes") if room.works_on_the_stores_disk() else 0)
    large = Cycle.objects.filter(state=State.QUEUED, store_bytes__gt=0).annotate(need=need)
    found = large.filter(need__gt=free).order_by("-need")[:AT_ONCE]
    return _block(
        (cycle, _NO_ROOM, room.store_sentence(_store_need(cycle), free))
        for cycle in found
        if _store_need(cycle) > free
    )


def _store_need(cycle: Cycle) -> int:
    """Bytes on the store's disk: the result, and where they share a disk what its work still takes."""
    work = room.work_still_needs(cycle.pk, cycle.disk_bytes) if room.works_on_the_stores_disk() else 0
    return cycle.store_bytes + work


def _block(found: Iterable[tuple[Cycle, str, str]]) -> int:
    """queued -> blocked, if it still waits: one that a worker has just taken is that worker's business."""
    done = 0
    for cycle, code, message in found:
        try:
            transition(
                cycle.pk,
                to=State.BLOCKED,
                expect_from=(State.QUEUED,),
                reason=code,
                error_code=code,
                error_message=message,
            )
        except StateChanged:
            continue
        done += 1
    return done
