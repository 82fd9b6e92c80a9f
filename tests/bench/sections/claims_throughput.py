"""Sixteen claimers empty a queue: claims a second by the clock on the wall, and each claim's own time.

Each ends what it took at once, by one statement, so that the queue is all that they share; that is outside a
claim's time but inside the wall's. A cycle taken twice, or two at once on a project, would be a failure of
the claim, so both are looked for in what the claimers themselves say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.bench.claiming import Claimer
from tests.bench.site import percentile

if TYPE_CHECKING:
    from tests.bench.database import Server

TARGETS = {"claims taken twice": 0, "projects with two at once": 0, "cycles left in the queue": 0}
LEAST = {"claims a second": 200.0}


def measure(server: Server, sizes: dict[str, int]) -> dict[str, Any]:
    from tests.bench.rows import fill
    from webapp.cycles.choices import State
    from webapp.cycles.models import Cycle, Transition

    with server.fresh() as url:
        fill(projects=sizes["projects"], queued=sizes["queued"])
        claimers = [Claimer(f"claimer-{index}", url) for index in range(sizes["claimers"])]
        try:
            for claimer in claimers:
                claimer.wait_ready()
            before = server.processor_seconds()
            for claimer in claimers:
                claimer.begin()
            found = [claimer.end() for claimer in claimers]
            after = server.processor_seconds()
        finally:
            for claimer in claimers:
                claimer.stop()
        left = Cycle.objects.filter(state=State.QUEUED).count()
        taken = [each for claimer in found for each in claimer["taken"]]
        times = [(had - asked) * 1000 for _, _, asked, had, _ in taken]
        seconds = max(had for *_, had, _ in taken) - min(asked for _, _, asked, _, _ in taken)
        begun = Transition.objects.filter(to_state=State.STARTING)
        counts = Counter(begun.values_list("cycle_id", flat=True))
        counts_told = Counter(cycle for cycle, *_ in taken)
        twice = sum(count > 1 for count in counts.values()) + sum(n > 1 for n in counts_told.values())
    inside = sum(times) / 1000 / len(claimers)
    server_ms = None if before is None or after is None else round((after - before) * 1000 / len(taken), 2)
    return {
        "claims": len(taken),
        "claims a second": round(len(taken) / seconds, 1),
        "claims a second of time inside claim": round(len(taken) / inside, 1),
        "claim p50, ms": round(percentile(times, 0.5), 1),
        "claim p95, ms": round(percentile(times, 0.95), 1),
        "claim p99, ms": round(percentile(times, 0.99), 1),
        "statements a claim": round(sum(each["statements"] for each in found) / len(taken), 2),
        "database's processor ms a claim and its end": server_ms,
        "conflicts at the last guard": sum(each["conflicts"] for each in found),
        "told that nothing waits while something did": sum(each["dry"] for each in found),
        "claims taken twice": twice,
        "projects with two at once": two_at_once(taken),
        "cycles left in the queue": left,
    }


def two_at_once(taken: list[Any]) -> int:
    """Projects on which a claim was answered before the one before it was about to be ended."""
    held: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _, project, _, had, ending in taken:
        held[project].append((had, ending))
    return sum(
        any(later[0] < earlier[1] for earlier, later in pairwise(sorted(spans))) for spans in held.values()
    )
