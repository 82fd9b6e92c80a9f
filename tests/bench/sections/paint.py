"""From the commit of a frame to its paint, with four cycles and twenty viewers.

A frame's clock starts when its row is written (`committed_at`) and stops in the animation frame after the
one in which the page drew it; both are this machine's clock.

Of the twenty viewers four are real pages in Chromium, one a cycle, whose paints are what is measured; sixteen
are sockets that take every frame. People look from machines of their own: twenty pages that draw on the two
cores which also serve them would measure how fast those draw. That is measured too, and printed without a
target (`paint_all_...`: twenty pages of one Chromium, all drawing, on this machine).
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING, Any

from tests.bench import watching, writers
from tests.bench.site import cycles, percentile

if TYPE_CHECKING:
    from tests.bench.site import Site

CYCLES, VIEWERS, SECONDS, RATE = 4, 20, 20.0, 10.0
PAGES = 4
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
    values = _painted(site, PAGES)
    everywhere = _painted(site, VIEWERS)
    return {
        "paint_cycles": CYCLES, "paint_viewers": VIEWERS, "paint_pages": PAGES, "paint_frames": len(values),
        "paint_p50_ms": round(percentile(values, 0.5), 1), "paint_p95_ms": round(percentile(values, 0.95), 1),
        "paint_p99_ms": round(percentile(values, 0.99), 1), "paint_max_ms": round(max(values), 1),
        "paint_all_p50_ms": round(percentile(everywhere, 0.5), 1),
        "paint_all_p95_ms": round(percentile(everywhere, 0.95), 1),
    }  # fmt: skip


def _painted(site: Site, drawing: int) -> list[float]:
    """Milliseconds of each frame on each of the pages that draw; the other viewers are sockets."""
    made, sessions = cycles(CYCLES, people=4)
    first = {cycle.pk: cycle.seq for cycle in made}
    sockets = [
        watching.start(site.web.port, cycle.pk, cycle.seq, [session], (VIEWERS - drawing) // CYCLES)
        for cycle, session in zip(made, sessions, strict=True)
        if drawing < VIEWERS
    ]
    pages = []
    for viewer in range(drawing):
        page, cycle = site.page(sessions[viewer % len(sessions)]), made[viewer % len(made)]
        page.goto(f"{site.web.url}/cycles/{cycle.pk}/")
        page.locator("[data-livechip][data-kind=live]").wait_for()
        page.evaluate(COLLECT)
        pages.append((page, cycle))
    writers.wait(writers.start(made, seconds=SECONDS, rate=RATE))
    values: list[float] = []
    for cycle in made:
        cycle.refresh_from_db()
    for page, cycle in pages:
        shown = "n => window.__paints.some(([seq]) => seq >= n)"
        page.wait_for_function(shown, arg=cycle.seq, timeout=20_000)
        paints = [(int(seq), float(at)) for seq, at in page.evaluate("window.__paints")]
        values += latencies(cycle, paints, first[cycle.pk])
        page.context.close()
    for cycle, socket in zip(made, sockets, strict=False):
        if (lost := watching.finish(socket, cycle.seq)["lost"]) > 0:
            raise SystemExit(f"{lost} frames never reached a viewer")
    return values


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
