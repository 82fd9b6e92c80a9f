"""How soon a page shows a long series that is opened late, in all three products. What counts: rivals.py."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.sections import rival_pages as pages
from tests.bench.sections.rival_ours import TOTAL, Ours

if TYPE_CHECKING:
    from tests.bench.sections.rival_env import Rivals
    from tests.bench.site import Site

OPENINGS = 3
ALL = ("--samples_per_plugin", f"scalars={TOTAL}")


def show(site: Site, rivals: Rivals, mlflow_url: str) -> dict[str, Any]:
    """Log the series everywhere, then open the pages in turn: what else the machine does falls on all."""
    logs = rivals.folder / "long"
    with ExitStack() as stack:
        mlflow = stack.enter_context(rivals.writer("mlflow", mlflow_url))
        board = stack.enter_context(rivals.writer("tensorboard", str(logs / "run")))
        for writer in (mlflow, board):
            writer.begin(TOTAL)
        ours = Ours()
        ours.log(TOTAL)
        for writer in (mlflow, board):
            writer.end()
        plain_url = stack.enter_context(rivals.tensorboard(logs))
        all_url = stack.enter_context(rivals.tensorboard(logs, *ALL))
        for url in (plain_url, all_url):
            _until_read(url)
        views = {
            "nocturne": pages.nocturne(site, ours.cycle, ours.session),
            "mlflow": pages.mlflow_run(mlflow_url, mlflow.where),
            "mlflow_metric_page": pages.mlflow_metric(mlflow_url, mlflow.where),
            "tensorboard": pages.tensorboard(plain_url),
            "tensorboard_all": pages.tensorboard(all_url),
        }
        rows: dict[str, int] = {}
        taken: dict[str, list[float]] = {name: [] for name in views}
        for _ in range(OPENINGS):
            for name, view in views.items():
                tab = view.open(site)
                taken[name].append(pages.until(tab, TOTAL)[1])
                rows[name] = int(tab.evaluate(view.rows))
                tab.context.close()
    return {f"rival_show_100k_rows_{name}": count for name, count in rows.items()} | {
        f"rival_show_100k_ms_{name}": round(median(times), 1) for name, times in taken.items()
    }


def _until_read(url: str) -> None:
    """TensorBoard answers before it has read the files: until it has the last point."""
    asked = urllib.parse.urlencode({"requests": json.dumps([{"plugin": "scalars", "tag": "loss"}])})
    deadline = time.monotonic() + 120
    while True:
        with urllib.request.urlopen(url + pages.TENSORBOARD_DATA, asked.encode()) as answer:  # noqa: S310
            series = json.load(answer)[0].get("runToSeries", {})
        if any(points and points[-1]["step"] == TOTAL for points in series.values()):
            return
        if time.monotonic() > deadline:
            raise SystemExit("TensorBoard did not read the series within two minutes")
        time.sleep(0.5)
