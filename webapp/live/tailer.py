"""One reader a cycle and process, however many people watch it.

The hub holds the process's one LISTEN connection. A notice, or every two seconds a look at the numbers,
wakes the tailer of that cycle; it reads the frames above its own last one and hands the finished text to each
viewer. A dead doorbell costs latency, never data.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

import psycopg
from psycopg_pool import PoolTimeout

from webapp.live import protocol
from webapp.live.store import PEOPLE, FrameReader, doorbell

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 2.0
BATCH: Final = 100
# Between the messages of a burst, so that a viewer who reads is not overrun by what was read at once.
BREATH_SECONDS: Final = 0.02
_AWAY: Final = (psycopg.Error, PoolTimeout, OSError)


class Viewer(Protocol):
    """Whoever takes a cycle's messages. Taking must never wait: a slow viewer is its own problem."""

    def take(self, cycle_id: uuid.UUID, text: str, last: int) -> None:
        """One `frames` message; `last` is the number that it ends with."""


class Tailer:
    """Follows one cycle for its viewers. `last` is the number of the last frame handed out."""

    def __init__(self, cycle_id: uuid.UUID, last: int, reader: FrameReader) -> None:
        self.cycle_id = cycle_id
        self.last = last
        # Members keep the tailer alive; viewers are those that have caught up and take each message.
        self.members: set[Viewer] = set()
        self.viewers: set[Viewer] = set()
        self._reader = reader
        self._bell = asyncio.Event()
        self._task = asyncio.create_task(self._follow(), name=f"tailer {cycle_id}")

    def ring(self) -> None:
        """There may be something new."""
        self._bell.set()

    def stop(self) -> None:
        """Nobody watches any more."""
        self._task.cancel()

    async def _follow(self) -> None:
        while True:
            await self._bell.wait()
            self._bell.clear()
            try:
                while found := await self._reader.frames_after(self.cycle_id, self.last, BATCH):
                    if found[0].seq != self.last + 1:
                        break
                    for text, last in protocol.in_messages(self.cycle_id, found):
                        self.last = last
                        for viewer in tuple(self.viewers):
                            viewer.take(self.cycle_id, text, last)
                        if last < found[-1].seq:
                            await asyncio.sleep(BREATH_SECONDS)
                    if len(found) < BATCH:
                        break
            except _AWAY:
                logger.warning("frames could not be read; the next poll tries again")


class Hub:
    """All tailers of one process (strictly: of one event loop)."""

    def __init__(self) -> None:
        self.reader = FrameReader()
        self.tailers: dict[uuid.UUID, Tailer] = {}
        # Called with a person's id, as text, when their rights may have changed.
        self.rights_listeners: set[Callable[[str], None]] = set()
        self._joining = asyncio.Lock()
        self._tasks = (
            asyncio.create_task(self._listen(), name="frames doorbell"),
            asyncio.create_task(self._poll(), name="frames poll"),
        )

    async def join(self, cycle_id: uuid.UUID, viewer: Viewer) -> Tailer:
        """The cycle's tailer, started when need be; the viewer joins `viewers` when it has caught up.

        Raises LookupError when there is no such cycle, psycopg.Error when the database is away.
        """
        async with self._joining:
            tailer = self.tailers.get(cycle_id)
            if tailer is None:
                seqs = await self.reader.seqs([cycle_id])
                if cycle_id not in seqs:
                    raise LookupError(cycle_id)
                tailer = self.tailers[cycle_id] = Tailer(cycle_id, seqs[cycle_id], self.reader)
            tailer.members.add(viewer)
            return tailer

    def leave(self, cycle_id: uuid.UUID, viewer: Viewer) -> None:
        """The viewer goes; the last one out stops the tailer. Never waits: nothing can interrupt it."""
        tailer = self.tailers.get(cycle_id)
        if tailer is None:
            return
        tailer.members.discard(viewer)
        tailer.viewers.discard(viewer)
        if not tailer.members:
            del self.tailers[cycle_id]
            tailer.stop()

    async def _listen(self) -> None:
        delay = 0.2
        while True:
            try:
                async for channel, payload in doorbell():
                    delay = 0.2
                    self._rung(channel, payload)
            except _AWAY:
                logger.warning("the doorbell is away; polling goes on, listening again in %.1f s", delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 10.0)

    def _rung(self, channel: str, payload: str) -> None:
        if channel == PEOPLE:
            for listener in tuple(self.rights_listeners):
                listener(payload)
        elif not payload:
            for tailer in self.tailers.values():
                tailer.ring()
        else:
            with contextlib.suppress(ValueError):
                if watched := self.tailers.get(uuid.UUID(payload)):
                    watched.ring()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self.tailers:
                continue
            try:
                seqs = await self.reader.seqs(list(self.tailers))
            except _AWAY:
                continue
            for cycle_id, seq in seqs.items():
                tailer = self.tailers.get(cycle_id)
                if tailer is not None and seq > tailer.last:
                    tailer.ring()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The running loop's hub, made on the first use."""
    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = Hub()
    return found
