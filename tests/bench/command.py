"""What every bench's command line is: sections chosen by name, figures judged, the load beside them."""

from __future__ import annotations

import argparse
import json
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import ModuleType


def run_sections(
    about: str,
    sections: Sequence[str],
    prefix: str,
    around: Callable[[], AbstractContextManager[Any]] | None,
    sizes: Mapping[str, int] | None = None,
) -> int:
    """Measures the sections that the command line asks for; 1 when a target is missed, else 0.

    Args:
        about: the help text. prefix: of the section modules in `tests.bench.sections`.
        around: opens what all sections measure and are given; without it they are given nothing.
        sizes: numbers that the command line may change, each with an option of its name; all sections are
            given them last, as one dictionary.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(sections), help="sections, with commas between")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    for name, usual in (sizes or {}).items():
        parser.add_argument(f"--{name}", type=int, default=usual, metavar="N", help=f"usually {usual}")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    if unknown := [name for name in wanted if name not in sections]:
        parser.error(f"there is no section {unknown[0]}; there are {', '.join(sections)}")
    result: dict[str, Any] = {}
    missed: list[str] = []
    chosen = [] if sizes is None else [{name: getattr(arguments, name) for name in sizes}]

    def measure(*given: Any) -> None:
        for name in wanted:
            section = import_module(f"tests.bench.sections.{prefix}{name}")
            print(f"{name} (load {os.getloadavg()[0]:.1f} before)", flush=True)
            found = section.measure(*given, *chosen)
            for key, value in found.items():
                met, words = judged(section, key, value)
                missed.extend([] if met else [key])
                print(f"  {key:36} {value}{words}", flush=True)
            result.update(found)

    if around is None:
        measure()
    else:
        with around() as measured:
            measure(measured)
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
