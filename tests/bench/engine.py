"""Measures the engine: the replay loop beside plain PyTorch, downscaling at scale, kills, the estimate.

    python -m tests.bench.engine                        all sections
    python -m tests.bench.engine --only replay,kill     some of them
    python -m tests.bench.engine --json                 one JSON object on the last line

Sections: replay (steps a second and peak memory of our loop and of a plain one that does the same
arithmetic, in turn), scaling (significance, prune and strengthen from 1e7 to 3e8 parameters: how time grows,
and what memory they take), kill (a night killed at 20 random moments and resumed: the same bits),
estimate (what `estimate` foretells beside what a night took).

The exit code is 1 when a target is missed. Figures depend on what else the machine does; the load is printed
beside them.
"""

from __future__ import annotations

import argparse
import json
import os
from importlib import import_module
from typing import Any

from tests.bench.live import judged

SECTIONS = ("replay", "scaling", "kill", "estimate")


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
    for name in wanted:
        section = import_module(f"tests.bench.sections.engine_{name}")
        print(f"{name} (load {os.getloadavg()[0]:.1f} before)", flush=True)
        found = section.measure()
        for key, value in found.items():
            met, words = judged(section, key, value)
            missed += [] if met else [key]
            print(f"  {key:36} {value}{words}", flush=True)
        result |= found
    if arguments.json:
        print(json.dumps(result))
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
