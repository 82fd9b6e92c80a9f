"""Measures what the supervisor and its frames cost a trainer: the same job with and without them, in turn.

    python -m tests.bench.supervisor                      all sections
    python -m tests.bench.supervisor --only wide          one of them
    python -m tests.bench.supervisor --json               one JSON object on the last line

Sections: digits (the demo's model, whose steps are far shorter than anybody's in earnest), wide (the same
data, a model with hidden layers of 700 or of --width, for steps of about 2 ms). Alone means
`python -m workers.trainer` with a pipe that somebody reads and throws away; supervised means a real nights
worker that claims the cycle, holds its lease and stores its frames in a durable PostgreSQL. The trainer has
one thread. The step rate is the engine's own: numbers of steps over its own clock, the first tenth left out.

The exit code is 1 when a target is missed. Figures depend on what else the machine does; the load is printed
beside them.
"""

from __future__ import annotations

from tests.bench.command import run_sections
from tests.bench.database import server

SECTIONS = ("digits", "wide")
SIZES = {"pairs": 5, "seconds": 25, "width": 700}

if __name__ == "__main__":
    raise SystemExit(run_sections(__doc__, SECTIONS, "supervisor_", server, SIZES))
