"""What a container's health check says of its worker."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db.models.functions import Now

from webapp.fleet.models import Worker
from webapp.fleet.services import worker_heartbeat, worker_stopped
from workers.devices import this_device
from workers.health import health

if TYPE_CHECKING:
    from django.conf import LazySettings

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mine() -> Worker:
    """The row of this machine's worker, fresh."""
    return worker_heartbeat(name=this_device().worker_name, device="cpu", version="test", protocol=1)


def test_a_worker_that_was_heard_of_is_well(mine: Worker) -> None:
    assert health() == (True, f"The worker {mine.name} is well.")


def test_one_that_never_reported_itself() -> None:
    well, sentence = health()
    assert not well and "has not reported" in sentence


def test_one_that_fell_silent(mine: Worker) -> None:
    Worker.objects.update(heartbeat_at=Now() - timedelta(seconds=31))
    well, sentence = health()
    assert not well and "is silent" in sentence


def test_one_that_said_goodbye(mine: Worker) -> None:
    worker_stopped(name=mine.name)
    well, sentence = health()
    assert not well and "has stopped" in sentence


def test_one_that_takes_nothing_says_why(mine: Worker) -> None:
    Worker.objects.update(problem_code="store.not_mounted", problem="The store is away.")
    assert health() == (False, "The store is away. [store.not_mounted]")


def test_another_workers_heartbeat_is_not_its_own(mine: Worker, settings: LazySettings) -> None:
    settings.WORKER_INDEX = "7"
    assert not health()[0]


def test_without_a_database_nothing_is_known_and_nobody_is_restarted(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = settings.DATABASES["default"] | {"HOST": "127.0.0.1", "PORT": "1"}
    monkeypatch.setitem(settings.DATABASES, "default", nowhere)
    well, sentence = health()
    assert well and "does not answer" in sentence


def test_the_command_is_quick_and_loads_no_models(mine: Worker, database_url: str) -> None:
    code = (
        "import sys; from workers.health import main; status = main(); "
        "assert 'torch' not in sys.modules and 'celery' not in sys.modules; "
        "assert 'webapp.fleet.models' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"DATABASE_URL": database_url}, capture_output=True,
        text=True, timeout=60, check=False, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "is well" in done.stdout
