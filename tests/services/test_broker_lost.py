"""R15: the broker holds nothing precious: it may stop, forget everything or hang in the middle of a night."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.chaos.history import check
from tests.support.jobs import Lab, eventually
from tests.support.processes import BEAT, CHORES, NIGHTS, QUIET, at_step, process
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django.conf import LazySettings

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]
LONG = {"epochs": 100, "snapshot_every_steps": 200, "snapshot_every_s": 0}


class Broker:
    """A Redis of the test's own, which it may stop, wipe and freeze."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                "redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
                "--appendonly", "no", "--dir", str(self._folder),
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        eventually(self._answers, what="Redis")

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)  # nothing, once it has ended
        if number == signal.SIGKILL:
            self._process.wait()

    def wipe(self) -> None:
        with redis.Redis(port=self.port) as client:
            client.flushall()

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def broker(tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    monkeypatch.setenv("CELERY_BROKER_URL", made.url)
    settings.CELERY_BROKER_URL = made.url
    yield made
    made.signal(signal.SIGCONT)
    made.signal(signal.SIGKILL)


def done(*cycles: Cycle) -> bool:
    ids = [cycle.pk for cycle in cycles]
    return Cycle.objects.filter(pk__in=ids, state=State.SUCCEEDED, attempt=1).count() == len(ids)


def test_running_cycles_go_on_and_new_ones_start_whatever_becomes_of_the_broker(
    lab: Lab, broker: Broker, database_url: str, log: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"database_url": database_url, "log": log, "CELERY_BROKER_URL": broker.url}
    beat = (*BEAT, "--schedule", str(tmp_path / "beat"))
    losses: dict[str, Callable[[], None]] = {
        "wiped": broker.wipe,
        "frozen": lambda: broker.signal(signal.SIGSTOP),
        "stopped": lambda: broker.signal(signal.SIGKILL),
    }
    with process(*CHORES, *QUIET, **given), process(*beat, **given), process(*NIGHTS, *QUIET, **given):
        for loss, lose in losses.items():
            running = lab.another_project(loss).wake(0, **LONG)
            at_step(running, 200)
            lose()
            began = time.monotonic()
            waiting = lab.another_project(f"{loss}, waiting").wake(0, epochs=1)
            # A person waits for no broker.
            assert time.monotonic() - began < 3
            eventually(lambda: done(running, waiting), timeout=90, what=f"the end of both ({loss})")  # noqa: B023
            broker.signal(signal.SIGCONT)
        # And when it is back, everything hears it again.
        broker.start()
        last = lab.another_project("last").wake(0, epochs=1)
        eventually(lambda: done(last), timeout=90, what="a cycle after all that")
    assert check() == []
