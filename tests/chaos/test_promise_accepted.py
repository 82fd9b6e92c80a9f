"""R1: an accepted cycle is never lost, and one that was not accepted never runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.history import check
from tests.chaos.watching import reached, taken
from tests.support.processes import SHIFT, process
from webapp.core.models import AuditEntry
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from webapp.projects.models import Project

if TYPE_CHECKING:
    from tests.support.jobs import Lab

pytestmark = pytest.mark.timeout(120)
# What a web process does when a person asks for a cycle.
START = """
import sys, django
django.setup()
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.projects.models import Project
first = Cycle.objects.get()
cycle_start(actor=None, project=Project.objects.get(), kind="wake", recipe=first.recipe, data=first.data)
"""


@pytest.mark.parametrize(("point", "accepted"), [("before_commit", False), ("after_commit", True)])
def test_the_web_is_killed_around_the_commit(
    point: str, accepted: bool, lab: Lab, database_url: str, log: Path
) -> None:
    first = lab.wake(0, epochs=1)
    with process(
        "-c", START, database_url=database_url, log=log, NOCTURNE_FAULTS=f"cycle_start.{point}:kill"
    ) as web:
        assert web.wait(30) == -signal.SIGKILL, log.read_text()
    second = Cycle.objects.exclude(pk=first.pk).first()
    assert (second is not None) is accepted
    assert Project.objects.get().last_cycle_number == 1 + accepted
    assert AuditEntry.objects.filter(verb="cycle_start").count() == 1 + accepted
    if second is None:
        return
    # Nobody rang for it: the worker looks by itself.
    with process(*SHIFT, database_url=database_url, log=log):
        for cycle in (first, second):
            assert reached(cycle, {State.SUCCEEDED}).attempt == 1, log.read_text()
            assert taken(cycle).count(State.STARTING) == 1
    assert check() == []


def test_a_typo_in_a_fault_stops_a_worker_at_its_start() -> None:
    """Or every test of this folder could pass without its fault."""
    code = "import os; os.environ['NOCTURNE_FAULTS'] = 'publish.befor_commit:kill'; import workers.nights"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "names no fault point" in ended.stderr
