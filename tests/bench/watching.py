"""Viewers without a page: websocket clients in a process of their own who check that no number is missing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


def start(port: int, cycle_id: UUID, first: int, sessions: Sequence[str], each: int) -> subprocess.Popen[str]:
    """`each` viewers a session on one cycle, from number `first` on; returns when all have been welcomed."""
    job = {"port": port, "cycle": str(cycle_id), "sessions": list(sessions), "first": first, "each": each}
    command = [sys.executable, "-m", "tests.bench.watching"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    if process.stdout.readline().strip() != "ready":
        raise SystemExit("the viewers could not connect")
    return process


def finish(process: subprocess.Popen[str], last: int) -> dict[str, Any]:
    """Wait until each has seen frame `last`: {"delays": ms from commit to arrival, "lost": frames}."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{last}\n")
    process.stdin.flush()
    found: dict[str, Any] = json.loads(process.stdout.readline())
    process.wait()
    return found


async def _watch(
    job: dict[str, Any], session: str, ready: asyncio.Semaphore, until: asyncio.Event, last: list[int]
) -> tuple[list[float], int]:
    """One viewer: (delays in ms, frames that never came)."""
    from websockets.asyncio.client import connect
    from websockets.typing import Origin

    url, seen = f"ws://127.0.0.1:{job['port']}/ws/live", int(job["first"])
    delays: list[float] = []
    headers = {"Cookie": f"nocturne={session}"}
    origin = Origin(f"http://127.0.0.1:{job['port']}")
    async with connect(url, origin=origin, additional_headers=headers, max_size=None) as socket:
        await socket.send(json.dumps({"type": "sub", "topic": f"cycle:{job['cycle']}", "after": seen}))
        lost = 0
        while True:
            try:
                message = json.loads(await asyncio.wait_for(socket.recv(), 1.0))
            except TimeoutError:
                if until.is_set():
                    return delays, lost + max(0, last[0] - seen)
                continue
            now = time.time() * 1000
            if message["type"] == "hello":
                ready.release()
            elif message["type"] == "ping":
                await socket.send('{"type": "pong"}')
            elif message["type"] == "frames":
                for frame in message["items"]:
                    lost += max(0, frame["seq"] - seen - 1)
                    seen = max(seen, frame["seq"])
                    delays.append(now - frame["at"])
                if until.is_set() and seen >= last[0]:
                    return delays, lost


async def _main() -> None:
    job = json.loads(sys.stdin.readline())
    ready, until, last = asyncio.Semaphore(0), asyncio.Event(), [0]
    tasks = [
        asyncio.create_task(_watch(job, session, ready, until, last))
        for session in job["sessions"]
        for _ in range(job["each"])
    ]
    for _ in tasks:
        await asyncio.wait_for(ready.acquire(), 60)
    print("ready", flush=True)
    last[0] = int(await asyncio.to_thread(sys.stdin.readline))
    until.set()
    found = await asyncio.wait_for(asyncio.gather(*tasks), 60)
    delays = [delay for mine, _ in found for delay in mine]
    lost = sum(lost for _, lost in found)
    print(json.dumps({"delays": [round(delay, 1) for delay in delays], "lost": lost}), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
