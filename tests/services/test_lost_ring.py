"""R1 with Redis: the ring dies with its web process, the broker forgets all, and the clock rings again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import redis

from tests.chaos.history import check
from tests.support.jobs import Lab, eventually
from tests.support.processes import BEAT, CHORES, QUIET, ROOT, process
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle, Transition
from workers.launcher.parts import nights_command

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]
# What a web process does when somebody presses Start.
START = """
import django; django.setup()
from tests.support.jobs import Lab
from webapp.accounts.models import User, Workspace
from webapp.projects.models import Project
Lab(Workspace.objects.get(), User.objects.get(), Project.objects.get()).wake(0, epochs=1)
"""


def test_a_cycle_that_nobody_rang_for_is_found_by_the_clock(
    lab: Lab, database_url: str, settings: LazySettings, log: Path, tmp_path: Path
) -> None:
    broker = os.environ["CELERY_BROKER_URL"]
    settings.CELERY_BROKER_URL = broker
    given = {"CELERY_BROKER_URL": broker}
    # It hears rings and never looks by itself.
    hears_only = given | {"NOCTURNE_POLL_SECONDS": "600"}
    beat = (*BEAT, "--schedule", str(tmp_path / "beat"))
    with (
        redis.Redis.from_url(broker) as client,
        process(*nights_command("cpu"), database_url=database_url, log=log, **hears_only),
        process(*CHORES, *QUIET, database_url=database_url, log=log, **given),
        process(*beat, database_url=database_url, log=log, **given),
    ):
        eventually(lambda: log.read_text().count("ready.") == 2, timeout=90, what="both workers")
        killed = {"DATABASE_URL": database_url, "NOCTURNE_FAULTS": "cycle_start.after_commit:kill"}
        web = subprocess.run(
            [sys.executable, "-c", START], cwd=ROOT, env=os.environ | given | killed, timeout=90, check=False
        )
        assert web.returncode == -signal.SIGKILL
        client.flushdb()
        cycle = Cycle.objects.get()
        # Two ticks of a second; should one be lost, the spare clock's after three, on a machine that is busy.
        taken = Cycle.objects.filter(pk=cycle.pk).exclude(state=State.QUEUED)
        eventually(taken.exists, timeout=20, what="the start")
        done = Cycle.objects.filter(pk=cycle.pk, state=State.SUCCEEDED)
        eventually(done.exists, timeout=90, what="the end")
    assert Transition.objects.filter(cycle=cycle, to_state=State.STARTING).count() == 1, log.read_text()
    assert check() == []
