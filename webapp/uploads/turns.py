"""Who is receiving which upload in this process, and how the next request takes over from a dead connection.

A connection that was cut without a word (a cable, a change of networks) looks alive until its patience ends,
and meanwhile its request holds the file. The sender comes back sooner than that.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from webapp.core.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

# A request that heard nothing for this long has to give way.
SILENT_SECONDS: Final = 5.0
_HANDING_OVER_SECONDS: Final = 20.0
_turns: Final[dict[UUID, Turn]] = {}


class Turn:
    """One request's time with one upload. `heard` is to be called with every piece that comes."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._heard_at = time.monotonic()
        self._over = asyncio.Event()
        self.taken_over = False

    def heard(self) -> None:
        self._heard_at = time.monotonic()

    def end(self) -> None:
        self._over.set()

    async def give_way(self) -> bool:
        """Have the request keep what it received and end; False: it is not silent."""
        if time.monotonic() - self._heard_at < SILENT_SECONDS or self._task is None:
            return False
        if not self.taken_over:
            self.taken_over = True
            self._task.cancel()
        async with asyncio.timeout(_HANDING_OVER_SECONDS):
            await self._over.wait()
        return True


@contextmanager
def turn(upload_id: UUID) -> Iterator[Turn]:
    """Around everything between the claim on a part file and its end.

    Raises:
        Conflict: `upload.busy`: another request took over.
    """
    mine = _turns[upload_id] = Turn()
    try:
        yield mine
    except asyncio.CancelledError:
        if not mine.taken_over:
            raise
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        raise Conflict("upload.busy", "Nothing came here for a while, and another request went on.") from None
    finally:
        mine.end()
        if _turns.get(upload_id) is mine:
            del _turns[upload_id]


async def take_over(upload_id: UUID) -> bool:
    """Whether a request of this process held the upload, was silent, and has given way."""
    other = _turns.get(upload_id)
    try:
        return other is not None and await other.give_way()
    except TimeoutError:
        return False
