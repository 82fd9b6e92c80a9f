"""The live socket against real uvicorn: who gets in, what is said, and what is never lost."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support import night
from tests.support.night_script import Night
from tests.webapp.live.people import COOKIE, Web, session_of, socket_to
from webapp.accounts.models import Membership

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Iterator

    from websockets.asyncio.client import ClientConnection

    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle

pytestmark = pytest.mark.django_db(transaction=True)


async def hear(live: ClientConnection, kind: str, seconds: float = 10) -> dict[str, Any]:
    """The next message of a kind."""
    async with asyncio.timeout(seconds):
        while True:
            message: dict[str, Any] = json.loads(await live.recv())
            if message["type"] == kind:
                return message


async def closed(live: ClientConnection) -> int:
    """Why the server closed."""
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionClosed) as found:
            while True:
                await live.recv()
    assert found.value.rcvd is not None
    return int(found.value.rcvd.code)


def play(cycle: Cycle, script: Night, **how: Any) -> None:
    """Write the night from another thread, whose connection ends with it."""
    try:
        night.play(cycle, script, **how)
    finally:
        connection.close()


def play_payloads(cycle: Cycle, payloads: Iterable[dict[str, Any]]) -> None:
    """The same for payloads of one's own."""
    try:
        for payload in payloads:
            night.flush(cycle, payload)
    finally:
        connection.close()


def sub(cycle_id: uuid.UUID, after: int | None = None) -> str:
    body: dict[str, Any] = {"type": "sub", "topic": f"cycle:{cycle_id}"}
    return json.dumps(body if after is None else {**body, "after": after})


def history(web: Web, session: str, cycle_id: uuid.UUID) -> list[dict[str, Any]]:
    """All frames over HTTP, page by page."""
    items: list[dict[str, Any]] = []
    while True:
        after = items[-1]["seq"] if items else 0
        url = f"{web.url}/api/cycles/{cycle_id}/frames?after={after}&limit=70"
        request = urllib.request.Request(url, headers={"Cookie": f"{COOKIE}={session}"})  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            page = json.load(answer)
        items += page["items"]
        if not page["more"]:
            return items


def test_a_page_of_another_site_gets_no_socket(web: Web, alice: User) -> None:
    async def run() -> None:
        session = session_of_alice
        for origin in ("http://evil.example", f"http://127.0.0.1:{web.port + 1}", f"{web.url}.evil.example"):
            with pytest.raises(InvalidStatus) as refused:
                async with socket_to(web, session, origin=origin):
                    pass
            assert refused.value.response.status_code == 403

    session_of_alice = session_of(alice)
    asyncio.run(run())


def test_what_is_sent_is_never_compressed(web: Web, alice: User) -> None:
    async def run() -> str | None:
        async with socket_to(web, session) as live:
            assert live.response is not None
            return live.response.headers.get("Sec-WebSocket-Extensions")

    session = session_of(alice)
    assert asyncio.run(run()) is None


def test_nobody_and_a_logged_out_session_are_told_4401(web: Web, cycle: Cycle) -> None:
    async def run() -> None:
        for session in (None, "a" * 32):
            async with socket_to(web, session) as live:
                assert (await hear(live, "bye"))["code"] == 4401
                assert await closed(live) == 4401

    asyncio.run(run())


def test_a_stranger_sees_no_frame_and_no_difference(web: Web, cycle: Cycle, charlie: User) -> None:
    async def run() -> None:
        for wanted in (str(cycle.pk), "00000000-0000-4000-8000-000000000000"):
            async with socket_to(web, session) as live:
                await live.send(json.dumps({"type": "sub", "topic": f"cycle:{wanted}"}))
                assert json.loads(await live.recv()) == {"type": "bye", "code": 4404}
                assert await closed(live) == 4404

    session = session_of(charlie)
    asyncio.run(run())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("no json", 4400),
        ('"text"', 4400),
        (b"{}", 4400),
        ('{"type":"frames"}', 4400),
        ('{"type":"sub","topic":"user:1"}', 4400),
        ('{"type":"sub","topic":"cycle:1"}', 4400),
        ("[" * 60_000, 4400),
        ('{"type":"ping","pad":"' + "x" * 66_000 + '"}', 1009),
    ],
)
def test_what_the_protocol_does_not_know_ends_the_socket(
    web: Web, alice: User, said: str | bytes, code: int
) -> None:
    async def run() -> None:
        async with socket_to(web, session) as live:
            await live.send(said)
            assert await closed(live) == code

    session = session_of(alice)
    asyncio.run(run())


def test_too_many_messages_topics_or_sockets_are_told_4429(web: Web, alice: User, cycle: Cycle) -> None:
    async def run() -> None:
        async with socket_to(web, session) as live:
            for _ in range(40):
                await live.send('{"type":"ping"}')
            assert await closed(live) == 4429
        async with socket_to(web, session) as first:
            await first.send('{"type":"ping"}')
            await hear(first, "pong")
            others = [socket_to(web, session) for _ in range(9)]
            opened = [await other.__aenter__() for other in others]
            async with socket_to(web, session) as eleventh:
                assert await closed(eleventh) == 4429
            await opened[-1].send('{"type":"ping"}')
            await hear(opened[-1], "pong")
            for other in others:
                await other.__aexit__(None, None, None)

    session = session_of(alice)
    asyncio.run(run())


def test_hello_says_where_the_cycle_stands_and_frames_follow_without_a_gap(
    web: Web, alice: User, cycle: Cycle
) -> None:
    async def run() -> None:
        async with socket_to(web, session) as live:
            await live.send(sub(cycle.pk))
            hello = await hear(live, "hello")
            assert (hello["last"], hello["state"]["state"], hello["state"]["tasks"][0]) == (
                last,
                "running",
                "returns",
            )
            writer = threading.Thread(target=play, args=(cycle, Night(seconds=4)))
            await asyncio.to_thread(writer.start)
            seen: list[int] = []
            while len(seen) < 40:
                message = await hear(live, "frames")
                assert message["last"] == message["items"][-1]["seq"]
                assert {"seq", "epoch", "t_ms", "kind", "payload"} <= set(message["items"][0])
                seen += [frame["seq"] for frame in message["items"]]
            await asyncio.to_thread(writer.join)
            assert seen == list(range(last + 1, last + 1 + len(seen)))

    night.play(cycle, Night(seconds=4), until=3)
    cycle.refresh_from_db()
    last, session = cycle.seq, session_of(alice)
    asyncio.run(run())


def test_a_socket_cut_fifty_times_resumes_by_number_to_the_history_over_http(
    web: Web, alice: User, cycle: Cycle
) -> None:
    allowed = threading.Semaphore(0)

    def script() -> Iterator[dict[str, Any]]:
        """Frames as the cutting goes on: however slow the machine is, the night lasts longer."""
        for payload in Night(seconds=20).flushes():
            assert allowed.acquire(timeout=20)
            yield payload

    async def run() -> list[dict[str, Any]]:
        got: list[dict[str, Any]] = []
        writing = asyncio.create_task(asyncio.to_thread(play_payloads, cycle, script()))
        for cut in range(50):
            async with socket_to(web, session) as live:
                await live.send(sub(cycle.pk, got[-1]["seq"] if got else 0))
                allowed.release()
                await hear(live, "hello")
                for _ in range(cut % 3):
                    allowed.release(2)
                    got += (await hear(live, "frames"))["items"]
                live.transport.abort()
        assert not writing.done()
        async with socket_to(web, session) as live:
            await live.send(sub(cycle.pk, got[-1]["seq"]))
            allowed.release(1_000)
            await writing
            told = await asyncio.to_thread(history, web, session, cycle.pk)
            while got[-1]["seq"] < told[-1]["seq"]:
                got += (await hear(live, "frames"))["items"]
        assert got == told
        return got

    session = session_of(alice)
    got = asyncio.run(run())
    assert [frame["seq"] for frame in got] == list(range(1, len(got) + 1))
    assert len(got) > 200


@pytest.mark.parametrize("after", [-1, 10_000])
def test_a_number_of_another_stream_resets(web: Web, alice: User, cycle: Cycle, after: int) -> None:
    async def run() -> None:
        async with socket_to(web, session) as live:
            await live.send(sub(cycle.pk, after))
            assert (await hear(live, "reset"))["reason"] == "ahead"
            await asyncio.to_thread(play, cycle, Night(), until=1)
            assert (await hear(live, "frames"))["items"][0]["seq"] == cycle.seq + 1

    session = session_of(alice)
    asyncio.run(run())


def test_unsub_ends_the_stream(web: Web, alice: User, cycle: Cycle) -> None:
    async def run() -> None:
        async with socket_to(web, session) as live:
            await live.send(sub(cycle.pk))
            await hear(live, "hello")
            await live.send(json.dumps({"type": "unsub", "topic": f"cycle:{cycle.pk}"}))
            await live.send('{"type":"ping"}')
            await hear(live, "pong")
            await asyncio.to_thread(play, cycle, Night(), until=3)
            with pytest.raises(TimeoutError):
                await hear(live, "frames", 3)

    session = session_of(alice)
    asyncio.run(run())


def log_out(session: str) -> None:
    """As the menu's button does, in another browser tab."""
    client = Client()
    client.cookies[COOKIE] = session
    assert client.post("/accounts/logout/").status_code == 302
    connection.close()


def remove_from_workspace(user: User) -> None:
    Membership.objects.get(user=user).delete()
    connection.close()


def test_who_logs_out_or_is_removed_is_told_within_five_seconds(web: Web, alice: User, cycle: Cycle) -> None:
    async def run() -> None:
        for take_away, subject, code in ((log_out, session, 4401), (remove_from_workspace, alice, 4403)):
            key = session if take_away is log_out else other
            async with socket_to(web, key) as live:
                await live.send(sub(cycle.pk))
                await hear(live, "hello")
                await asyncio.to_thread(take_away, subject)  # type: ignore[arg-type]
                async with asyncio.timeout(5):
                    assert (await hear(live, "bye"))["code"] == code

    session, other = session_of(alice), session_of(alice)
    asyncio.run(run())


def test_asked_for_again_while_it_catches_up_a_stream_comes_once(
    web: Web, alice: User, bob: User, cycle: Cycle
) -> None:
    async def run() -> list[int]:
        async with socket_to(web, watcher) as other, socket_to(web, session) as live:
            await other.send(sub(cycle.pk))
            await hear(other, "hello")
            for _ in range(3):
                await live.send(sub(cycle.pk, 0))
            for _ in range(3):
                await hear(live, "hello")
            got = [frame["seq"] for frame in (await hear(live, "frames"))["items"]]
            await asyncio.to_thread(play, cycle, Night(seconds=4), until=8)
            while got[-1] < last + 8:
                got += [frame["seq"] for frame in (await hear(live, "frames"))["items"]]
            await live.send('{"type":"ping"}')
            await hear(live, "pong")
            return got

    night.play(cycle, Night(seconds=20), until=150)
    cycle.refresh_from_db()
    last, session, watcher = cycle.seq, session_of(alice), session_of(bob)
    got = asyncio.run(run())
    # What had left before the stream was asked for again may come first; what comes after is whole.
    tail = got[len(got) - got[::-1].index(1) - 1 :] if 1 in got else got
    assert tail == list(range(tail[0], last + 9))
