"""Measures the live view: real PostgreSQL, uvicorn and Chromium, frames written by processes of their own.

    python -m tests.bench.live                          all sections
    python -m tests.bench.live --only paint,history     some of them
    python -m tests.bench.live --json                   one JSON object on the last line

Sections: paint (commit of a frame to its paint: 4 cycles, 20 viewers), viewers (200 sockets on one web
process), history (a million points, opened late and zoomed), scripting (script time of an open page, bytes of
its assets).

Without DATABASE_URL it runs on the embedded server, as a person's own machine does. The exit code is 1 when a
target is missed. Figures depend on what else the machine does; the load is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
from importlib import import_module
from typing import Any

from tests.bench.site import running

SECTIONS = ("paint", "viewers", "history", "scripting")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := [name for name in wanted if name not in SECTIONS]:
        parser.error(f"there is no section {unknown[0]}; there are {', '.join(SECTIONS)}")
    result: dict[str, Any] = {}
    missed = []
    with running() as site:
        for name in wanted:
            section = import_module(f"tests.bench.sections.{name}")
            load = os.getloadavg()[0]
            found = section.measure(site)
            print(f"{name} (load {load:.1f} before)")
            for key, value in found.items():
                target = section.TARGETS.get(key)
                met = target is None or value <= target
                missed += [] if met else [key]
                words = "" if target is None else f"  target {target:g}: {'met' if met else 'MISSED'}"
                print(f"  {key:24} {value}{words}", flush=True)
            result |= found
    if arguments.json:
        print(json.dumps(result))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
