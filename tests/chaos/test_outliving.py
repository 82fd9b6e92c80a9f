"""The soak finds a trainer that lives on after its lease or its worker, and only such a one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.chaos.crew import Crew, Member
from tests.chaos.outliving import EVERY_SECONDS, PATIENCE_SECONDS, TIMELY_SECONDS, Outliving, leftovers
from tests.support.jobs import Lab, eventually, worker
from webapp.cycles.choices import State
from webapp.cycles.claim import claim, release
from webapp.cycles.transitions import transition
from workers.scratch import cycle_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from webapp.cycles.models import Cycle

# A worker that has started a trainer, as far as anybody can see from outside.
TRAINER = 'import subprocess, sys; subprocess.run([sys.executable, "-c", "import time; time.sleep(60)", {}])'


class Scene:
    """One worker, whose trainer works on a running cycle; looks at it are half a second apart."""

    def __init__(self, folder: Path, cycle: Cycle) -> None:
        self.cycle = cycle
        job = cycle_folder(cycle.pk) / f"e{cycle.epoch}" / "job.json"
        rest = f'"-m", "workers.trainer", "--job", {str(job)!r}'
        process = subprocess.Popen([sys.executable, "-c", TRAINER.format(rest)])
        self.member = Member("nights-0", (), process)
        crew = Crew(folder, {})
        crew.nights.append(self.member)
        self._outliving = Outliving(crew)
        self._now = 0.0
        self.trainer = eventually(self.member.trainer, what="the trainer")

    def look(self, seconds: float = PATIENCE_SECONDS, every: float = TIMELY_SECONDS) -> list[tuple[str, str]]:
        """What is found within so many seconds."""
        found = []
        for _ in range(round(seconds / every)):
            self._now += every
            found += [(one.kind, one.sentence) for one in self._outliving.look(self._now)]
        return found

    def overtake(self) -> None:
        release(cycle_id=self.cycle.pk, epoch=None, reason="worker_lost", free=True)

    def close(self) -> None:
        for process in (self.member.process, self.trainer and self.trainer.process):
            with suppress(psutil.NoSuchProcess):
                if process:
                    process.kill()
        self.member.process.wait()


@pytest.fixture
def scene(db: None, tmp_path: Path) -> Iterator[Scene]:
    Lab.make().wake(0)
    cycle = claim(worker=worker())
    assert cycle is not None
    scene = Scene(tmp_path, cycle)
    yield scene
    scene.close()


OVERTAKEN = [("doubled", "the trainer of epoch 1 outlived its lease")]


def test_one_that_holds_its_lease_may_live(scene: Scene) -> None:
    assert scene.trainer is not None
    assert (scene.trainer.cycle, scene.trainer.epoch) == (str(scene.cycle.pk), 1)
    assert scene.look(3 * PATIENCE_SECONDS) == []


def test_one_that_was_overtaken_may_live_for_five_seconds(scene: Scene) -> None:
    scene.look(10)
    scene.overtake()
    assert scene.look(PATIENCE_SECONDS) == []
    assert scene.look(2 * TIMELY_SECONDS) == OVERTAKEN
    assert scene.look(3 * PATIENCE_SECONDS) == []  # once is enough


def test_so_may_one_whose_cycle_has_ended(scene: Scene) -> None:
    transition(scene.cycle.pk, to=State.CANCELLING, expect_from=(State.STARTING,))
    assert scene.look(2 * PATIENCE_SECONDS) == []  # it has its grace
    transition(scene.cycle.pk, to=State.CANCELLED, expect_from=(State.CANCELLING,), fence=False)
    assert scene.look(2 * PATIENCE_SECONDS) == OVERTAKEN


def test_a_frozen_worker_has_five_seconds_from_the_thaw_on(scene: Scene) -> None:
    scene.overtake()
    scene.look(4)
    scene.member.thaw_at = 99.0
    assert scene.look(3 * PATIENCE_SECONDS) == []
    scene.member.thaw_at = None
    assert scene.look(PATIENCE_SECONDS) == []
    assert scene.look(2 * TIMELY_SECONDS) == OVERTAKEN


def test_what_passed_while_nobody_looked_counts_little(scene: Scene) -> None:
    scene.overtake()
    assert scene.look(30, every=10) == []
    assert scene.look(20, every=EVERY_SECONDS / 2) == OVERTAKEN


def test_one_that_ends_in_time_is_forgotten(scene: Scene) -> None:
    scene.overtake()
    scene.look(4)
    scene.close()
    assert scene.look(3 * PATIENCE_SECONDS) == []


def test_one_without_a_worker_is_found_too(scene: Scene) -> None:
    scene.member.process.kill()
    scene.member.process.wait()
    assert scene.look(PATIENCE_SECONDS) == []
    assert scene.look(2 * TIMELY_SECONDS) == [("broken", "the trainer of epoch 1 outlived its worker")]
    assert [one.sentence for one in leftovers()] == ["a trainer outlived its worker"]
