"""From the commit of a frame to its paint, with several cycles and viewers.

A frame's clock starts when its row is written (`committed_at`) and stops in the animation frame after the
one in which the page drew it; both are this machine's clock.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any

from tests.bench import writers
from tests.bench.site import cycles, percentile

if TYPE_CHECKING:
    from tests.bench.site import Site

CYCLES, VIEWERS, SECONDS, RATE = 4, 20, 20.0, 10.0
TARGETS = {"paint_p50_ms": 100.0, "paint_p95_ms": 250.0}

COLLECT = """() => {
  window.__paints = [];
  new PerformanceObserver((list) => {
    for (const mark of list.getEntriesByName("nocturne.paint"))
      window.__paints.push([mark.detail.seq, performance.timeOrigin + mark.startTime]);
  }).observe({ type: "mark", buffered: true });
}"""


def measure(site: Site) -> dict[str, Any]:
    """Open the pages, write the nights, collect what was painted when."""
    made, sessions = cycles(CYCLES, people=4)
    pages = []
    for viewer in range(VIEWERS):
        page, cycle = site.page(sessions[viewer % len(sessions)]), made[viewer % len(made)]
        page.goto(f"{site.web.url}/cycles/{cycle.pk}/")
        page.locator("[data-livechip][data-kind=live]").wait_for()
        page.evaluate(COLLECT)
        pages.append((page, cycle))
    first = {cycle.pk: cycle.seq for cycle in made}
    writers.wait(writers.start(made, seconds=SECONDS, rate=RATE))
    values: list[float] = []
    for page, cycle in pages:
        cycle.refresh_from_db()
        shown = "n => window.__paints.some(([seq]) => seq >= n)"
        page.wait_for_function(shown, arg=cycle.seq, timeout=20_000)
        paints = [(int(seq), float(at)) for seq, at in page.evaluate("window.__paints")]
        values += latencies(cycle, paints, first[cycle.pk])
        page.context.close()
    return {
        "paint_cycles": CYCLES, "paint_viewers": VIEWERS, "paint_frames": len(values),
        "paint_p50_ms": round(percentile(values, 0.5), 1), "paint_p95_ms": round(percentile(values, 0.95), 1),
        "paint_p99_ms": round(percentile(values, 0.99), 1), "paint_max_ms": round(max(values), 1),
    }  # fmt: skip


def latencies(cycle: Any, paints: list[tuple[int, float]], since: int) -> list[float]:
    """Milliseconds from each frame's row to the first paint that shows it; never painted is an error."""
    from webapp.live.models import Frame

    seqs = [seq for seq, _at in paints]
    found = []
    for seq, committed in Frame.objects.filter(cycle=cycle, seq__gt=since).values_list("seq", "committed_at"):
        place = bisect.bisect_left(seqs, seq)
        if place == len(seqs):
            raise SystemExit(f"frame {seq} was never painted")
        found.append(paints[place][1] - committed.timestamp() * 1000)
    return found
