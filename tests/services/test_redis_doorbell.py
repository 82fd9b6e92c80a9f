"""The same promises with Redis as the broker: a message is a doorbell, and nothing is lost without one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from tests.support.jobs import Lab, eventually
from tests.support.processes import BEAT, CHORES, NIGHTS, QUIET, at_step, gone, process, trainer_of
from webapp.checkpoints.models import Checkpoint
from webapp.core.broker import NIGHT_TASK, broker_options
from webapp.core.broker import NIGHTS as NIGHTS_QUEUE
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle, Transition
from webapp.fleet.selectors import workers_alive

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]


@pytest.fixture
def broker(settings: LazySettings) -> str:
    """The Redis of this run, emptied of our queues."""
    url = os.environ["CELERY_BROKER_URL"]
    settings.CELERY_BROKER_URL = url
    sender(url).control.purge()
    return url


def sender(url: str) -> Celery:
    bell = Celery("test", broker=url, set_as_current=False)
    bell.conf.broker_transport_options = broker_options(url)
    bell.conf.task_queues = None
    bell.conf.task_default_queue = NIGHTS_QUEUE
    return bell


def ended(cycle: Cycle, timeout: float = 90) -> Cycle:
    done = Cycle.objects.filter(pk=cycle.pk, finished_at__isnull=False)
    found = eventually(done.first, timeout=timeout, what="the end of the cycle")
    assert found is not None
    return found


def starts(cycle: Cycle) -> int:
    return Transition.objects.filter(cycle=cycle, to_state=State.STARTING).count()


def test_the_bell_alone_starts_a_cycle_and_five_rings_start_it_once(
    lab: Lab, database_url: str, broker: str, log: Path
) -> None:
    quiet = {"CELERY_BROKER_URL": broker, "NOCTURNE_POLL_SECONDS": "600"}
    with (
        process(*NIGHTS, *QUIET, database_url=database_url, log=log, **quiet),
        process(
            *NIGHTS,
            "-n",
            "second@%h",
            *QUIET,
            database_url=database_url,
            log=log,
            **quiet | {"NOCTURNE_WORKER_INDEX": "1"},
        ),
    ):
        eventually(lambda: workers_alive().count() == 2, what="both workers")
        eventually(lambda: log.read_text().count("ready.") >= 2, what="both consumers")
        cycle = lab.wake(0, epochs=2)
        for _ in range(5):
            sender(broker).send_task(NIGHT_TASK, queue=NIGHTS_QUEUE)
        done = ended(cycle)
    assert done.state == State.SUCCEEDED, log.read_text()
    assert (starts(cycle), done.attempt, Checkpoint.objects.count()) == (1, 1, 1)


def test_without_any_broker_the_poll_finds_the_work(
    lab: Lab, database_url: str, log: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    monkeypatch.setenv("CELERY_BROKER_URL", nowhere)
    settings.CELERY_BROKER_URL = nowhere
    with process(*NIGHTS, *QUIET, database_url=database_url, log=log, CELERY_BROKER_URL=nowhere):
        cycle = lab.wake(0, epochs=2)
        assert ended(cycle).state == State.SUCCEEDED, log.read_text()


def test_a_killed_worker_is_noticed_by_the_clock_and_the_cycle_goes_on(
    lab: Lab, database_url: str, broker: str, log: Path, tmp_path: Path
) -> None:
    given = {"CELERY_BROKER_URL": broker}
    cycle = lab.wake(0, epochs=24, snapshot_every_steps=200, snapshot_every_s=0)
    beat = (*BEAT, "--schedule", str(tmp_path / "beat"))
    with (
        process(*CHORES, *QUIET, database_url=database_url, log=log, **given),
        process(*beat, database_url=database_url, log=log, **given),
    ):
        with process(*NIGHTS, *QUIET, database_url=database_url, log=log, **given) as worker:
            at_step(cycle, 300)
            trainer = trainer_of(cycle)
            worker.kill()
            gone(trainer)
        waiting = Cycle.objects.filter(pk=cycle.pk, state=State.QUEUED)
        eventually(waiting.exists, timeout=20, what="the reaper's turn")
        with process(*NIGHTS, *QUIET, database_url=database_url, log=log, **given):
            done = ended(cycle)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 2), log.read_text()


def test_sigterm_to_celery_gives_the_cycle_back(lab: Lab, database_url: str, broker: str, log: Path) -> None:
    cycle = lab.wake(0, epochs=2000)
    with process(*NIGHTS, *QUIET, database_url=database_url, log=log, CELERY_BROKER_URL=broker) as worker:
        at_step(cycle, 50)
        worker.terminate()
        assert worker.wait(40) == 0, log.read_text()
    now = Cycle.objects.get(pk=cycle.pk)
    assert (now.state, now.attempt, now.max_attempts) == (State.QUEUED, 0, 5), log.read_text()
    assert workers_alive().count() == 0
