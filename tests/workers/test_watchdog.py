"""A trainer that gets nowhere is ended: silent for longer than its stage may be, or frozen from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.jobs import eventually
from workers.child import Trainer
from workers.watchdog import FROZEN_SECONDS, Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.conf import LazySettings


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE, start_new_session=True
    )
    made = Trainer(process, -1, tmp_path)
    yield made
    made.close()


def dog(trainer: Trainer, *, stage: str, heard_at: float) -> Watchdog:
    pipe, stream = SimpleNamespace(heard_at=heard_at), SimpleNamespace(stage=stage)
    return Watchdog(trainer, cast("Any", pipe), cast("Any", stream))


@pytest.mark.parametrize(("stage", "patience"), [("NREM replay", 100), ("significance", 400), ("", 400)])
def test_silence_is_measured_by_the_stage(
    trainer: Trainer, settings: LazySettings, stage: str, patience: float
) -> None:
    settings.STALL_SECONDS = 100
    now = time.monotonic()
    watching = dog(trainer, stage=stage, heard_at=now)
    watching.look(now + patience - 1)
    assert (watching.stuck, trainer.poll()) == ("", None)
    watching.look(now + patience + 1)
    assert watching.stuck == "silent"
    assert eventually(trainer.poll, timeout=5) == -signal.SIGKILL


def test_one_that_somebody_froze_is_ended_and_one_that_we_paused_is_not(trainer: Trainer) -> None:
    now = time.monotonic()
    watching = dog(trainer, stage="learning", heard_at=now)
    trainer.pause()
    watching.look(now + 5)
    watching.look(now + 10_000)
    assert (watching.stuck, trainer.poll()) == ("", None)
    trainer.resume()
    os.killpg(trainer.pid, signal.SIGSTOP)
    eventually(lambda: trainer.frozen, timeout=5, what="the freeze")
    watching = dog(trainer, stage="learning", heard_at=now)
    watching.look(now + FROZEN_SECONDS / 2)
    assert watching.stuck == ""
    watching.look(now + FROZEN_SECONDS + 2)
    assert watching.stuck == "frozen"
    assert eventually(trainer.poll, timeout=5) == -signal.SIGKILL
