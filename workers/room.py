"""Whether this worker's disk has room for a cycle, asked before its trainer is started."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from webapp.core.store import RESERVE_BYTES
from webapp.cycles.blocking import disk_sentence
from webapp.cycles.room import work_still_needs

if TYPE_CHECKING:
    from pathlib import Path

    from webapp.cycles.models import Cycle


class NoRoomHere(Exception):
    """The worker's disk cannot hold the cycle's work folder."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def room_for(cycle: Cycle, folder: Path) -> None:
    """Raise unless the disk of `folder`, the attempt's own, has what the cycle was foretold to need.

    What earlier attempts of it left there counts as given already. A cycle of unknown needs may try.

    Raises:
        NoRoomHere: `cycle.disk_full`, with need and free.
        OSError: the folder cannot be looked at.
    """
    if not cycle.disk_bytes:
        return
    need = work_still_needs(cycle.pk, cycle.disk_bytes)
    free = shutil.disk_usage(folder).free - RESERVE_BYTES
    if free < need:
        raise NoRoomHere("cycle.disk_full", disk_sentence(need, free, "worker"))
