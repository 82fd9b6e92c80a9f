"""Real worker processes on the test database, owned by the test that starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from django.conf import settings

from tests.support.jobs import eventually
from webapp.cycles.models import Cycle
from workers.child import PROCESS_FILE

ROOT = Path(__file__).resolve().parent.parent.parent
SHIFT = ("-m", "tests.support.shift")
NIGHTS = ("-m", "celery", "-A", "workers.app", "worker", "-P", "solo", "-Q", "nights", "-n", "nights@%h")
CHORES = (
    *("-m", "celery", "-A", "workers.app", "worker"),
    *("-P", "threads", "-c", "2", "-Q", "chores", "-n", "c@%h"),
)
BEAT = ("-m", "celery", "-A", "workers.app", "beat", "--pidfile=", "--loglevel", "INFO")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")


def surroundings() -> dict[str, str]:
    """What every child gets: short leases, ticks and polls, and one thread to train with."""
    return {
        "PYTHONPATH": str(ROOT),
        "NOCTURNE_TRAINER_THREADS": "1",
        "NOCTURNE_LEASE_SECONDS": "2",
        "NOCTURNE_POLL_SECONDS": "1",
        "NOCTURNE_TICK_SECONDS": "1",
    }


@contextmanager
def process(
    *arguments: str, database_url: str, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process with these arguments; killed at the end if it still runs."""
    env = os.environ | surroundings() | {"DATABASE_URL": database_url, "CELERY_BROKER_URL": ""}
    with log.open("ab") as out:
        started = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=env | environment, stdout=out, stderr=out
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            # A frozen one must wake to die politely; a dead one needs nothing.
            started.send_signal(signal.SIGCONT)
            started.terminate()
            try:
                started.wait(15)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def trainer_of(cycle: Cycle, epoch: int = 1) -> psutil.Process:
    """The trainer that works on this epoch, once it is there."""
    record = Path(settings.CYCLES_DIR) / str(cycle.pk) / f"e{epoch}" / PROCESS_FILE
    eventually(record.exists, what="a trainer")
    return psutil.Process(int(json.loads(record.read_text())["pid"]))


def at_step(cycle: Cycle, step: int, timeout: float = 60.0) -> Cycle:
    """The cycle's row, once its stream has passed this step."""

    def there() -> Cycle | None:
        now = Cycle.objects.get(pk=cycle.pk)
        assert now.state != "failed", now.error_message
        return now if now.step >= step else None

    found = eventually(there, timeout=timeout, what=f"step {step}")
    assert found is not None
    return found


def gone(trainer: psutil.Process, timeout: float = 5.0) -> None:
    """Wait until the process has ended (or is only its own zombie)."""
    eventually(
        lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE,
        timeout=timeout,
        what=f"the end of process {trainer.pid}",
    )
