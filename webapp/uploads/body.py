"""Request bodies as they arrive: a small JSON object, or a file of any size in flat memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from webapp.core.errors import NocturneError

if TYPE_CHECKING:
    from webapp.uploads.receiving import PartFile

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON_BYTES: Final = 64 * 1024
# The server hands over some 64 KB at a time; a thread hop for each would cost more than the writing.
BLOCK_BYTES: Final = 2 * 2**20
# No byte for this long, and the connection is given up.
BODY_SECONDS: Final = 60.0


class Disconnected(Exception):
    """The other side went away."""


async def read_json(receive: Receive) -> dict[str, Any]:
    """A JSON object of at most 64 KB. Raises NocturneError (400 or 413) or Disconnected."""
    body = bytearray()
    more = True
    while more:
        piece, more = await _next(receive)
        body += piece
        if len(body) > JSON_BYTES:
            raise NocturneError(
                "request.too_large", "The announcement of a file is at most 64 KB.", status=413
            )
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise NocturneError("request.invalid", "The announcement of a file must be a JSON object.")
    return value


async def stream_to_disk(receive: Receive, part: PartFile, size: int) -> str:
    """Every byte of the body into the part file, digested and synced. While a thread writes one block, the
    next is being received; never more than two are held.

    Returns:
        The SHA-256 of the body, hex.

    Raises:
        NocturneError: more (413) or fewer (400) bytes than `size`, a full disk (507), a stalled sender (408).
        Disconnected: the connection broke.
    """
    block = bytearray()
    writing: asyncio.Future[None] | None = None
    taken, more = 0, True
    try:
        while more:
            piece, more = await _next(receive)
            taken += len(piece)
            if taken > size:
                raise NocturneError(
                    "upload.length",
                    f"More than the announced {size:,} bytes came. Choose the file again.",
                    status=413,
                )
            block += piece
            if len(block) >= BLOCK_BYTES:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(asyncio.to_thread(part.write, block))
                block = bytearray()
        if writing is not None:
            await writing
        if taken != size:
            raise NocturneError(
                "upload.truncated",
                f"The file ends early ({size:,} bytes expected, {taken:,} received). Upload it again.",
            )
        return await asyncio.to_thread(_finish, part, block)
    finally:
        if writing is not None and not writing.done():
            await asyncio.wait({writing})


def _finish(part: PartFile, block: bytearray) -> str:
    part.write(block)
    return part.finish()


async def _next(receive: Receive) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await receive()
    except TimeoutError:
        raise NocturneError(
            "upload.stalled",
            f"No byte came for {BODY_SECONDS:.0f} seconds. Upload the file again.",
            status=408,
        ) from None
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)
