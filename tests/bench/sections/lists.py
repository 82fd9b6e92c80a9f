"""Ten thousand cycles in a project beside one page of them: the time until the project's page has been sent.

Both pages are asked for in turn, so that whatever else the machine does falls on both; the median counts.
"""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.bench.site import cycles, percentile

if TYPE_CHECKING:
    from tests.bench.site import Site

FEW, MANY, ROUNDS = 15, 10_000, 30
# The same speed, up to what two medians of the same thing differ by.
TARGETS = {"lists_many_to_few": 1.25}


def measure(site: Site) -> dict[str, Any]:
    """Two projects alike but for their past."""
    from tests.webapp.live.people import COOKIE

    (few, many), (session,) = cycles(2)
    for cycle, count in ((few, FEW), (many, MANY)):
        _past(cycle.project, count)
    taken: dict[str, list[float]] = {"few": [], "many": []}
    for _ in range(ROUNDS):
        for name, cycle in (("few", few), ("many", many)):
            url = f"{site.web.url}/projects/{cycle.project_id}/"
            request = urllib.request.Request(url, headers={"Cookie": f"{COOKIE}={session}"})  # noqa: S310
            began = time.perf_counter()
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                answer.read()
            taken[name].append((time.perf_counter() - began) * 1000)
    middle = {name: percentile(values, 0.5) for name, values in taken.items()}
    return {
        "lists_few_ms": round(middle["few"], 1), "lists_many_ms": round(middle["many"], 1),
        "lists_many_to_few": round(middle["many"] / middle["few"], 2),
    }  # fmt: skip


def _past(project: Any, count: int) -> None:
    """Cycles that ended, up to `count`, with a report each."""
    from django.utils import timezone

    from tests.support.rows_free import free_states
    from tests.webapp.rows import REPORT
    from webapp.cycles.models import Cycle
    from webapp.projects.models import Project

    first = project.last_cycle_number + 1
    now = timezone.now()
    with free_states():
        Cycle.objects.bulk_create(
            (
                Cycle(
                    project=project, number=number, kind="sleep", state="succeeded", verdict="unchanged",
                    protocol=1, report=REPORT, started_at=now, finished_at=now, queued_at=now,
                )
                for number in range(first, count + 1)
            ),
            batch_size=1000,
        )  # fmt: skip
    Project.objects.filter(pk=project.pk).update(last_cycle_number=max(count, first - 1))
