"""A worker is killed together with its trainer, by SIGKILL: how long until another has claimed the cycle?

Real workers, chores and clock, with a lease of 6 s and a tick of 2 s; nobody tells them anything. Each round
is a cycle on a project of its own, killed at a moment that falls anywhere between two renewals and two ticks.
The longest that the design allows is a lease and a tick: the last renewal was just made, and so was the tick.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from tests.bench.site import percentile

if TYPE_CHECKING:
    from datetime import datetime

    from tests.bench.database import Server

LEASE, TICK, ENDLESS = 6, 2, 10_000
TARGETS = {"requeue: claimed again, worst s": float(LEASE + TICK)}


def measure(server: Server, sizes: dict[str, int]) -> dict[str, Any]:
    from tests.bench.crew import Crew
    from tests.support.jobs import Lab, eventually
    from tests.support.processes import at_step
    from webapp.cycles.choices import State
    from webapp.cycles.models import Cycle, Transition
    from webapp.cycles.steering import cycle_cancel

    draw = random.Random(0)
    queued: list[float] = []
    claimed: list[float] = []
    with server.fresh() as url:
        lab = Lab.make()
        with Crew(url, nights=2, lease=LEASE, tick=TICK) as crew:
            for number in range(sizes["times"]):
                cycle = lab.another_project(f"round {number}").wake(0, epochs=ENDLESS)
                at_step(cycle, 50)
                time.sleep(draw.uniform(0, TICK))
                cycle.refresh_from_db()
                killed_at = database_now()
                index = crew.kill_with_trainer(cycle)
                steps = Transition.objects.filter(cycle=cycle, at__gt=killed_at)
                again = eventually(
                    steps.filter(to_state=State.STARTING).first, timeout=60, what="the second claim"
                )
                assert again is not None
                back = steps.get(to_state=State.QUEUED)
                queued.append((back.at - killed_at).total_seconds())
                claimed.append((again.at - killed_at).total_seconds())
                cycle_cancel(actor=lab.alice, cycle=cycle)
                ended = Cycle.objects.filter(pk=cycle.pk, state=State.CANCELLED)
                eventually(ended.exists, timeout=60, what="the end of the round")
                crew.start_nights(index)
    return {
        "requeue: lease and tick, s": f"{LEASE} and {TICK}",
        "requeue: kills": len(claimed),
        "requeue: in the queue again, worst s": round(max(queued), 2),
        "requeue: claimed again, median s": round(percentile(claimed, 0.5), 2),
        "requeue: claimed again, worst s": round(max(claimed), 2),
    }


def database_now() -> datetime:
    """The clock that also stamps transitions."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
