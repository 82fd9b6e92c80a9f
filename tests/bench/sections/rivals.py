"""The same work in Nocturne, MLflow and TensorBoard in one run: a live point, and a long series opened late.

The section installs both rivals into an environment of their own (rival_env.py). All servers are on
loopback, the browser is the same, and rival_pages.py says what "drawn" means on each page.

Latency (rival_latency.py): from the beginning of the call that logs one point to the animation frame
after the one that drew it. Each product gets a point every 1.5 s, half a second after the one before it,
for two of the rivals' refresh periods. The calls are MlflowClient.log_metric to `mlflow server` on
SQLite, TensorBoard's own writer of event files flushed after the point, and the service by which our
workers write frames (a worker itself may wait 100 ms for more points, and does not when they are rarer).
We are compared with the better of two ways to look at each rival:

- as its page refreshes itself, at the shortest interval it can have. MLflow's run page does so from the
  start; TensorBoard's does not until a box is ticked, and then its server reads the files every 0.1 s
  instead of 5;
- "reload": somebody asks by hand in the moment a point is logged. MLflow has no button for that, so the
  page is reloaded; TensorBoard's button is pressed ten times a second until the point is there.

Show (rival_show.py): from the start of the navigation to the frame after the one that drew a series of
100,000 points logged and read by the servers beforehand, in a browser that has nothing cached; the median
of three. Beside it stand the points or rows that each line really has: MLflow gives 320 to any series and
has no setting for more; TensorBoard keeps 1000, or all when told to by --samples_per_plugin (by their
number: scalars=0, its word for all, shows none in this version); ours merges neighbours into rows with
their least and greatest value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.bench.sections.rival_env import installed
from tests.bench.sections.rival_latency import latency
from tests.bench.sections.rival_show import show

if TYPE_CHECKING:
    from tests.bench.site import Site

FIGURES = ("latency_p50", "latency_p95", "show_100k")
# Ours over the best that either rival did in any way.
TARGETS = {f"rival_{figure}_behind": 1.0 for figure in FIGURES}


def measure(site: Site) -> dict[str, Any]:
    """Install, measure, and hold ours against the better rival's."""
    with installed() as rivals, rivals.mlflow() as mlflow_url:
        result: dict[str, Any] = {f"rival_version_{name}": is_ for name, is_ in rivals.versions().items()}
        result["rival_install_s"] = round(rivals.install_seconds, 1)
        result |= latency(site, rivals, mlflow_url)
        result |= show(site, rivals, mlflow_url)
    for figure in FIGURES:
        times = {key: ms for key, ms in result.items() if key.startswith(f"rival_{figure}_ms_")}
        ours = times.pop(f"rival_{figure}_ms_nocturne")
        result[f"rival_{figure}_behind"] = round(ours / min(times.values()), 3)
    return result
