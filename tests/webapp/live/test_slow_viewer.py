"""A viewer who never reads costs a bounded amount of memory and harms nobody."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support import night
from tests.support.night_script import Night
from tests.webapp.live.people import Web, session_of, socket_to
from tests.webapp.live.test_socket import hear, play_payloads, sub
from webapp.live import protocol
from webapp.live.outbox import Outbox

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle

MB = 1024 * 1024


def payload(step: int) -> dict[str, Any]:
    """A flush of 100 kB."""
    return {
        "points": {"step": [step], "t": [step / 10], "loss": [1.0]},
        "events": [{"kind": "log", "t": step / 10, "step": step, "level": "info", "message": "x" * 100_000}],
        "progress": 0.1, "step": step, "total_steps": 1000,
    }  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_a_client_that_never_reads_is_bounded_and_others_miss_nothing(
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
                asyncio.to_thread(play_payloads, cycle, map(payload, range(1, 301)))
            )
            seen: list[int] = []
            while len(seen) < 300:
                seen += [frame["seq"] for frame in (await hear(good, "frames"))["items"]]
            await writing
            assert seen == list(range(first, first + 300))
            grown = process.memory_info().rss - before
            assert grown < 32 * MB, (
                f"30 MB of frames for a deaf viewer grew the process by {grown / MB:.0f} MB"
            )

    night.play(cycle, Night(), until=1)
    cycle.refresh_from_db()
    first, session, process = cycle.seq + 1, session_of(alice), psutil.Process(web.process.pid)
    asyncio.run(run())


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
