"""A cycle of a million points: how soon a page that is opened late shows it, and how soon a zoom is finer.

The server has served the page once before, as it has to anybody but the first visitor since its start; the
browser has nothing of it: each visit is a context of its own with an empty cache.
"""

from __future__ import annotations

import math
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.site import cycles

if TYPE_CHECKING:
    from tests.bench.site import Site

POINTS, A_FRAME, VISITS = 1_000_000, 250, 5
TARGETS = {"history_first_paint_ms": 1000.0, "history_zoom_ms": 200.0}

# From the navigation to the animation frame in which the loss has all its rows.
PAINTED = """async () => {
  const card = document.querySelector('[data-chart=loss]');
  while (!(Number(card.dataset.points) > 1000)) await new Promise(requestAnimationFrame);
  return performance.now();
}"""
# From a zoom (by the wheel of time: the view's own link) to finer rows on the page.
ZOOMED = """async () => {
  const root = document.querySelector('[data-cycle]');
  while (root.dataset.detail === undefined) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - window.released;
}"""


def measure(site: Site) -> dict[str, Any]:
    """Write the frames as a worker does, then open the page six times and zoom each time; medians of five."""
    (cycle,), (session, *_) = cycles(1)
    began = time.perf_counter()
    _write(cycle)
    wrote = time.perf_counter() - began
    first: list[float] = []
    zooms: list[float] = []
    sizes: list[int] = []
    for _ in range(1 + VISITS):
        page = site.page(session)
        page.on("response", lambda r: sizes.append(len(r.body())) if "/history" in r.url else None)
        page.goto(f"{site.web.url}/cycles/{cycle.pk}/", wait_until="commit")
        first.append(
            float(page.evaluate(f"({PAINTED})()")) if page.wait_for_selector("[data-chart=loss]") else 0
        )
        page.evaluate("addEventListener('mouseup', () => { window.released = performance.now(); }, true)")
        box = page.locator("[data-chart=loss] .u-over").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.40, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + 40, steps=4)
        page.mouse.up()
        zooms.append(float(page.evaluate(f"({ZOOMED})()")))
        page.context.close()
    return {
        "history_points": POINTS, "history_write_s": round(wrote, 1), "history_bytes": max(sizes),
        "history_first_paint_ms": round(median(first[1:]), 1), "history_zoom_ms": round(median(zooms[1:]), 1),
    }  # fmt: skip


def _write(cycle: Any) -> None:
    from tests.support import night

    stage = {"kind": "stage_started", "stage": "NREM replay", "round": 1, "t": 0.0, "step": 0}
    head = {"progress": 0.0, "step": 0, "total_steps": POINTS}
    night.flush(cycle, head | {"events": [stage], "t": 0.0})
    for start in range(1, POINTS + 1, A_FRAME):
        steps = list(range(start, start + A_FRAME))
        loss = [round(1 + math.sin(step / 700) + (step % 97) / 300, 5) for step in steps]
        points = {
            "step": steps, "t": [step / 50 for step in steps], "loss": loss, "ce": loss, "distill": loss,
            "grad_norm": loss, "lr": [0.1] * A_FRAME, "noise": [0.05] * A_FRAME,
        }  # fmt: skip
        body = {"points": points, "events": [], "t": steps[-1] / 50}
        night.flush(cycle, head | body | {"step": steps[-1], "progress": steps[-1] / POINTS})
