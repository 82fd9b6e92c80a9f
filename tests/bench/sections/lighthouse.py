"""Lighthouse's performance and accessibility of every page, as a person at a desk and one on a phone see it.

Lighthouse comes by npm into a temporary folder. Its default throttling is simulated: a slow phone on slow
4G, and a desktop on a fast line. A page that misses a target is looked at twice more, and the median counts,
because whatever else the machine does costs points.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.site import FLAGS

if TYPE_CHECKING:
    from tests.bench.site import Site

VERSION = "12.8.2"
FORMS = ("desktop", "mobile")
CATEGORIES = ("performance", "accessibility")
TARGETS: dict[str, float] = {}
LEAST = {"lighthouse_performance_min": 95.0, "lighthouse_accessibility_min": 95.0}

# One state of each page: the one with the most on it, and where they differ much, the empty one too.
PAGES = (
    "tonight, new", "tonight, busy", "projects", "new project", "project, blank", "project, slept", "upload",
    "memories", "new sleep", "new wake", "sleep, waiting", "sleep, running", "sleep, improved",
    "sleep, failed", "checkpoint, older", "schedules", "schedules of a project", "schedule", "fleet",
    "settings", "members", "audit log", "password", "log out", "log in", "inactive", "welcome", "not found",
)  # fmt: skip


def measure(site: Site) -> dict[str, Any]:
    """Look at each page in each form, print what is found, and return the lowest figures with their pages."""
    from tests.support.places import furnish

    everything = furnish()
    pages = [_page(site, everything, name, form) for name in PAGES for form in FORMS]
    with tempfile.TemporaryDirectory(prefix="noct-lighthouse-") as folder:
        _fetch(Path(folder))
        found = {(one["name"], one["form"]): [one] for one in _look(Path(folder), pages)}
        again = [page for page in pages if _missed(found[page["name"], page["form"]][0])]
        for one in _look(Path(folder), again * 2):
            found[one["name"], one["form"]].append(one)
    result: dict[str, Any] = {"lighthouse_pages": len(PAGES), "lighthouse_version": VERSION}
    for category in CATEGORIES:
        lowest, where = min((_figure(runs, category), where) for where, runs in found.items())
        result |= {f"lighthouse_{category}_min": lowest, f"lighthouse_{category}_at": ", ".join(where)}
    return result


def _page(site: Site, everything: Any, name: str, form: str) -> dict[str, Any]:
    from tests.webapp.live.people import COOKIE

    place = everything.place(name)
    cookie = {"name": COOKIE, "value": everything.sessions[place.who]} if place.who else None
    return {"name": name, "url": site.web.url + place.path, "cookie": cookie, "form": form}


def _fetch(folder: Path) -> None:
    """Lighthouse and the script that drives it, side by side."""
    npm, script = shutil.which("npm"), Path(__file__).with_suffix(".mjs")
    if npm is None:
        raise SystemExit("npm is missing: Lighthouse needs Node 18 or newer with npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    subprocess.run([*command, f"lighthouse@{VERSION}"], cwd=folder, check=True)
    shutil.copy(script, folder / "run.mjs")


def _look(folder: Path, pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One result a page: name, form, performance, accessibility (0 to 100) and what cost points."""
    from tests.support import night

    job = json.dumps({"chromium": shutil.which("chromium"), "flags": FLAGS, "pages": pages})
    command = ["node", "run.mjs"]
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(job)
    process.stdin.close()
    results = []
    for line in process.stdout:
        results.append(one := json.loads(line))
        figures = "  ".join(f"{category} {one[category]}" for category in CATEGORIES)
        print(f"  {one['name']:24} {one['form']:8} {figures}  {'; '.join(one['costs'])}", flush=True)
        night.worker()  # alive for the next page too
        wanted = pages[len(results) - 1]["url"]
        if one["landed"] != wanted:
            process.terminate()
            raise SystemExit(f"Lighthouse did not see {wanted}: {one}")
    if process.wait() != 0 or len(results) != len(pages):
        raise SystemExit("Lighthouse ended before it had seen every page")
    return results


def _missed(one: dict[str, Any]) -> bool:
    return any(one[category] < LEAST[f"lighthouse_{category}_min"] for category in CATEGORIES)


def _figure(runs: list[dict[str, Any]], category: str) -> float:
    return float(median(run[category] for run in runs))
