"""Two hundred viewers of one web process at ten frames a second: nothing lost, and how late the latest is.

The viewers are plain websocket clients in a process of their own, ten a person; each checks that the numbers
have no gap.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

from tests.bench import writers
from tests.bench.site import cycles, percentile

if TYPE_CHECKING:
    from tests.bench.site import Site

VIEWERS, SECONDS, RATE, A_PERSON = 200, 20.0, 10.0, 10
TARGETS = {"viewers_p99_ms": 500.0}


def measure(site: Site) -> dict[str, Any]:
    """Connect all, write one night, wait for the last frame everywhere."""
    import subprocess

    (cycle,), sessions = cycles(1, people=VIEWERS // A_PERSON)
    job = {"port": site.web.port, "cycle": str(cycle.pk), "sessions": sessions, "first": cycle.seq}
    command = [sys.executable, "-m", "tests.bench.sections.viewers"]
    watching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert watching.stdin is not None and watching.stdout is not None
    watching.stdin.write(json.dumps(job) + "\n")
    watching.stdin.flush()
    if watching.stdout.readline().strip() != "ready":
        raise SystemExit("the viewers could not connect")
    web = psutil.Process(site.web.process.pid)
    before, memory = web.cpu_times(), web.memory_info().rss
    began = time.perf_counter()
    writers.wait(writers.start([cycle], seconds=SECONDS, rate=RATE))
    cycle.refresh_from_db()
    watching.stdin.write(f"{cycle.seq}\n")
    watching.stdin.flush()
    found = json.loads(watching.stdout.readline())
    watching.wait()
    after, seconds = web.cpu_times(), time.perf_counter() - began
    busy = (after.user + after.system - before.user - before.system) / seconds
    delays = found["delays"]
    return {
        "viewers": VIEWERS, "viewers_frames": len(delays), "viewers_lost": found["lost"],
        "viewers_p50_ms": round(percentile(delays, 0.5), 1),
        "viewers_p99_ms": round(percentile(delays, 0.99), 1),
        "viewers_web_cpu": round(busy, 3), "viewers_web_mb": round((web.memory_info().rss - memory) / 1e6, 1),
    }  # fmt: skip


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
        for _ in range(A_PERSON)
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
