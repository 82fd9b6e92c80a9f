"""From a person's cancel to the state cancelled: of a trainer that listens, and of two that do not.

Real workers with the lease of every day. A trainer that listens is told at a step. Of the others, one is
frozen by SIGSTOP before the wish comes, and one is in the middle of a step of minutes (a fault point).
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.crew import Crew
    from tests.bench.database import Server
    from tests.support.jobs import Lab

LEASE, ENDLESS, LONG_STEP = 45, 10_000, 1000
FAULTS = f"trainer.step:sleep:180@{LONG_STEP}"
TARGETS = {
    "cancel: at a step, worst s": 10.0,
    "cancel: of a frozen trainer, s": 30.0,
    "cancel: in a step of minutes, s": 30.0,
}


def measure(server: Server, sizes: dict[str, int]) -> dict[str, Any]:
    from tests.bench.crew import Crew
    from tests.support.jobs import Lab

    with server.fresh() as url:
        lab = Lab.make()
        with Crew(url, nights=1, lease=LEASE) as crew:
            listening = [
                _cancelled_after(lab.another_project(f"listens {number}"), crew)
                for number in range(sizes["times"])
            ]
            frozen = _cancelled_after(lab.another_project("is frozen"), crew, freeze=True)
        with Crew(url, nights=1, lease=LEASE, faults=FAULTS) as crew:
            busy = _cancelled_after(lab.another_project("is busy"), crew, busy=True)
    return {
        "cancel: times": len(listening),
        "cancel: at a step, worst s": round(max(listening), 2),
        "cancel: of a frozen trainer, s": round(frozen, 2),
        "cancel: in a step of minutes, s": round(busy, 2),
    }


def _cancelled_after(lab: Lab, crew: Crew, *, freeze: bool = False, busy: bool = False) -> float:
    """Seconds by the database's clock between the wish and its end."""
    from tests.support.jobs import eventually
    from tests.support.processes import at_step, gone
    from webapp.cycles.choices import State
    from webapp.cycles.models import Transition
    from webapp.cycles.steering import cycle_cancel

    cycle = lab.wake(0, epochs=ENDLESS)
    at_step(cycle, LONG_STEP - 100 if busy else 50)
    if busy:
        time.sleep(2)
    cycle.refresh_from_db()
    trainer = crew.trainer(cycle)
    if freeze:
        trainer.send_signal(signal.SIGSTOP)
    cycle_cancel(actor=lab.alice, cycle=cycle)
    steps = Transition.objects.filter(cycle=cycle)
    end = eventually(steps.filter(to_state=State.CANCELLED).first, timeout=90, what="the end of the cycle")
    assert end is not None
    gone(trainer)
    return (end.at - steps.get(to_state=State.CANCELLING).at).total_seconds()
