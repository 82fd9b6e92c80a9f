"""A viewer who never reads costs a bounded amount of memory and harms nobody."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from base64 import b64encode
from contextlib import AsyncExitStack
from itertools import islice
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.support import night
from tests.support.night_script import Night
from tests.webapp.conftest import member
from tests.webapp.live.people import Web, session_of, socket_to
from tests.webapp.live.test_socket import hear, play_payloads, sub
from webapp.accounts.choices import Role
from webapp.live import protocol
from webapp.live.outbox import Outbox

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from webapp.accounts.models import User, Workspace
    from webapp.cycles.models import Cycle

MB = 1024 * 1024
FRAMES = 80


def payload(step: int) -> dict[str, Any]:
    """A flush of 200 kB that no compression on the way makes small."""
    words = b64encode(random.Random(step).randbytes(150_000)).decode()
    return {
        "points": {"step": [step], "t": [step / 10], "loss": [1.0]},
        "events": [{"kind": "log", "t": step / 10, "step": step, "level": "info", "message": words}],
        "progress": 0.1, "step": step, "total_steps": 1000,
    }  # fmt: skip


async def all_that_comes(live: ClientConnection, reached: int) -> tuple[int, int]:
    """Read to the close: how many frames came, and the close code.

    Each frame must be the next one, unless a `reset` told that some would not come.
    """
    came = 0
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                message = json.loads(await live.recv())
                if message["type"] == "frames":
                    numbers = [frame["seq"] for frame in message["items"]]
                    assert numbers == list(range(reached + 1, reached + 1 + len(numbers)))
                    came += len(numbers)
                reached = message.get("last", reached)
    return came, closed.value.rcvd.code if closed.value.rcvd else 1006


@pytest.mark.django_db(transaction=True)
def test_a_client_that_never_reads_is_bounded_and_closed_and_others_miss_nothing(
    web: Web, alice: User, cycle: Cycle
) -> None:
    async def run() -> None:
        async with socket_to(web, session) as deaf, socket_to(web, session) as good:
            for live in (deaf, good):
                await live.send(sub(cycle.pk))
                await hear(live, "hello")
            deaf.transport.pause_reading()
            before = process.memory_info().rss
            writing = asyncio.create_task(
                asyncio.to_thread(play_payloads, cycle, map(payload, range(1, 151)))
            )
            seen: list[int] = []
            while len(seen) < 150:
                seen += [frame["seq"] for frame in (await hear(good, "frames"))["items"]]
            await writing
            assert seen == list(range(first, first + 150))
            grown = process.memory_info().rss - before
            assert grown < 16 * MB, (
                f"30 MB of frames for a deaf viewer grew the process by {grown / MB:.0f} MB"
            )
            # It reads at last: what had left before is whole, and then it is told why that was all.
            deaf.transport.resume_reading()
            came, code = await all_that_comes(deaf, first - 1)
            assert came < 150
            assert code == protocol.Code.TOO_SLOW

    night.play(cycle, Night(), until=1)
    cycle.refresh_from_db()
    first, session, process = cycle.seq + 1, session_of(alice), psutil.Process(web.process.pid)
    asyncio.run(run())


@pytest.mark.django_db(transaction=True)
def test_sixty_sockets_of_six_people_hear_every_frame_once_and_in_order(
    web: Web, workspace: Workspace, cycle: Cycle
) -> None:
    async def numbers(live: ClientConnection) -> list[int]:
        found: list[int] = []
        while len(found) < FRAMES:
            found += [frame["seq"] for frame in (await hear(live, "frames", 20))["items"]]
        return found

    async def run() -> list[list[int]]:
        async with AsyncExitStack() as opened:
            lives = [
                await opened.enter_async_context(socket_to(web, session))
                for session in sessions
                for _ in range(protocol.MAX_SOCKETS)
            ]
            for live in lives:
                await live.send(sub(cycle.pk))
            for live in lives:
                await hear(live, "hello")
            listening = [asyncio.create_task(numbers(live)) for live in lives]
            await asyncio.to_thread(play_payloads, cycle, islice(Night(seconds=10).flushes(), FRAMES))
            return await asyncio.gather(*listening)

    people = [member(workspace, f"viewer{n}@example.org", Role.VIEWER) for n in range(6)]
    sessions = [session_of(person) for person in people]
    cycle.refresh_from_db()
    heard = asyncio.run(run())
    assert len(heard) == 60
    assert all(each == list(range(cycle.seq + 1, cycle.seq + 1 + FRAMES)) for each in heard)


async def test_an_outbox_that_is_full_keeps_the_last_number_and_forgets_the_frames() -> None:
    one, two = uuid.uuid4(), uuid.uuid4()
    outbox = Outbox(messages=4)
    outbox.put("hello")
    for number in (1, 2, 3):
        outbox.put_frames(one, f"frame {number}", number)
    outbox.put_frames(two, "frame 9", 9)
    assert await outbox.get() == "hello"
    assert await outbox.get() == protocol.reset(one, "slow", 3)
    assert await outbox.get() == protocol.reset(two, "slow", 9)
    assert not outbox.too_slow


async def test_full_again_before_it_drained_is_too_slow() -> None:
    cycle_id = uuid.uuid4()
    outbox = Outbox(messages=4)
    for number in range(1, 6):
        outbox.put_frames(cycle_id, "frame", number)
    assert not outbox.too_slow
    for number in range(6, 12):
        outbox.put_frames(cycle_id, "frame", number)
    assert outbox.too_slow
    assert len(outbox) <= 4


async def test_bytes_are_bounded_too_and_an_emptied_outbox_begins_anew() -> None:
    cycle_id = uuid.uuid4()
    outbox = Outbox(messages=100, size=1000)
    for number in range(1, 12):
        outbox.put_frames(cycle_id, "x" * 100, number)
    assert outbox.size <= 1000
    assert await outbox.get() == protocol.reset(cycle_id, "slow", 11)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.get(), 0.05)
    for number in range(12, 30):
        outbox.put_frames(cycle_id, "x" * 100, number)
    assert not outbox.too_slow
