"""The live socket: one a tab, many cycles on it.

Everything sent goes through one bounded outbox and one sender task, so that no viewer can hold memory or
slow others. Close codes and limits are those of `protocol`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from channels.generic.websocket import AsyncWebsocketConsumer
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError
from psycopg_pool import PoolTimeout

from webapp.live import protocol
from webapp.live.access import current_user, still_visible, visible_state
from webapp.live.outbox import Outbox
from webapp.live.protocol import Code, Ping, Pong, ProtocolError, Sub, Unsub
from webapp.live.tailer import Tailer, hub

if TYPE_CHECKING:
    import uuid

    from webapp.accounts.models import User

logger = logging.getLogger(__name__)
# Django's errors are no subclasses of the driver's.
_DATABASE_AWAY = (psycopg.Error, PoolTimeout, DatabaseError, InterfaceError)
RECHECK_TRIES = 10
# What waits in memory while a viewer catches up, at its own pace.
REPLAY_BATCH = 20


class LiveConsumer(AsyncWebsocketConsumer):
    """A viewer. Its user is looked up on connecting, when their rights may have changed, and every minute."""

    _sockets: ClassVar[Counter[Any]] = Counter()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user: User | None = None
        self._outbox = Outbox()
        self._topics: dict[uuid.UUID, Tailer] = {}
        self._arrivals: deque[float] = deque(maxlen=protocol.MAX_INBOUND_RATE)
        self._heard_at = time.monotonic()
        self._sender: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        # One a stream: two would send frames twice.
        self._replays: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._checked_at = time.monotonic()
        self._counted = False
        self._closing = False

    # ------------------------------------------------------------ the socket's life

    async def __call__(self, *args: Any) -> None:
        """Whatever ends a socket, an error included, it gives its place back."""
        try:
            await super().__call__(*args)
        finally:
            self._release()

    async def connect(self) -> None:
        """Accept first: a browser sees a close code only on a socket that was open."""
        await self.accept()
        # Before asking who it is: a right that ends during the question must not go unheard.
        hub().rights_listeners.add(self.rights_changed)
        self._checked_at = time.monotonic()
        try:
            self.user = await current_user(self._session_key())
        except _DATABASE_AWAY:
            await self._bye(Code.DRAINING)
            return
        if self.user is None:
            await self._bye(Code.LOGIN)
            return
        self._sockets[self.user.pk] += 1
        self._counted = True
        if self._sockets[self.user.pk] > protocol.MAX_SOCKETS:
            await self._bye(Code.TOO_MANY)
            return
        self._sender = asyncio.create_task(self._send_on())
        self._watch = asyncio.create_task(self._watch_over())

    def _release(self) -> None:
        """Leave every stream, stop our tasks, count no more."""
        self._closing = True
        hub().rights_listeners.discard(self.rights_changed)
        if self._counted and self.user is not None:
            self._counted = False
            self._sockets[self.user.pk] -= 1
            if not self._sockets[self.user.pk]:
                del self._sockets[self.user.pk]
        for task in (self._sender, self._watch):
            if task is not None:
                task.cancel()
        for cycle_id in tuple(self._topics):
            self._leave(cycle_id)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One message from the browser; a bad one ends the socket, never the process."""
        if self._closing or self.user is None:
            return
        now = self._heard_at = time.monotonic()
        if len(self._arrivals) == self._arrivals.maxlen and now - self._arrivals[0] < 1.0:
            await self._bye(Code.TOO_MANY)
            return
        self._arrivals.append(now)
        try:
            message = protocol.parse(text_data)
            match message:
                case Sub():
                    await self._sub(message)
                case Unsub():
                    self._leave(message.cycle)
                case Ping():
                    self._outbox.put(protocol.PONG)
                case Pong():
                    pass
        except ProtocolError as error:
            await self._bye(error.code)

    # ------------------------------------------------------------ streams

    async def _sub(self, wanted: Sub) -> None:
        if wanted.cycle in self._topics:
            self._leave(wanted.cycle)
        if len(self._topics) >= protocol.MAX_TOPICS:
            raise ProtocolError(Code.TOO_MANY)
        assert self.user is not None  # noqa: S101 - receive() lets nobody else in
        try:
            state = await visible_state(self.user, wanted.cycle)
            if state is None:
                raise ProtocolError(Code.GONE)
            tailer = await hub().join(wanted.cycle, self)
        except (LookupError, ObjectDoesNotExist) as error:
            raise ProtocolError(Code.GONE) from error
        except _DATABASE_AWAY as error:
            raise ProtocolError(Code.DRAINING) from error
        if self._closing:
            # It was told to go while we asked.
            hub().leave(wanted.cycle, self)
            return
        self._topics[wanted.cycle] = tailer
        last = tailer.last
        self._outbox.put(protocol.hello(wanted.cycle, last, state))
        after = last if wanted.after is None else wanted.after
        if after < 0 or after > max(last, state["seq"]):
            self._outbox.put(protocol.reset(wanted.cycle, "ahead", last))
        elif last - after > protocol.REPLAY_FRAMES:
            self._outbox.put(protocol.reset(wanted.cycle, "behind", last))
        elif after < last:
            self._replays[wanted.cycle] = asyncio.create_task(self._replay(tailer, after))
            return
        tailer.viewers.add(self)

    async def _replay(self, tailer: Tailer, after: int) -> None:
        """Send what the viewer missed at its own pace, then go live without a gap or a double."""
        while after < tailer.last:
            try:
                found = await hub().reader.frames_after(tailer.cycle_id, after, REPLAY_BATCH)
            except _DATABASE_AWAY:
                await asyncio.sleep(1.0)
                continue
            found = [frame for frame in found if frame.seq <= tailer.last]
            if not found or found[0].seq != after + 1:
                self._outbox.put(protocol.reset(tailer.cycle_id, "behind", tailer.last))
                break
            for text, after in protocol.in_messages(tailer.cycle_id, found):
                try:
                    async with asyncio.timeout(protocol.DRAIN_SECONDS):
                        await self._outbox.drained()
                except TimeoutError:
                    await self._bye(Code.TOO_SLOW)
                    return
                self._outbox.put_frames(tailer.cycle_id, text, after)
        tailer.viewers.add(self)

    def take(self, cycle_id: uuid.UUID, text: str, last: int) -> None:
        """Called by the tailer with each new `frames` message."""
        self._outbox.put_frames(cycle_id, text, last)

    def _leave(self, cycle_id: uuid.UUID) -> None:
        if replay := self._replays.pop(cycle_id, None):
            replay.cancel()
        if self._topics.pop(cycle_id, None) is not None:
            self._outbox.drop(cycle_id)
            hub().leave(cycle_id, self)

    # ------------------------------------------------------------ beside it

    async def _send_on(self) -> None:
        # A client that has gone is heard of by `disconnect`.
        with contextlib.suppress(OSError):
            while True:
                text = await self._outbox.get()
                await self.send(text_data=text)

    def rights_changed(self, user_id: str) -> None:
        """Look again soon, for the session that ends may be deleted only after the notice."""
        if self.user is None or user_id == str(self.user.pk):
            self._checked_at = min(
                self._checked_at, time.monotonic() - protocol.RECHECK_SECONDS + protocol.NOTICE_SECONDS
            )

    async def _watch_over(self) -> None:
        """Ping, end silent or slow sockets, and ask every minute whether the person may still look."""
        pinged = time.monotonic()
        failed = 0
        while not self._closing:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            silent = now - self._heard_at > protocol.SILENCE_SECONDS
            if silent or self._outbox.too_slow or self._outbox.overdue:
                await self._bye(Code.TOO_SLOW)
            if now - pinged >= protocol.PING_SECONDS:
                pinged = now
                self._outbox.put(protocol.PING)
            if now - self._checked_at >= protocol.RECHECK_SECONDS:
                # Before asking, not after: a notice during the look asks for another one.
                self._checked_at = now
                try:
                    await self._recheck()
                except _DATABASE_AWAY:
                    # Nobody watches for long without having been asked for: next second again, then no more.
                    failed += 1
                    self._checked_at = now - protocol.RECHECK_SECONDS
                    if failed >= RECHECK_TRIES:
                        await self._bye(Code.DRAINING)
                except Exception:
                    logger.exception("a viewer's rights could not be looked up")
                    await self._bye(Code.DRAINING)
                else:
                    failed = 0

    async def _recheck(self) -> None:
        user = await current_user(self._session_key())
        if user is None:
            await self._bye(Code.LOGIN)
            return
        # Streams come and go while we ask: only one that we asked about, and still send, can be lost.
        asked = set(self._topics)
        lost = asked - await still_visible(user, asked)
        if lost & self._topics.keys():
            await self._bye(Code.ROLE_LOST)

    def _session_key(self) -> str | None:
        session = self.scope.get("session")
        return None if session is None else session.session_key

    async def _bye(self, code: Code) -> None:
        """Say why, then close; nothing else is sent any more. A socket that does not drain is closed when it
        does, and keeps its place among the person's sockets until then."""
        if self._closing:
            return
        self._closing = True
        if self._sender is not None:
            self._sender.cancel()
        for cycle_id in tuple(self._topics):
            self._leave(cycle_id)
        # Time that is up, and a client that has gone, are OSErrors; after a close of theirs it is the other.
        with contextlib.suppress(OSError, RuntimeError):
            async with asyncio.timeout(2.0):
                await self.send(text_data=protocol.bye(code))
        with contextlib.suppress(OSError, RuntimeError):
            await self.close(code=int(code))
