"""What a past of a hundred thousand ended cycles does to a claim: two databases with the same queue, in turn.

The ended cycles lie on the same projects, with the transitions, frames and audit entries of each; both
databases are analysed. One claimer on each, taking turns in alternating order, so that whatever else the
machine does falls on both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench.claiming import Claimer
from tests.bench.intervals import bootstrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.bench.database import Server

FEW, A_TURN = 100, 20
TARGETS = {"growth: p95, many / few": 2.0}


def measure(server: Server, sizes: dict[str, int]) -> dict[str, Any]:
    from tests.bench.rows import fill

    names = ("few", "many")
    turns = max(2, sizes["claims"] // A_TURN)
    with server.fresh() as few, server.fresh() as many:
        urls = {"few": few, "many": many}
        for name, ended in zip(names, (FEW, sizes["finished"]), strict=True):
            server.use(urls[name])
            queued = max(sizes["queued"], (1 + turns) * A_TURN)
            fill(projects=sizes["projects"], queued=queued, finished=ended)
        claimers = {name: Claimer(f"claimer-{name}", urls[name]) for name in names}
        try:
            for claimer in claimers.values():
                claimer.wait_ready()
            rows: dict[str, list[list[float]]] = {name: [] for name in names}
            for turn in range(1 + turns):
                for name in names if turn % 2 else reversed(names):
                    claimers[name].begin(A_TURN)
                    taken = claimers[name].end()["taken"]
                    if turn:  # the first warms up
                        rows[name].append([(had - asked) * 1000 for _, _, asked, had, _ in taken])
        finally:
            for claimer in claimers.values():
                claimer.stop()
    times = {name: np.asarray(values) for name, values in rows.items()}
    low, high = bootstrap(lambda drawn: _p95(times["many"][drawn]) / _p95(times["few"][drawn]), turns)
    return {
        "growth: ended cycles": f"{FEW} and {sizes['finished']}",
        "growth: claims of each": turns * A_TURN,
        "growth: p50, ms": f"{np.median(times['few']):.2f} and {np.median(times['many']):.2f}",
        "growth: p95, ms": f"{_p95(times['few']):.2f} and {_p95(times['many']):.2f}",
        "growth: p95, many / few": round(_p95(times["many"]) / _p95(times["few"]), 3),
        "growth: 95 % of that": f"{low:.3f} to {high:.3f}",
    }


def _p95(times: NDArray[np.float64]) -> float:
    return float(np.quantile(times, 0.95))
