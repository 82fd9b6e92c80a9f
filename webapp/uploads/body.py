"""The body of a request as it arrives: a piece of a file of any size, in flat memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from webapp.core.errors import NocturneError

if TYPE_CHECKING:
    from webapp.uploads.receiving import PartFile

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Told how far the bytes are synced; raises when they are not wanted any more.
Commit = Callable[[int], Awaitable[None]]

# The server hands over some 64 KB at a time; a thread hop for each would cost more than the writing.
BLOCK_BYTES: Final = 2 * 2**20
# At most this much, or this many seconds, is lost when the process is killed.
COMMIT_BYTES: Final = 64 * 2**20
COMMIT_SECONDS: Final = 5.0
# No byte for this long, and the connection is given up.
BODY_SECONDS: Final = 60.0


class Disconnected(Exception):
    """The other side went away."""


class BodyWriter:
    """Writes a body into the part file. While a thread writes one block, the next is being received; never
    more than two are held.

    Args:
        part: open and prepared; its offset is committed.
        size: of the whole file. The very last byte is never committed here: what ends a file is more.
        commit: see `Commit`.
        heard: called with every piece that comes.
    """

    def __init__(self, part: PartFile, size: int, commit: Commit, heard: Callable[[], None]) -> None:
        self._part, self._size, self._commit, self._heard = part, size, commit, heard
        self._block = bytearray()
        self._writing: asyncio.Task[None] | None = None
        self._reached = self._committed = part.offset
        self._committed_at = time.monotonic()

    async def take(self, receive: Receive, length: int) -> None:
        """Receive a body of `length` bytes. Whatever ends it, `settle` has to follow.

        Raises:
            NocturneError: more (413) or fewer (400) bytes than `length`, a stalled sender (408), and what
                writing and committing raise.
            Disconnected: the connection broke.
        """
        taken, more = 0, True
        while more:
            piece, more = await _next(receive)
            self._heard()
            taken += len(piece)
            if taken > length:
                raise NocturneError(
                    "upload.length",
                    f"More than the announced {length:,} bytes came. Choose the file again.",
                    status=413,
                )
            self._block += piece
            self._reached += len(piece)
            due = (
                self._reached - self._committed >= COMMIT_BYTES
                or time.monotonic() - self._committed_at >= COMMIT_SECONDS
            )
            if len(self._block) >= BLOCK_BYTES or (due and self._block):
                await self._pass_on(commit=due)
        if taken != length:
            raise NocturneError(
                "upload.truncated",
                f"The request ends early ({length:,} bytes expected, {taken:,} received). Go on from there.",
            )

    async def settle(self) -> int:
        """Write and sync what is left; how far the file reaches now. All of it is committed, but for the end
        of the file."""
        await self._pass_on(commit=True)
        await self._written()
        return self._part.offset

    async def _pass_on(self, *, commit: bool) -> None:
        """The next block to the thread, when it is done with the one before."""
        await self._written()
        block, self._block = self._block, bytearray()
        if commit:
            self._committed, self._committed_at = self._reached, time.monotonic()
        self._writing = asyncio.create_task(self._write(block, commit))

    async def _write(self, block: bytearray, commit: bool) -> None:
        await asyncio.to_thread(self._part.write, block)
        if commit:
            reached = await asyncio.to_thread(self._part.sync)
            if reached < self._size:
                await self._commit(reached)

    async def _written(self) -> None:
        if self._writing is None:
            return
        # Not awaited itself: when this request is cancelled, the thread writes on, and `settle` waits for it.
        await asyncio.wait({self._writing})
        writing, self._writing = self._writing, None
        writing.result()


async def _next(receive: Receive) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await receive()
    except TimeoutError:
        raise NocturneError(
            "upload.stalled",
            f"No byte came for {BODY_SECONDS:.0f} seconds. What came before is kept; go on from there.",
            status=408,
        ) from None
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)
