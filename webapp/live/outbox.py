"""What waits to be sent on one socket: bounded in messages and in bytes, whatever the browser does."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webapp.live import protocol

if TYPE_CHECKING:
    import uuid


@dataclass(slots=True)
class _Waiting:
    text: str
    cycle_id: uuid.UUID | None  # None: not part of a stream, never thrown away
    last: int


class Outbox:
    """A queue that, when full, forgets the frames in it and says so with one `reset` a stream.

    A socket that has been full and is full again before it drained is `too_slow`: the consumer closes it.
    """

    def __init__(self, messages: int = protocol.QUEUE_MESSAGES, size: int = protocol.QUEUE_BYTES) -> None:
        self._limit, self._size_limit = messages, size
        self._waiting: deque[_Waiting] = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._overflowed_at: float | None = None
        self.too_slow = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Characters that wait."""
        return self._size

    def put(self, text: str) -> None:
        """A message that belongs to no stream (hello, ping, bye); it is kept, but nobody may pile them up."""
        if len(self._waiting) >= 2 * self._limit or self._size > 2 * self._size_limit:
            self.too_slow = True
        self._append(_Waiting(text, None, 0))

    def put_frames(self, cycle_id: uuid.UUID, text: str, last: int) -> None:
        """One `frames` message; when there is no room, all frames that wait become one `reset` a stream."""
        if len(self._waiting) < self._limit and self._size + len(text) <= self._size_limit:
            self._append(_Waiting(text, cycle_id, last))
            return
        if self._overflowed_at is not None:
            self.too_slow = True
        self._overflowed_at = self._overflowed_at or time.monotonic()
        lasts = {item.cycle_id: item.last for item in self._waiting if item.cycle_id is not None} | {
            cycle_id: last
        }
        kept = [item for item in self._waiting if item.cycle_id is None]
        self._waiting.clear()
        self._size = 0
        for item in kept:
            self._append(item)
        for stream, number in lasts.items():
            self._append(_Waiting(protocol.reset(stream, "slow", number), stream, number))

    def drop(self, cycle_id: uuid.UUID) -> None:
        """The viewer left this stream."""
        kept = [item for item in self._waiting if item.cycle_id != cycle_id]
        self._waiting = deque(kept)
        self._size = sum(len(item.text) for item in kept)

    @property
    def overdue(self) -> bool:
        """It overflowed and has not drained within the time allowed."""
        return (
            self._overflowed_at is not None
            and time.monotonic() - self._overflowed_at > protocol.DRAIN_SECONDS
        )

    async def get(self) -> str:
        """The next message, when there is one."""
        while not self._waiting:
            self._overflowed_at = None
            self._emptied.set()
            self._filled.clear()
            await self._filled.wait()
        item = self._waiting.popleft()
        self._size -= len(item.text)
        return item.text

    async def drained(self) -> None:
        """Wait until everything was taken: how a long replay keeps to the browser's pace."""
        await self._emptied.wait()

    def _append(self, item: _Waiting) -> None:
        self._waiting.append(item)
        self._size += len(item.text)
        self._emptied.clear()
        self._filled.set()
