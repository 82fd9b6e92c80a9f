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

import argparse
import json
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.bench.site import running

if TYPE_CHECKING:
    from types import ModuleType

SECTIONS = ("paint", "viewers", "history", "scripting", "lists", "lighthouse", "rivals")


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
                met, words = judged(section, key, value)
                missed += [] if met else [key]
                print(f"  {key:24} {value}{words}", flush=True)
            result |= found
    if arguments.json:
        print(json.dumps(result))
    return 1 if missed else 0


def judged(section: ModuleType, key: str, value: Any) -> tuple[bool, str]:
    """Whether a figure is within its bound, and how to say so: TARGETS are upper bounds, LEAST lower ones."""
    if (most := section.TARGETS.get(key)) is not None:
        met, bound = value <= most, f"{most:g}"
    elif (least := getattr(section, "LEAST", {}).get(key)) is not None:
        met, bound = value >= least, f"at least {least:g}"
    else:
        return True, ""
    return met, f"  target {bound}: {'met' if met else 'MISSED'}"


if __name__ == "__main__":
    raise SystemExit(main())
