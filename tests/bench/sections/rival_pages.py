"""The pages on which the three products show one metric, and how it is read there what has been drawn.

A script in the page asks in every animation frame for the last step that is drawn, and notes the frame
after the one in which it found a newer one: [step, ms since 1970, ms since the navigation began]. "Drawn"
is:

- Nocturne: the points behind the loss chart, which its card states once uPlot has been given them. The
  steps count from 1 without a hole, so the number of points is the last step.
- MLflow: the last x in the data from which Plotly computed the drawing, while its line is in the SVG.
- TensorBoard: the last step in the table under the line chart, once the chart's canvas has pixels on it.
  A worker draws the canvas a moment after the table; for points that come later that moment is not
  counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from playwright.sync_api import TimeoutError

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.bench.site import Site

VIEWPORT = {"width": 1440, "height": 1060}

RECORD = """
window.seen = [];
(() => {
  const step = %s;
  let last = -1;
  const look = () => {
    const now = step();
    if (now > last) {
      last = now;
      requestAnimationFrame(() => window.seen.push([now, Date.now(), performance.now()]));
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();
"""

NOCTURNE = """() => {
  const card = document.querySelector("[data-chart=loss]");
  const merged = / of ([\\d,]+) points/.exec(card?.querySelector("[data-note]")?.textContent ?? "");
  return merged ? Number(merged[1].replaceAll(",", "")) : Number(card?.dataset.points ?? -1);
}"""
NOCTURNE_ROWS = "() => Number(document.querySelector('[data-chart=loss]').dataset.points)"

MLFLOW = """() => {
  const plot = document.querySelector(".js-plotly-plot");
  if (!plot?.calcdata || !plot.querySelector(".scatterlayer path.js-line")?.getAttribute("d")) return -1;
  return Math.max(-1, ...plot.calcdata.map((trace) => trace.at(-1)?.x ?? -1));
}"""
MLFLOW_ROWS = "() => document.querySelector('.js-plotly-plot').data[0].x.length"

TENSORBOARD = """() => {
  const card = document.querySelector("scalar-card");
  if (!card) return -1;
  const titles = [...card.querySelectorAll("tb-data-table-header-cell")];
  const column = titles.findIndex((title) => title.textContent.trim() === "Step");
  const cell = card.querySelectorAll("tb-data-table-content-cell")[column];
  if (!cell) return -1;
  if (!window.inked) {
    const canvas = card.querySelector("canvas");
    if (!canvas?.width || !canvas?.height) return -1;
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    window.inked = copy.getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0);
  }
  return window.inked ? Number(cell.textContent.replace(/\\D/g, "")) : -1;
}"""
# What the card itself asks for, asked once more.
TENSORBOARD_DATA = "/experiment/defaultExperimentId/data/plugin/timeseries/timeSeries"
TENSORBOARD_ROWS = """async () => {
  const body = new FormData();
  body.append("requests", JSON.stringify([{ plugin: "scalars", tag: "loss" }]));
  const [found] = await (await fetch("PATH", { method: "POST", body })).json();
  return Object.values(found.runToSeries)[0].length;
}""".replace("PATH", TENSORBOARD_DATA)
# The box "Reload data" in the settings, as the page remembers it; 30 s is the default and the least.
TENSORBOARD_AUTO = "localStorage.setItem('_tb_global_settings', JSON.stringify({ autoReload: true }));"
TENSORBOARD_PRESS = """async (step) => {
  while (!window.seen.some(([drawn]) => drawn >= step)) {
    document.querySelector(".reload-button").click();
    await new Promise((done) => setTimeout(done, 100));
  }
}"""


@dataclass(frozen=True)
class View:
    """A page, how to read the last step drawn on it, and how many rows or points its line has."""

    url: str
    step: str
    rows: str
    session: str | None = None
    before: str = ""

    def open(self, site: Site) -> Page:
        """A browser context of its own, so with nothing cached; returns when the answer begins."""
        if self.session is None:
            page = site.browser.new_context(viewport=VIEWPORT).new_page()  # type: ignore[arg-type]
        else:
            page = site.page(self.session)
        page.add_init_script(self.before + RECORD % self.step)
        page.goto(self.url, wait_until="commit")
        return page


def nocturne(site: Site, cycle: Any, session: str) -> View:
    """The page of the cycle."""
    return View(f"{site.web.url}/cycles/{cycle.pk}/", NOCTURNE, NOCTURNE_ROWS, session)


def mlflow_run(url: str, where: dict[str, str]) -> View:
    """The charts of the run: "Model metrics". Auto-refresh is on there from the start."""
    path = f"/#/experiments/{where['experiment']}/runs/{where['run']}/model-metrics"
    return View(url + path, MLFLOW, MLFLOW_ROWS)


def mlflow_metric(url: str, where: dict[str, str]) -> View:
    """The page of the metric alone, by step."""
    asked = {
        "runs": f'["{where["run"]}"]', "metric": '"loss"', "experiments": f'["{where["experiment"]}"]',
        "plot_metric_keys": '["loss"]', "x_axis": "step",
    }  # fmt: skip
    query = "&".join(f"{key}={quote(item)}" for key, item in asked.items())
    return View(f"{url}/#/metric/loss?{query}", MLFLOW, MLFLOW_ROWS)


def tensorboard(url: str, *, auto: bool = False) -> View:
    """The time series; it reloads by itself only when asked to."""
    return View(url + "/", TENSORBOARD, TENSORBOARD_ROWS, before=TENSORBOARD_AUTO if auto else "")


def press(page: Page, step: int) -> None:
    """TensorBoard's button, until the step is drawn."""
    page.locator(".reload-button").wait_for()
    page.evaluate(TENSORBOARD_PRESS, step)


def until(page: Page, step: int, *, seconds: float = 60) -> tuple[float, float]:
    """Waits until a step is drawn; when it was: (ms since 1970, ms since the navigation began)."""
    shown = "(step) => window.seen?.some(([drawn]) => drawn >= step)"
    try:
        page.wait_for_function(shown, arg=step, timeout=seconds * 1000)
    except TimeoutError as error:
        raise SystemExit(f"{page.url} did not draw step {step}; it drew {seen(page)[-5:]}") from error
    at, since = page.evaluate("(step) => window.seen.find(([drawn]) => drawn >= step).slice(1)", step)
    return float(at), float(since)


def seen(page: Page) -> list[tuple[int, float]]:
    """All that was noted: (step, ms since 1970)."""
    return [(int(step), float(at)) for step, at, _since in page.evaluate("window.seen")]
