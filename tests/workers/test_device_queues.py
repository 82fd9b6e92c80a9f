"""Rings reach the workers that may take the cycle, and none is rung where nobody hears."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection, transaction

from tests.support.jobs import Lab, eventually, worker
from webapp.core.broker import broker_prepare, night_queue
from webapp.core.doorbell import ring_night
from webapp.cycles.models import Cycle
from webapp.fleet.models import Worker
from webapp.fleet.services import worker_heartbeat, worker_stopped
from workers.chores import ring_for_waiting
from workers.launcher.errors import LauncherError
from workers.launcher.parts import nights_command


def rings() -> dict[str, int]:
    """Messages that wait in the embedded broker, by queue."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT q.name, count(*) FROM kombu_message m JOIN kombu_queue q ON q.id = m.queue_id "
            "WHERE m.visible GROUP BY q.name"
        )
        return dict(cursor.fetchall())


@pytest.fixture
def silent(lab: Lab) -> Lab:
    """A laboratory in which nobody has rung yet."""
    broker_prepare()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM kombu_message")
    return lab


@pytest.mark.parametrize(
    ("device", "queue"),
    [("", "nights"), ("cpu", "nights.cpu"), ("cuda", "nights.cuda"), ("cuda:1", "nights.cuda")],
)
def test_a_ring_goes_to_the_queue_of_its_kind(silent: Lab, device: str, queue: str) -> None:
    with transaction.atomic():
        ring_night(device)
        assert rings() == {}
    eventually(lambda: rings() == {queue: 1}, timeout=10, what="the ring")


def test_a_cycle_rings_for_the_device_that_it_wants(silent: Lab) -> None:
    silent.wake(0, epochs=1)
    eventually(lambda: rings() == {"nights": 1}, timeout=10, what="the ring")


def waiting(lab: Lab, *devices: str) -> None:
    """Cycles that wait, each for its device; their own rings are lost."""
    for number, device in enumerate(devices):
        cycle = lab.another_project(f"digits {number}").wake(0, epochs=1)
        Cycle.objects.filter(pk=cycle.pk).update(device=device)
    eventually(lambda: rings() == {"nights": len(devices)}, timeout=10, what="the rings")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM kombu_message")


def test_the_clock_rings_once_a_kind_and_only_where_somebody_hears(silent: Lab) -> None:
    waiting(silent, "", "", "cpu", "cuda")
    assert ring_for_waiting() == 4
    worker("a-cpu-0")
    worker("a-cpu-1")
    assert ring_for_waiting() == 4
    eventually(lambda: rings() == {"nights": 1, "nights.cpu": 1}, timeout=10, what="two rings")
    worker_heartbeat(name="b-cuda-1", device="cuda:1", version="test", protocol=1)
    ring_for_waiting()
    expected = {"nights": 2, "nights.cpu": 2, "nights.cuda": 1}
    eventually(lambda: rings() == expected, timeout=10, what="three more")


def test_a_worker_that_has_stopped_or_is_being_drained_is_not_rung(silent: Lab) -> None:
    waiting(silent, "")
    worker_stopped(name=worker("a-cpu-0").name)
    drained = worker("a-cpu-1")
    Worker.objects.filter(pk=drained.pk).update(draining_at=drained.heartbeat_at)
    assert ring_for_waiting() == 1
    worker("a-cpu-2")
    assert ring_for_waiting() == 1
    eventually(lambda: rings() == {"nights": 1}, timeout=10, what="one ring and no more")


def test_a_worker_hears_the_rings_for_all_and_for_its_kind() -> None:
    command = nights_command("cuda:1", "2")
    assert command[command.index("-Q") + 1] == "nights,nights.cuda"
    assert command[command.index("-n") + 1] == "nights-cuda-1-2@%h"
    assert night_queue() == "nights"


def test_a_device_that_is_none_is_a_sentence() -> None:
    with pytest.raises(LauncherError, match="cuda:1"):
        nights_command("gpu")
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", "worker", "--device", "gpu"],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.returncode == 2
    assert "A nights worker computes on cpu" in done.stderr
    assert "Traceback" not in done.stderr
