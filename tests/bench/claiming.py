"""A claimer in a process of its own: takes cycles as a nights worker does and ends each at once.

`python -m tests.bench.claiming NAME` on the database of DATABASE_URL says "ready"; then each line on stdin is
a number of claims to make (0: until none waits), and the answer is one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.bench.site import setup

if TYPE_CHECKING:
    from collections.abc import Callable


class Claimer:
    """The process, as whoever measures sees it."""

    def __init__(self, name: str, database_url: str) -> None:
        environment = os.environ | {"DATABASE_URL": database_url, "NOCTURNE_LOG_LEVEL": "WARNING"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.claiming", name], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def wait_ready(self) -> None:
        if self._line() != "ready":
            raise SystemExit("a claimer did not start")

    def begin(self, count: int = 0) -> None:
        """Let it make so many claims, or empty the queue; `end` waits until it has."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """{"taken": [[cycle, project, asked at, had at, ended at], ...], "conflicts", "statements", "dry"}.

        Moments are seconds since 1970; `dry`: how often it was told that nothing waits while something did.
        """
        found: dict[str, Any] = json.loads(self._line())
        return found

    def stop(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit("a claimer ended")
        return line.strip()


class _Counter:
    """Counts what a claim sends, and how often the database's last guard refused it."""

    def __init__(self) -> None:
        self.statements = self.conflicts = 0

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        from django.db import IntegrityError

        self.statements += 1
        try:
            return execute(sql, params, many, context)
        except IntegrityError:
            self.conflicts += 1
            raise


def _work(worker: Any, count: int) -> dict[str, Any]:
    from django.db import connection
    from django.db.models.functions import Now

    from webapp.cycles.choices import State
    from webapp.cycles.claim import claim
    from webapp.cycles.models import Cycle

    taken: list[tuple[str, str, float, float, float]] = []
    counter, dry = _Counter(), 0
    while not count or len(taken) < count:
        with connection.execute_wrapper(counter):
            asked = time.time()
            cycle = claim(worker=worker)
            had = time.time()
        if cycle is None:
            if count or not Cycle.objects.filter(state=State.QUEUED).exists():
                break
            dry += 1
            time.sleep(0.005)
            continue
        ending = time.time()
        held = Cycle.objects.filter(pk=cycle.pk, epoch=cycle.epoch, state=State.STARTING)
        if not held.update(state=State.CANCELLED, lease_expires_at=None, finished_at=Now()):
            raise SystemExit("a claimed cycle was not ours")
        taken.append((str(cycle.pk), str(cycle.project_id), asked, had, ending))
    return {"taken": taken, "conflicts": counter.conflicts, "statements": counter.statements, "dry": dry}


def main() -> None:
    setup()
    from tests.support.jobs import worker

    mine = worker(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_work(mine, int(line))), flush=True)


if __name__ == "__main__":
    main()
