"""The embedded broker: messages through our own PostgreSQL, delivered in a moment and swept away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from tests.support.jobs import Lab, eventually
from tests.support.processes import NIGHTS, QUIET, process
from webapp.core.broker import NIGHT_QUEUES, broker_prepare, broker_url
from webapp.core.doorbell import ring_night
from webapp.cycles.choices import State
from webapp.cycles.models import Cycle
from workers.chores import broker_sweep

if TYPE_CHECKING:
    from pathlib import Path

    from django.conf import LazySettings


@pytest.fixture(autouse=True)
def embedded_broker(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever broker this test run was given; Celery believes the variable before its own settings."""
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    settings.CELERY_BROKER_URL = ""


@pytest.mark.timeout(200)
def test_a_ring_starts_the_night_at_once(lab: Lab, database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "nights.log"
    # No poll would come within the test: only the message can start it.
    with process(*NIGHTS, *QUIET, database_url=database_url, log=log, NOCTURNE_POLL_SECONDS="600"):
        eventually(lambda: log.exists() and "ready." in log.read_text(), timeout=60, what="the consumer")
        began = time.monotonic()
        cycle = lab.wake(0, epochs=1)
        started = Cycle.objects.filter(pk=cycle.pk).exclude(state=State.QUEUED)
        eventually(started.exists, timeout=20, what="the start")
        assert time.monotonic() - began < 10
        done = Cycle.objects.filter(pk=cycle.pk, state=State.SUCCEEDED)
        eventually(done.exists, timeout=60, what="the end")
    assert "torch" not in log.read_text()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kombu_message WHERE visible")
        assert cursor.fetchone() == (0,)
    assert broker_sweep() >= 1
    assert broker_sweep() == 0


def test_preparing_the_broker_twice_or_eight_times_at_once_is_fine(lab: Lab) -> None:
    from tests.webapp.cycles.test_claim import in_threads

    in_threads(8, lambda _: broker_prepare())
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM kombu_queue ORDER BY name")
        assert cursor.fetchall() == [(name,) for name in sorted({"chores", *NIGHT_QUEUES})]


def test_the_address_follows_the_database(settings: LazySettings) -> None:
    settings.CELERY_BROKER_URL = ""
    old = settings.DATABASES["default"]
    try:
        settings.DATABASES["default"] = old | {
            "HOST": "/run/a folder", "PORT": "5432", "USER": "noc", "PASSWORD": "p@ss", "NAME": "night",
        }  # fmt: skip
        assert broker_url().startswith(
            "sqla+postgresql+psycopg://noc:p%40ss@/night?host=%2Frun%2Fa+folder&port=5432"
        )
        settings.DATABASES["default"] = old | {
            "HOST": "::1", "PORT": "5433", "USER": "noc", "PASSWORD": "", "NAME": "night", "OPTIONS": {},
        }  # fmt: skip
        assert broker_url() == "sqla+postgresql+psycopg://noc@[::1]:5433/night"
    finally:
        settings.DATABASES["default"] = old


def test_a_dead_broker_costs_the_ringer_nothing(
    lab: Lab, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    began = time.monotonic()
    ring_night()
    assert time.monotonic() - began < 0.5
    eventually(lambda: "could not be rung" in caplog.text, timeout=30, what="the sender's word")
