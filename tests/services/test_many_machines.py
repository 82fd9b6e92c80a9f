"""Several machines: one database, one broker, one store and one folder of cycles; each its own data folder.

The machines of these tests are processes with different settings; everything else about them is real.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from django.conf import settings as ours

from tests.chaos.history import check
from tests.services.conftest import resumed_at
from tests.support.jobs import Lab, eventually
from tests.support.processes import ROOT, at_step, gone, process, trainer_of
from webapp.checkpoints.models import Checkpoint
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.fleet.models import Worker
from webapp.fleet.selectors import workers_alive
from workers.chores import ring_for_waiting
from workers.launcher.parts import nights_command
from workers.reaper import reap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.conf import LazySettings

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
RECIPE = {"epochs": 24, "snapshot_every_steps": 200, "snapshot_every_s": 0}
# A worker of a version that speaks another protocol, which no setting can make of this one.
OTHER_VERSION = (
    "from django.conf import settings; settings.CYCLE_PROTOCOL += 1; "
    "import sys; sys.argv = ['celery', *sys.argv[1:]]; from celery.__main__ import main; main()"
)


@pytest.fixture
def broker(settings: LazySettings) -> Iterator[str]:
    """The Redis of this run, empty; the test's own rings go there, too."""
    url = os.environ["CELERY_BROKER_URL"]
    settings.CELERY_BROKER_URL = url
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


class Machines:
    """Starts nights workers, each on a machine of its own."""

    def __init__(self, folder: Path, database_url: str, broker: str) -> None:
        self.folder, self.database_url, self.broker = folder, database_url, broker
        self.log = folder / "processes.log"

    def settings(self, index: int) -> dict[str, str]:
        return {
            "CELERY_BROKER_URL": self.broker,
            "DATABASE_URL": self.database_url,
            "NOCTURNE_DATA": str(self.folder / f"machine-{index}"),
            "NOCTURNE_STORE": str(ours.STORE_DIR),
            "NOCTURNE_CYCLES": str(ours.CYCLES_DIR),
            "NOCTURNE_DEVICE": "cpu",
            "NOCTURNE_WORKER_INDEX": str(index),
            "NOCTURNE_POLL_SECONDS": "600",
        }

    def nights(
        self, index: int, *, version: str = "", **settings: str
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A nights worker that only a ring wakes, unless `settings` let it look by itself."""
        command = nights_command("cpu", str(index))
        if version:
            command = ("-c", version, *command[2:])
        given = self.settings(index) | {"DJANGO_SETTINGS_MODULE": "webapp.config.settings"} | settings
        given.pop("DATABASE_URL")
        return process(*command, database_url=self.database_url, log=self.log, **given)

    def health(self, index: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workers.health"], env=os.environ | self.settings(index), cwd=ROOT,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def said(self) -> str:
        return self.log.read_text()


@pytest.fixture
def machines(tmp_path: Path, database_url: str, broker: str) -> Machines:
    return Machines(tmp_path, database_url, broker)


def alive(*indices: int) -> None:
    """Wait until these workers have reported themselves."""
    tails = {f"-cpu-{index}" for index in indices}
    eventually(
        lambda: tails <= {name[-6:] for name in workers_alive().values_list("name", flat=True)},
        timeout=90,
        what="the workers' first heartbeats",
    )


def ended(cycle: Cycle) -> Cycle:
    done = Cycle.objects.filter(pk=cycle.pk, finished_at__isnull=False)
    found = eventually(done.first, timeout=120, what="the end of the cycle")
    assert found is not None
    return found


def test_when_a_machine_dies_another_goes_on_from_its_snapshot_to_the_same_bits(
    lab: Lab, machines: Machines
) -> None:
    cycle = lab.wake(0, **RECIPE)
    with machines.nights(1) as first:
        at_step(cycle, 450, timeout=120)
        trainer = trainer_of(cycle)
        first.kill()
        gone(trainer)
    assert Cycle.objects.get(pk=cycle.pk).worker.name.endswith("-cpu-1")  # type: ignore[union-attr]
    eventually(reap, timeout=20, what="the reaper's turn")
    whole = lab.another_project("unbroken").wake(0, **RECIPE)
    with machines.nights(2):
        done, unbroken = ended(cycle), ended(whole)
    assert (done.state, done.attempt) == (State.SUCCEEDED, 2), machines.said()
    assert (unbroken.state, unbroken.attempt) == (State.SUCCEEDED, 1), machines.said()
    assert done.worker.name.endswith("-cpu-2")  # type: ignore[union-attr]
    (step,) = resumed_at(cycle)
    assert step >= 400
    digests = {Checkpoint.objects.get(cycle=each).sha256 for each in (cycle, whole)}
    assert len(digests) == 1
    assert check() == []
    # Nothing of the first machine's own was needed.
    assert not (machines.folder / "machine-1/cycles").exists()


def test_a_ring_wakes_a_worker_of_the_wanted_kind_and_no_other_takes_the_cycle(
    lab: Lab, machines: Machines, broker: str
) -> None:
    with machines.nights(1), machines.nights(2), redis.Redis.from_url(broker) as client:
        alive(1, 2)
        eventually(lambda: machines.said().count("ready.") == 2, timeout=90, what="both consumers")
        on_a_gpu = lab.another_project("gpu").wake(0, device="cuda", epochs=1)
        on_a_processor = lab.wake(0, device="cpu", epochs=1)
        # Only the ring on nights.cpu can have told: neither looks by itself within this test.
        assert ended(on_a_processor).state == State.SUCCEEDED, machines.said()
        assert ring_for_waiting() == 1
        # Its own ring waits for a worker with a GPU; the clock adds none where nobody hears.
        assert [client.llen(f"nights.{kind}") for kind in ("cpu", "cuda")] == [0, 1]
        now = Cycle.objects.get(pk=on_a_gpu.pk)
        assert (now.state, now.epoch) == (State.QUEUED, 0)


def test_workers_that_may_not_take_it_say_why_and_take_nothing(
    lab: Lab, machines: Machines, tmp_path: Path
) -> None:
    cycle = lab.wake(0, epochs=1)
    mount = tmp_path / "not mounted"
    mount.mkdir()
    looking = {"NOCTURNE_POLL_SECONDS": "1"}
    with (
        machines.nights(1, **looking, NOCTURNE_STORE=str(mount)),
        machines.nights(2, version=OTHER_VERSION, **looking),
    ):
        alive(1, 2)
        unmounted = Worker.objects.get(name__endswith="-cpu-1")
        assert unmounted.problem_code == "store.not_mounted"
        assert "not mounted" in unmounted.problem
        told = machines.health(1)
        assert (told.returncode, "store.not_mounted" in told.stdout) == (1, True)
        newer = Worker.objects.get(name__endswith="-cpu-2")
        assert (newer.protocol, newer.problem_code) == (cycle.protocol + 1, "")
        before = newer.heartbeat_at
        eventually(
            lambda: Worker.objects.filter(pk=newer.pk, heartbeat_at__gt=before).exists(),
            timeout=60,
            what="another look of both",
        )
        now = Cycle.objects.get(pk=cycle.pk)
        assert (now.state, now.epoch) == (State.QUEUED, 0), machines.said()
        assert not list(mount.iterdir())
        # The store comes back: nobody has to start anything again.
        mount.rmdir()
        mount.symlink_to(ours.STORE_DIR)
        done = ended(cycle)
        assert done.state == State.SUCCEEDED, machines.said()
        assert done.worker_id == unmounted.pk
        eventually(lambda: machines.health(1).returncode == 0, what="a worker that is well")
