"""Reading frames as text. A frame's payload goes to the browser as PostgreSQL prints it, never parsed.

Two readers of one query: the tailers' own small asynchronous pool, and Django's connection for the HTTP page.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import psycopg
from django.db import connection
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool

from webapp.live.frames import MEASURED
from webapp.live.protocol import RawFrame

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Iterable, Sequence

CHANNEL: Final = "frames"
PEOPLE: Final = "people"
# `at` is the writer's clock reading beside the commit, in ms since 1970: what latency is measured from.
_FRAME: Final = "seq, epoch, t_ms, kind, (extract(epoch from committed_at) * 1000)::float8, payload::text"
_OF_CYCLE: Final = "FROM live_frame WHERE cycle_id = %s AND seq > %s"
FRAMES_SQL: Final = f"SELECT {_FRAME}, points, device {_OF_CYCLE} ORDER BY seq LIMIT %s"
TELLING_SQL: Final = f"SELECT {_FRAME}, NULL, NULL {_OF_CYCLE} AND telling ORDER BY seq"
AT_ONCE: Final = 50
SEQS_SQL: Final = "SELECT id, seq FROM cycles_cycle WHERE id = ANY(%s)"


def _raw(rows: Iterable[Sequence[Any]]) -> list[RawFrame]:
    """Rows up to the first hole: seq has none, so a hole is a frame that is not visible yet."""
    frames: list[RawFrame] = []
    for row in rows:
        if frames and row[0] != frames[-1].seq + 1:
            break
        frames.append(_frame(row))
    return frames


def _frame(row: Sequence[Any]) -> RawFrame:
    seq, epoch, t_ms, kind, at, payload, *measured = row
    for name, columns in zip(MEASURED, measured, strict=True):
        if columns:
            # One more member of a JSON object, without parsing either.
            payload = f'{payload[:-1]}{"," if len(payload) > 2 else ""}"{name}":{columns}}}'
    head = f'{{"seq":{seq},"epoch":{epoch},"t_ms":{t_ms},"kind":"{kind}","at":{at:.1f}'
    return RawFrame(seq, f'{head},"payload":{payload}}}')


def frames_after(cycle_id: uuid.UUID, after: int, limit: int, *, most: int | None = None) -> list[RawFrame]:
    """Up to `limit` frames above `after`, oldest first, and no more of them once they have `most` characters
    (synchronous, for HTTP). Read a few at a time: large ones are never all in memory."""
    items: list[RawFrame] = []
    size = 0
    with connection.cursor() as cursor:
        while len(items) < limit and (most is None or size < most):
            wanted = min(AT_ONCE, limit - len(items))
            cursor.execute(FRAMES_SQL, [cycle_id, items[-1].seq if items else after, wanted])
            found = _raw(cursor.fetchall())
            if found and items and found[0].seq != items[-1].seq + 1:
                break
            for item in found:
                items.append(item)
                size += len(item.text)
                if most is not None and size >= most:
                    break
            if len(found) < wanted:
                break
    return items


def frames_telling(cycle_id: uuid.UUID) -> list[RawFrame]:
    """All frames that change the state or hold events, without their measured columns, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(TELLING_SQL, [cycle_id, 0])
        return [_frame(row) for row in cursor.fetchall()]


def _parameters() -> dict[str, Any]:
    """How Django reaches its database, without the parts that only Django's own cursors understand."""
    given = connection.get_connection_params()
    for key in ("cursor_factory", "context", "server_side_binding", "prepare_threshold", "pool"):
        given.pop(key, None)
    return {**given, "autocommit": True, "application_name": "nocturne live"}


class FrameReader:
    """The tailers' pool: at most four connections, opened when somebody watches."""

    def __init__(self) -> None:
        self._pool = AsyncConnectionPool(
            kwargs=_parameters(), min_size=1, max_size=4, max_idle=60, timeout=5, open=False, name="live"
        )
        self._opening = asyncio.Lock()
        self._open = False

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with self._opening:
            if not self._open:
                await self._pool.open()
                self._open = True
        async with self._pool.connection() as found:
            yield found

    async def frames_after(self, cycle_id: uuid.UUID, after: int, limit: int) -> list[RawFrame]:
        """Up to `limit` frames above `after`. Raises psycopg.Error when the database is away."""
        async with self._connection() as found, found.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(FRAMES_SQL, [cycle_id, after, limit])
            return _raw(await cursor.fetchall())

    async def seqs(self, cycle_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """The last number of each cycle that still exists."""
        async with self._connection() as found, found.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(SEQS_SQL, [list(cycle_ids)])
            return dict(await cursor.fetchall())

    async def close(self) -> None:
        """Give the connections back."""
        if self._open:
            await self._pool.close()


async def doorbell() -> AsyncIterator[tuple[str, str]]:
    """(CHANNEL, cycle id) and (PEOPLE, user id) as NOTIFY rings them, on a connection of its own.

    The first item is ("", ""): it says that the connection listens. Raises psycopg.Error when it breaks.
    """
    async with await psycopg.AsyncConnection.connect(**_parameters()) as listening:
        await listening.execute(f"LISTEN {CHANNEL}; LISTEN {PEOPLE}")
        yield "", ""
        async for notice in listening.notifies():
            yield notice.channel, notice.payload
