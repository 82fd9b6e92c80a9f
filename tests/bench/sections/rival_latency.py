"""From the call that logs one point until it is drawn, in all three products. What counts: rivals.py."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.sections import rival_pages as pages
from tests.bench.sections.rival_ours import Ours
from tests.bench.site import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Page

    from tests.bench.sections.rival_env import Rivals, Writer
    from tests.bench.site import Site

    Logged = list[tuple[int, float]]

# Two of the rivals' refresh periods of 30 s, so that points fall evenly into them; and no whole number of
# pictures apart (1.5 s would be 90), so that they fall evenly between those too.
POINTS, EVERY, RELOADS = 40, 1.51, 20
FIRST = 3  # points that are there when the pages are opened, so that there is a line
FASTEST = ("--load_fast", "false", "--reload_interval", "0.1")


def latency(site: Site, rivals: Rivals, mlflow_url: str) -> dict[str, Any]:
    """Each page as it refreshes itself, then the rivals' when somebody asks for each point by hand."""
    logs = rivals.folder / "live"
    with ExitStack() as stack:
        mlflow = stack.enter_context(rivals.writer("mlflow", mlflow_url))
        board = stack.enter_context(rivals.writer("tensorboard", str(logs / "run")))
        ours = Ours()
        loggers: dict[str, Ours | Writer] = {"nocturne": ours, "mlflow": mlflow, "tensorboard": board}
        for logger in loggers.values():
            for _ in range(FIRST):
                logger.log()
        plain_url = stack.enter_context(rivals.tensorboard(logs))
        fast_url = stack.enter_context(rivals.tensorboard(logs, *FASTEST))
        tabs = {
            "nocturne": pages.nocturne(site, ours.cycle, ours.session).open(site),
            "mlflow": pages.mlflow_run(mlflow_url, mlflow.where).open(site),
            "tensorboard": pages.tensorboard(fast_url, auto=True).open(site),
        }
        untouched = pages.tensorboard(plain_url).open(site)
        for tab in (tabs["tensorboard"], untouched):
            pages.press(tab, FIRST)
        for tab in tabs.values():
            pages.until(tab, FIRST)
        logged = _log_in_turn(loggers)
        drawn: dict[str, Logged] = {}
        for name, tab in tabs.items():
            pages.until(tab, FIRST + POINTS)
            drawn[name] = pages.seen(tab)
        alone = pages.seen(untouched)[-1][0] > FIRST
        waits = {name: _waits(logged[name], drawn[name]) for name in tabs}
        waits["mlflow_reload"] = [_reloaded(mlflow, tabs["mlflow"]) for _ in range(RELOADS)]
        waits["tensorboard_reload"] = [_pressed(board, tabs["tensorboard"]) for _ in range(RELOADS)]
        for tab in (*tabs.values(), untouched):
            tab.context.close()
    return (
        {"rival_latency_points": POINTS, "rival_latency_reloads": RELOADS}
        | {f"rival_latency_p50_ms_{name}": round(percentile(ms, 0.5), 1) for name, ms in waits.items()}
        | {f"rival_latency_p95_ms_{name}": round(percentile(ms, 0.95), 1) for name, ms in waits.items()}
        | {f"rival_redraws_{name}": _redraws(drawn[name], name != "tensorboard" or alone) for name in tabs}
    )


def _log_in_turn(loggers: dict[str, Ours | Writer]) -> dict[str, Logged]:
    """A point to each in turn, evenly, so that no two are at work in the same moment."""
    logged: dict[str, Logged] = {name: [] for name in loggers}
    began = time.monotonic()
    for number in range(POINTS * len(loggers)):
        name = list(loggers)[number % len(loggers)]
        time.sleep(max(0.0, began + number * EVERY / len(loggers) - time.monotonic()))
        logged[name].append(loggers[name].log())
    return logged


def _waits(logged: Sequence[tuple[int, float]], drawn: Sequence[tuple[int, float]]) -> list[float]:
    """Milliseconds from each call to the first frame that shows its point or a later one."""
    return [next(at for step, at in drawn if step >= wanted) - began for wanted, began in logged]


def _redraws(drawn: Logged, alone: bool) -> str:
    """How often a page showed something new, in words."""
    apart = median(after - before for (_, before), (_, after) in pairwise(drawn))
    how = "by itself" if alone else "never by itself until auto reload is ticked, then"
    return f"{how} every {apart / 1000:.1f} s"


def _reloaded(writer: Writer, tab: Page) -> float:
    step, began = writer.log()
    tab.reload(wait_until="commit")
    return pages.until(tab, step)[0] - began


def _pressed(writer: Writer, tab: Page) -> float:
    step, began = writer.log()
    pages.press(tab, step)
    return pages.until(tab, step)[0] - began
