"""Measures the live view: real PostgreSQL, uvicorn and Chromium, frames written by processes of their own.

    python -m tests.bench.live                          all sections
    python -m tests.bench.live --only paint,history     some of them
    python -m tests.bench.live --json                   one JSON object on the last line

Sections: paint (commit of a frame to its paint: 4 cycles, 20 viewers), viewers (200 sockets on one web
process), history (a million points, opened late and zoomed), scripting (script time of an open page, bytes of
its assets), lists (a project with 10,000 cycles beside one with a page of them), lighthouse (performance and
accessibility of every page; fetches Lighthouse by npm), rivals (a live point and a long series beside
MLflow and TensorBoard; installs them by pip).

Without DATABASE_URL it runs on the embedded server, as a person's own machine does. The exit code is 1 when a
target is missed. Figures depend on what else the machine does; the load is printed beside them.
"""

from __future__ import annotations

from tests.bench.command import run_sections
from tests.bench.site import running

SECTIONS = ("paint", "viewers", "history", "scripting", "lists", "lighthouse", "rivals")

if __name__ == "__main__":
    raise SystemExit(run_sections(__doc__, SECTIONS, "", running))
