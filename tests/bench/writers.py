"""Frame writers: one process a cycle, a made-up night through the real services at a given rate."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.bench.site import setup

if TYPE_CHECKING:
    from collections.abc import Sequence


def start(cycles: Sequence[Any], *, seconds: float, rate: float) -> list[subprocess.Popen[bytes]]:
    """One writer a cycle, all at once."""
    options = ["--seconds", str(seconds), "--rate", str(rate)]
    command = [sys.executable, "-m", "tests.bench.writers", *options]
    return [subprocess.Popen([*command, str(cycle.pk)]) for cycle in cycles]


def wait(writers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until all are done. Raises SystemExit when one failed."""
    if any(writer.wait() for writer in writers):
        raise SystemExit("a writer failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cycle")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, required=True)
    arguments = parser.parse_args()
    setup()
    from tests.support import night
    from tests.support.night_script import Night
    from webapp.cycles.models import Cycle

    per_flush, total = 1 / arguments.rate, int(arguments.seconds * 120)
    script = Night(seconds=arguments.seconds, per_flush=per_flush, total=total)
    night.play(Cycle.objects.get(pk=arguments.cycle), script, speed=1)


if __name__ == "__main__":
    main()
