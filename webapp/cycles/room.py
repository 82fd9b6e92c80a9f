"""Whether there is a device and a place for a cycle: asked before it is queued, and again by the tick."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

from webapp.core.errors import InvalidInput, cut
from webapp.core.places import place_for_new
from webapp.core.references import trash_frees
from webapp.core.store import NoRoom, disk_free, in_words, promised_to_cycles, room_left
from webapp.fleet.selectors import workers_alive

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from webapp.accounts.models import Workspace
    from webapp.cycles.needs import Needs
    from webapp.fleet.models import Worker

DEVICES: Final = ("cpu", "cuda", "mps")


def ensure_device(device: str) -> None:
    """Raises InvalidInput (`cycle.device_unknown`); "" is any device."""
    if device and device not in DEVICES:
        raise InvalidInput(
            "cycle.device_unknown",
            f"“{cut(device)}” is no kind of device. Choose one of {', '.join(DEVICES)}, or leave it open.",
            field="device",
        )


def ensure_fits(memory_bytes: int, device: str) -> None:
    """Refuse what no worker could hold. With no worker of the kind alive, one may still come.

    Raises:
        InvalidInput: `cycle.does_not_fit`, with both numbers.
    """
    kind = of_kind(workers_here(), device)
    if memory_bytes and kind and not any(holds(worker, memory_bytes) for worker in kind):
        largest = max(worker.device_memory_bytes for worker in kind)
        raise InvalidInput(
            "cycle.does_not_fit",
            f"{too_small(memory_bytes, largest)} Take a smaller batch or micro-batch, or start a worker with "
            "more memory.",
            memory_bytes=memory_bytes,
            largest=largest,
        )


def ensure_room(workspace: Workspace, needs: Needs) -> None:
    """Call under the workspace's row lock, or two cycles may both be promised the last place.

    Raises:
        NoRoom: `cycle.no_room` (413: the quota, 507: the disk), with both numbers.
    """
    if not needs.store_bytes:
        return
    left = room_left(workspace)
    if needs.store_bytes > left:
        raise quota_full(needs.store_bytes, left, workspace)
    need = needs.store_bytes + (needs.disk_bytes if works_on_the_stores_disk() else 0)
    free = store_free()
    if need > free:
        raise NoRoom("cycle.no_room", store_sentence(need, free), status=507, need=need, free=max(free, 0))


def store_free() -> int:
    """Bytes that the store's disk has free for one more cycle: less the reserve, and what uploads and other
    cycles were promised."""
    return disk_free() - promised_to_cycles()


def quota_full(need: int, left: int, workspace: Workspace) -> NoRoom:
    """The sentence for a quota that what a cycle publishes would not fit into."""
    frees = trash_frees(workspace.pk)
    way_out = f"Empty the trash (frees {in_words(frees)}), cancel" if frees else "Cancel"
    return NoRoom(
        "cycle.no_room",
        f"What this cycle publishes needs up to {in_words(need)}; the workspace has {in_words(max(left, 0))} "
        f"left of {in_words(workspace.quota_bytes)}, with what uploads and other cycles were promised. "
        f"{way_out} some of them, or ask an owner for more.",
        need=need,
        free=max(left, 0),
    )


def store_sentence(need: int, free: int) -> str:
    """For a store's disk on which there is no place for what a cycle needs."""
    return (
        f"This cycle needs {in_words(need)} on the server's disk, and {in_words(max(free, 0))} are free for "
        "it. Free some space on the server."
    )


def too_small(memory_bytes: int, largest: int) -> str:
    """The first half of the sentence for a device that is too small."""
    return f"This needs about {in_words(memory_bytes)} of memory; the largest worker has {in_words(largest)}."


def workers_here() -> list[Worker]:
    """The workers that are alive and speak the protocol of new cycles."""
    return list(workers_alive().filter(protocol=settings.CYCLE_PROTOCOL))


def of_kind(workers: Iterable[Worker], device: str) -> list[Worker]:
    """Those with a device of the kind; "" is any."""
    return [worker for worker in workers if device in {"", worker.device.partition(":")[0]}]


def holds(worker: Worker, memory_bytes: int) -> bool:
    """Whether its device has so much memory; one that does not tell how much may have it."""
    return worker.device_memory_bytes == 0 or memory_bytes <= worker.device_memory_bytes


# ------------------------------------------------------------ the work folders


def works_on_the_stores_disk() -> bool:
    """Whether cycles are worked on beside the store, as far as this machine sees."""
    work, store = Path(settings.CYCLES_DIR), place_for_new().root
    return work.is_dir() and store.is_dir() and work.stat().st_dev == store.stat().st_dev


def work_still_needs(cycle_id: UUID, disk_bytes: int) -> int:
    """Bytes by which a cycle's work folder on this machine may still grow; what is there already counts."""
    return max(disk_bytes - _held(Path(settings.CYCLES_DIR) / str(cycle_id)), 0)


def work_free() -> int | None:
    """Bytes free where cycles are worked on; None when no cycle was ever worked on on this machine."""
    folder = Path(settings.CYCLES_DIR)
    return shutil.disk_usage(folder).free if folder.is_dir() else None


def _held(folder: Path) -> int:
    """What the files of a folder take, those with several names once."""
    seen: dict[tuple[int, int], int] = {}
    for parent, _folders, files in os.walk(folder):
        for name in files:
            try:
                found = (Path(parent) / name).lstat()
            except OSError:
                continue  # it goes on working meanwhile
            seen[found.st_dev, found.st_ino] = found.st_size
    return sum(seen.values())
