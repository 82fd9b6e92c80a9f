"""A launcher without Nocturne: supervises the given Python scripts. Run by the tests as a process of its own.

python tests/support/supervise.py DATA_DIR '[{"name": "a", "script": "...", "grace": 1, "stop_order": 0}]'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from workers.launcher.child import ChildSpec
from workers.launcher.errors import LauncherError
from workers.launcher.runfile import RunFile
from workers.launcher.supervisor import Supervisor


def main() -> int:
    """Exit codes as those of `manage.py up`."""
    data_dir = Path(sys.argv[1])
    runfile = RunFile(data_dir)
    try:
        runfile.acquire()
    except LauncherError as problem:
        print(f"{problem.message} [{problem.code}]")
        return 1
    for name in runfile.end_leftovers():
        print(f"left over: {name}", flush=True)
    specs = [
        ChildSpec(
            each["name"],
            ("-c", each["script"]),
            grace=each.get("grace", 5.0),
            yields_s=each.get("yields_s", 0.0),
            stop_order=each.get("stop_order", 0),
            reports_ready=each.get("reports_ready", False),
        )
        for each in json.loads(sys.argv[2])
    ]
    Supervisor(
        specs,
        logs=data_dir / "logs",
        runfile=runfile,
        url="http://127.0.0.1:1",
        say=lambda line: print(line, flush=True),
        on_ready=lambda name: print(f"ready: {name}", flush=True),
    ).run()
    runfile.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
