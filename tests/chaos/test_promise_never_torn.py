"""R4: never a torn checkpoint, whenever something is killed and whoever reads meanwhile."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from django.db import connection

from tests.chaos.first import first_checkpoint
from tests.chaos.history import check
from tests.chaos.watching import reached, supervise
from tests.support.jobs import Lab, eventually
from tests.support.processes import SHIFT, process
from webapp.checkpoints.models import Checkpoint
from webapp.core.store import file_sha256, store_path
from webapp.cycles.choices import State
from webapp.projects.models import Project

pytestmark = pytest.mark.timeout(120)


class Reader(threading.Thread):
    """Somebody who downloads the current checkpoint all the time."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        self._lab = lab
        self.over = threading.Event()
        self.seen: list[str] = []
        self.torn: list[str] = []

    def run(self) -> None:
        while not self.over.wait(0.02):
            current = Project.objects.select_related("current").get(pk=self._lab.project.pk).current
            assert current is not None
            if current.sha256 not in self.seen:
                self.seen.append(current.sha256)
            path = store_path(self._lab.workspace.pk, current.sha256)
            if not path.exists() or file_sha256(path) != (current.sha256, current.size_bytes):
                self.torn.append(current.sha256)
        connection.close()


@pytest.mark.parametrize("windows", [("before_write", "after_write"), ("before_rename", "after_rename")])
def test_the_trainer_is_killed_while_it_leaves_its_result(
    windows: tuple[str, ...], lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOCTURNE_FAULTS", ",".join(f"leave.{window}:kill@1" for window in windows))
    monkeypatch.setenv("NOCTURNE_FAULT_COUNTS", str(tmp_path))
    first_checkpoint(lab)
    cycle = lab.wake(0, epochs=1)
    for window in windows:
        assert supervise().state == State.QUEUED, window
        assert not Checkpoint.objects.filter(cycle=cycle).exists()
    assert supervise().state == State.SUCCEEDED
    assert check() == []


def test_the_worker_is_killed_while_it_publishes(lab: Lab, database_url: str, log: Path) -> None:
    before = first_checkpoint(lab)
    cycle = lab.wake(0, epochs=1)
    reader = Reader(lab)
    reader.start()
    for point in ("store_put.after_rename", "publish.before_commit"):
        with process(*SHIFT, database_url=database_url, log=log, NOCTURNE_FAULTS=f"{point}:kill") as shift:
            assert shift.wait(30) == -signal.SIGKILL, log.read_text()
        assert Project.objects.get(pk=lab.project.pk).current == before
        reached(cycle, {State.QUEUED})
    with process(
        *SHIFT, database_url=database_url, log=log, NOCTURNE_FAULTS="publish.after_commit:kill"
    ) as shift:
        assert shift.wait(30) == -signal.SIGKILL, log.read_text()
    made = Checkpoint.objects.get(cycle=cycle)
    eventually(lambda: made.sha256 in reader.seen, what="the reader's look at the new one")
    reader.over.set()
    reader.join(10)
    assert (reader.seen, reader.torn) == ([before.sha256, made.sha256], [])
    assert check() == []
