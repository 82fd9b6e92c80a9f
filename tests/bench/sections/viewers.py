"""Two hundred viewers of one web process at ten frames a second: nothing lost, and how late the latest is.

The viewers are plain websocket clients in a process of their own, ten a person; each checks that the numbers
have no gap.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil

from tests.bench import watching, writers
from tests.bench.site import cycles, percentile

if TYPE_CHECKING:
    from tests.bench.site import Site

VIEWERS, SECONDS, RATE, A_PERSON = 200, 20.0, 10.0, 10
TARGETS = {"viewers_p99_ms": 500.0, "viewers_lost": 0.0}


def measure(site: Site) -> dict[str, Any]:
    """Connect all, write one night, wait for the last frame everywhere."""
    (cycle,), sessions = cycles(1, people=VIEWERS // A_PERSON)
    socket = watching.start(site.web.port, cycle.pk, cycle.seq, sessions, A_PERSON)
    web = psutil.Process(site.web.process.pid)
    before, memory = web.cpu_times(), web.memory_info().rss
    began = time.perf_counter()
    writers.wait(writers.start([cycle], seconds=SECONDS, rate=RATE))
    cycle.refresh_from_db()
    found = watching.finish(socket, cycle.seq)
    after, seconds = web.cpu_times(), time.perf_counter() - began
    busy = (after.user + after.system - before.user - before.system) / seconds
    delays = found["delays"]
    return {
        "viewers": VIEWERS, "viewers_frames": len(delays), "viewers_lost": found["lost"],
        "viewers_p50_ms": round(percentile(delays, 0.5), 1),
        "viewers_p99_ms": round(percentile(delays, 0.99), 1),
        "viewers_web_cpu": round(busy, 3), "viewers_web_mb": round((web.memory_info().rss - memory) / 1e6, 1),
    }  # fmt: skip
