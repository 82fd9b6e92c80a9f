"""Workers report themselves; who has been silent is not there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from webapp.fleet.models import Worker
from webapp.fleet.selectors import workers_alive
from webapp.fleet.services import worker_heartbeat, worker_stopped, workers_forget

pytestmark = pytest.mark.django_db


def beat(name: str) -> Worker:
    return worker_heartbeat(name=name, device="cpu", version="1", protocol=1, device_memory_bytes=8)


def names() -> list[str]:
    return [worker.name for worker in workers_alive()]


def test_a_heartbeat_makes_or_refreshes_the_row() -> None:
    first = beat("a")
    Worker.objects.update(heartbeat_at=Now() - timedelta(minutes=2))
    assert names() == []
    assert beat("a").pk == first.pk
    assert names() == ["a"]


def test_goodbye_is_not_silence() -> None:
    beat("a")
    beat("b")
    worker_stopped(name="a")
    assert names() == ["b"]
    beat("a")
    assert names() == ["a", "b"]


def test_the_long_gone_are_forgotten() -> None:
    beat("a")
    beat("b")
    Worker.objects.filter(name="a").update(heartbeat_at=Now() - timedelta(days=8))
    assert workers_forget() == 1
    assert list(Worker.objects.values_list("name", flat=True)) == ["b"]
