"""The trainer's events on their way into the database. Nothing here raises into the run it reports on."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now

from webapp.core.faults import fault
from webapp.core.oplog import note
from webapp.cycles.models import Snapshot
from webapp.live.frames import DATA, frame_write
from webapp.live.models import Frame
from webapp.live.rollups import RollupWriter
from workers.batches import Batcher, Flush
from workers.scratch import snapshot_keep

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from webapp.live.rollups import Part
    from workers.events_pipe import EventPipe
    from workers.metering import Reading

logger = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 0.5


class FrameStream:
    """Takes lines from the pipe and writes them as frames, one flush at a time.

    While the database is away the flush at hand waits and the pipe keeps the rest (memory, then disk).

    Args:
        cycle_id, epoch: whose frames, written under this number only.
        resumed: the attempt goes on from a snapshot, or begins anew what an earlier one had begun.
        work: the engine's folder, in which announced snapshots must lie.
    """

    def __init__(self, pipe: EventPipe, cycle_id: UUID, epoch: int, *, resumed: bool, work: Path) -> None:
        self._pipe = pipe
        self._cycle_id, self._epoch, self._work = cycle_id, epoch, work
        self._batcher = Batcher(resumed=resumed)
        self._rollups = RollupWriter()
        self._parts: list[Part] = []
        self._pending: Flush | None = None
        self._doubt = False
        self._retry_at = 0.0

    def go_on(self, pipe: EventPipe) -> None:
        """Take from the pipe of a trainer that was started anew under the same epoch, from where the last one
        stopped: its frames are numbered on, or a retry would take one for another, and so are its rollups."""
        self._pipe = pipe
        self._batcher.go_on()

    @property
    def drained(self) -> bool:
        """The trainer has closed the pipe and all that it said is stored."""
        return self._pending is None and self._batcher.empty and self._pipe.ended

    @property
    def stage(self) -> str:
        """Where the trainer is by its own words, "" before the first."""
        return self._batcher.stage

    def measure(self, reading: Reading) -> None:
        """A look at the device, for the next frame."""
        self._batcher.measure(reading, time.monotonic())

    def pump(self) -> None:
        """Store what is due.

        Raises:
            LeaseLost: the epoch is over.
        """
        while True:
            if self._pending is None:
                self._gather()
            if self._pending is None or not self._store(self._pending):
                return

    def _gather(self) -> None:
        """Take from the pipe only what a flush holds, so that the rest stays where it may go to disk."""
        while not self._batcher.full:
            events = self._pipe.take()
            if not events:
                break
            heard = time.monotonic()
            for event in events:
                self._batcher.add(event, heard)
        now = time.monotonic()
        if self._batcher.due(now) or (self._pipe.ended and not self._batcher.empty):
            self._pending = self._batcher.take(now)
            self._parts = self._rollups.add(self._pending.payload)

    def _store(self, flush: Flush) -> bool:
        """Whether the flush is stored (or can never be); False: the database is away, later."""
        if time.monotonic() < self._retry_at:
            return False
        try:
            if not (self._doubt and self._written(flush)):
                fault("frame.before_write")
                seq = self._write(flush)
                note("frame", cycle=self._cycle_id, epoch=self._epoch, seq=seq)
                fault("frame.after_commit")
        except (OperationalError, InterfaceError):
            logger.warning(
                "cycle %s: a frame could not be stored; it is kept and tried again", self._cycle_id
            )
            connection.close()
            self._doubt = True
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return False
        except (DatabaseError, ValueError):
            # The database is there and says no: it would say so for ever, and the night matters more.
            logger.exception("cycle %s: a frame that cannot be stored was dropped", self._cycle_id)
        self._doubt = False
        self._pending = None
        return True

    @transaction.atomic
    def _write(self, flush: Flush) -> int:
        seq = frame_write(
            cycle_id=self._cycle_id,
            epoch=self._epoch,
            kind=DATA,
            payload=flush.payload,
            progress=flush.progress,
        )
        self._rollups.wrote(flush.payload, seq)
        self._rollups.store(self._cycle_id, self._epoch, self._parts)
        for event in flush.snapshots:
            folder = self._kept(event)
            if folder is not None:
                fault("snapshot.before_row")
                Snapshot.objects.create(
                    cycle_id=self._cycle_id,
                    epoch=self._epoch,
                    step=int(event.get("step") or 0),
                    number=int(event.get("number") or 0),
                    stage=str(event.get("stage") or "")[:20],
                    folder=folder,
                    created_at=Now(),
                )
        fault("frame.before_commit")
        return seq

    def _kept(self, event: dict[str, Any]) -> str | None:
        """A snapshot that cannot be kept costs safety, not the night."""
        try:
            return snapshot_keep(self._work, event)
        except OSError as error:
            logger.warning("cycle %s: a snapshot could not be kept (%s)", self._cycle_id, error.strerror)
            return None

    def _written(self, flush: Flush) -> bool:
        """Whether the connection was lost after the commit: the frame is there, only its answer was not."""
        frames = Frame.objects.filter(cycle_id=self._cycle_id, epoch=self._epoch, kind=DATA)
        return frames.filter(payload__flush=flush.payload["flush"]).exists()
