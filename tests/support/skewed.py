"""Runs a module on a clock that is wrong: `python -m tests.support.skewed SECONDS MODULE`.

Every wall clock that Python code can ask is shifted, before anything else is imported.
"""

from __future__ import annotations

import datetime
import runpy
import sys
import time
from typing import Any

_real_time, _real_ns = time.time, time.time_ns
_Real = datetime.datetime


def main() -> None:
    """Shift the clocks and become the module."""
    seconds = float(sys.argv[1])
    shift = datetime.timedelta(seconds=seconds)

    class Skewed(_Real):
        """datetime, some time away from now."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _Real.now(tz) + shift

        @classmethod
        def utcnow(cls) -> Any:
            return _Real.now(datetime.UTC).replace(tzinfo=None) + shift

    datetime.datetime = Skewed  # type: ignore[misc]
    time.time = lambda: _real_time() + seconds
    time.time_ns = lambda: _real_ns() + int(seconds * 1e9)
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
