"""What an open page costs: script time at ten frames a second with all charts, and its assets' bytes."""

from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING, Any

from tests.bench import writers
from tests.bench.site import cycles

if TYPE_CHECKING:
    from playwright.sync_api import Response

    from tests.bench.site import Site

SECONDS, RATE = 20.0, 10.0
TARGETS = {"scripting_share": 0.10, "assets_gzip_kb": 150.0, "assets_foreign": 0.0}


def measure(site: Site) -> dict[str, Any]:
    """ScriptDuration and TaskDuration as Chromium counts them, over the time of a night."""
    (cycle,), (session, *_) = cycles(1)
    page = site.page(session)
    bodies: dict[str, bytes] = {}

    def note(response: Response) -> None:
        if response.ok:
            bodies[response.url] = response.body()

    page.on("response", note)
    page.goto(f"{site.web.url}/cycles/{cycle.pk}/")
    page.locator("[data-livechip][data-kind=live]").wait_for()
    page.wait_for_load_state("networkidle")
    assets = {url: body for url, body in bodies.items() if "/static/" in url}
    session_of_page = page.context.new_cdp_session(page)
    session_of_page.send("Performance.enable")

    def metrics() -> dict[str, float]:
        found = session_of_page.send("Performance.getMetrics")["metrics"]
        return {item["name"]: item["value"] for item in found}

    before, began = metrics(), time.perf_counter()
    writers.wait(writers.start([cycle], seconds=SECONDS, rate=RATE))
    after, seconds = metrics(), time.perf_counter() - began
    charts = page.locator("[data-chart]").count()
    page.context.close()
    share = {name: (after[name] - before[name]) / seconds for name in ("ScriptDuration", "TaskDuration")}
    return {
        "scripting_share": round(share["ScriptDuration"], 4),
        "scripting_tasks": round(share["TaskDuration"], 4),
        "scripting_charts": charts, "assets_files": len(assets),
        "assets_gzip_kb": round(sum(len(gzip.compress(body, 6)) for body in assets.values()) / 1000, 1),
        "assets_foreign": sum(1 for url in bodies if not url.startswith(site.web.url)),
    }  # fmt: skip
