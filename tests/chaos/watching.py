"""What the tests of the promises share: a supervisor in the test's own process, and an eye on a cycle."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.support.jobs import eventually, worker
from webapp.cycles.choices import TERMINAL
from webapp.cycles.claim import claim
from webapp.cycles.models import Cycle
from workers.devices import Device
from workers.lease import boottime
from workers.reaper import reap
from workers.supervisor import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable


def supervise(name: str = "bench-cpu-0") -> Cycle:
    """Claim the next cycle and supervise one attempt at it here, with a real trainer; its row afterwards."""
    began = boottime()
    cycle = claim(worker=worker(name))
    assert cycle is not None, "no cycle waits"
    Attempt(cycle, began=began, device=Device("cpu", 0), stopping=threading.Event()).run()
    return now(cycle)


def now(cycle: Cycle) -> Cycle:
    """The row as it is now."""
    return Cycle.objects.get(pk=cycle.pk)


def reached(cycle: Cycle, states: Iterable[str], timeout: float = 60.0) -> Cycle:
    """The row once it is in one of `states`; the reaper does its turns meanwhile."""
    wanted = frozenset(states)

    def there() -> Cycle | None:
        reap()
        found = now(cycle)
        assert found.state in wanted or found.state not in TERMINAL, found.error_message or found.state
        return found if found.state in wanted else None

    found = eventually(there, timeout=timeout, what=f"{' or '.join(sorted(wanted))}")
    assert found is not None
    return found


def taken(cycle: Cycle) -> list[str]:
    """The states that it went through, in order."""
    return list(cycle.transitions.order_by("id").values_list("to_state", flat=True))
