"""One request's share of a file: the claim, the bytes, and what becomes of the upload however it ends."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from channels.db import database_sync_to_async

from webapp.core.errors import Conflict, NocturneError
from webapp.core.store import NoRoom
from webapp.uploads.body import BodyWriter, Disconnected
from webapp.uploads.receiving import Lost, PartFile
from webapp.uploads.selectors import part_path
from webapp.uploads.services import Gone, upload_abort, upload_begin, upload_finish, upload_progress
from webapp.uploads.turns import take_over, turn

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.uploads.body import Receive
    from webapp.uploads.models import Upload
    from webapp.uploads.turns import Turn

logger = logging.getLogger(__name__)

_FAILED: Final = (
    "The server could not write the file to its disk, and nothing was kept. Tell whoever runs this server; "
    "the log says why."
)
# What is wrong with a request and not with the bytes that it brought.
_KEEPING: Final = frozenset({"upload.stalled", "upload.truncated", "upload.length"})


async def receive_bytes(*, actor: User, upload: Upload, offset: int, length: int, receive: Receive) -> Upload:
    """Take `length` bytes from `offset` on. What arrived is kept whatever goes wrong with the connection, and
    the last byte hands the file over to the checker.

    Raises:
        Conflict: `upload.busy`, `upload.offset`, `upload.state` (409): another writer, another place.
        Gone: `upload.expired`, `upload.cancelled`, `upload.lost` (410).
        NocturneError: what `body.BodyWriter` says, `store.disk_full` (507), `upload.checksum` (422).
        Disconnected: the connection broke.
    """
    upload = await database_sync_to_async(upload_begin)(actor=actor, upload=upload, offset=offset)
    part: PartFile | None = None
    try:
        part = await _claim(upload, offset)
        with turn(upload.pk) as mine:
            try:
                # Only under the claim is it certain that nobody else moves the offset.
                upload = await database_sync_to_async(upload_begin)(actor=actor, upload=upload, offset=offset)
                await asyncio.to_thread(part.prepare)
                return await _take(actor, upload, part, receive, length, mine)
            finally:
                # A digest of more than is committed would be wrong when other bytes come from there.
                go_on = part.offset == upload.received_bytes < upload.size_bytes
                await asyncio.to_thread(part.close, go_on=go_on)
    except Gone:
        if part is not None:
            await asyncio.to_thread(part.discard)
        raise
    except (NoRoom, Lost) as error:
        # Nothing of it is on the disk any more.
        await database_sync_to_async(upload_abort)(upload=upload, code=error.code, message=error.message)
        raise
    except OSError as error:
        logger.exception("Upload %s cannot be written", upload.pk)
        failed = NocturneError("store.failed", _FAILED, status=500)
        # A disk that refuses to be written may refuse to forget as well; the sweep tries again.
        with suppress(OSError):
            await database_sync_to_async(upload_abort)(
                upload=upload, code=failed.code, message=failed.message
            )
        raise failed from error


async def _claim(upload: Upload, offset: int) -> PartFile:
    try:
        return await asyncio.to_thread(PartFile, part_path(upload.pk), upload.size_bytes, offset)
    except Conflict:
        if not await take_over(upload.pk):
            raise
    return await asyncio.to_thread(PartFile, part_path(upload.pk), upload.size_bytes, offset)


async def _take(
    actor: User, upload: Upload, part: PartFile, receive: Receive, length: int, mine: Turn
) -> Upload:
    async def commit(reached: int) -> None:
        await database_sync_to_async(upload_progress)(actor=actor, upload=upload, received=reached)

    writer = BodyWriter(part, upload.size_bytes, commit, mine.heard)
    try:
        await writer.take(receive, length)
    except (Disconnected, asyncio.CancelledError):
        await writer.settle()
        raise
    except NocturneError as error:
        if error.code in _KEEPING:
            await writer.settle()
        raise
    if await writer.settle() < upload.size_bytes:
        return upload
    sha256 = await asyncio.to_thread(part.sha256)
    return await database_sync_to_async(upload_finish)(upload=upload, sha256=sha256)
