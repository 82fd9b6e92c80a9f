"""Who is receiving which upload in this process, and how a request is made to keep what it has and to end.

A connection that was cut without a word (a cable, a change of networks) looks alive until its patience ends,
and meanwhile its request holds the file; the sender comes back sooner than that, and takes over. A process
that is asked to end asks its requests in turn.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from webapp.core.errors import Conflict, NocturneError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

# A request that heard nothing for this long has to give way.
SILENT_SECONDS: Final = 5.0
_HANDING_OVER_SECONDS: Final = 20.0
_LEAVING_SECONDS: Final = 2.0
_turns: Final[dict[UUID, Turn]] = {}


class Turn:
    """One request's time with one upload. `heard` is to be called with every piece that comes."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._heard_at = time.monotonic()
        self.over = asyncio.Event()
        self.ended_by: NocturneError | None = None

    def heard(self) -> None:
        self._heard_at = time.monotonic()

    def end(self, reason: NocturneError) -> None:
        """Have the request keep what it received and end with this answer."""
        if self.ended_by is None and self._task is not None:
            self.ended_by = reason
            self._task.cancel()

    async def give_way(self) -> bool:
        """Let another request go on; False: this one is not silent, or takes too long to end."""
        if time.monotonic() - self._heard_at < SILENT_SECONDS:
            return False
        self.end(Conflict("upload.busy", "Nothing came here for a while, and another request went on."))
        try:
            async with asyncio.timeout(_HANDING_OVER_SECONDS):
                await self.over.wait()
        except TimeoutError:
            return False
        return True


@contextmanager
def turn(upload_id: UUID) -> Iterator[Turn]:
    """Around everything between the claim on a part file and its end.

    Raises:
        NocturneError: `upload.busy` (409): another request took over; `server.leaving` (503).
    """
    mine = _turns[upload_id] = Turn()
    try:
        yield mine
    except asyncio.CancelledError:
        if mine.ended_by is None:
            raise
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        raise mine.ended_by from None
    finally:
        mine.over.set()
        if _turns.get(upload_id) is mine:
            del _turns[upload_id]


async def take_over(upload_id: UUID) -> bool:
    """Whether a request of this process held the upload, was silent, and has given way."""
    other = _turns.get(upload_id)
    return other is not None and await other.give_way()


async def leave() -> None:
    """This process ends: all requests keep what they received, and their senders are told to come back."""
    going = list(_turns.values())
    for each in going:
        each.end(
            NocturneError(
                "server.leaving",
                "The server is being restarted. What came before is kept; go on from there in a moment.",
                status=503,
            )
        )
    if going:
        await asyncio.wait(
            {asyncio.ensure_future(each.over.wait()) for each in going}, timeout=_LEAVING_SECONDS
        )
