"""On which kind of device a new cycle runs is asked only where there is something to choose."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests.webapp import rows
from tests.webapp.conftest import logged_in
from webapp.cycles.device_choice import device_choices
from webapp.cycles.models import Cycle
from webapp.fleet.models import Worker
from webapp.memories.models import RecordSet, Use
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from webapp.accounts.models import User


@pytest.fixture
def ready(project: Project) -> Project:
    """A line that can sleep, and has something new to learn."""
    project.tasks.all().delete()
    rows.night(project)
    task = Task.objects.create(project=project, name="warranty", position=2)
    rows.record_set(task, Use.PROBE)
    rows.record_set(task, Use.TRAINING, rows=500)
    return project


def worker(name: str, device: str, **how: timedelta) -> Worker:
    made = rows.worker(name, **how)
    made.device = device
    made.save()
    return made


def address(project: Project, page: str) -> str:
    return reverse(page, args=[project.pk])


PAGES = ["cycle_create", "wake_create"]


@pytest.mark.parametrize("page", PAGES)
def test_one_kind_alive_asks_nothing(ready: Project, bob: User, page: str) -> None:
    worker("gpu-0", "cuda:0", silent=timedelta(hours=1))
    worker("cpu-0", "cpu")
    worker("cpu-1", "cpu")
    assert 'name="device"' not in logged_in(bob).get(address(ready, page)).content.decode()


@pytest.mark.parametrize("page", PAGES)
def test_two_kinds_are_a_choice_that_the_cycle_keeps(ready: Project, bob: User, page: str) -> None:
    worker("gpu-0", "cuda:0")
    worker("cpu-0", "cpu")
    client = logged_in(bob)
    assert '<option value="cuda">' in client.get(address(ready, page)).content.decode()
    data = RecordSet.objects.filter(project=ready, use=Use.TRAINING).latest("created_at")
    for device in ("cuda", ""):
        answer = client.post(address(ready, page), {"preset": "night", "data": data.pk, "device": device})
        assert answer.status_code == 302
        assert Cycle.objects.filter(project=ready).latest("number").device == device


@pytest.mark.parametrize("page", PAGES)
def test_an_unknown_device_is_a_sentence_on_the_page(ready: Project, bob: User, page: str) -> None:
    data = RecordSet.objects.filter(project=ready, use=Use.TRAINING).latest("created_at")
    answer = logged_in(bob).post(address(ready, page), {"data": data.pk, "device": "abacus<i>"})
    text = answer.content.decode()
    assert answer.status_code == 422
    assert text.count("cycle.device_unknown") == 1
    assert "abacus&lt;i&gt;" in text


def test_a_choice_outlives_its_worker() -> None:
    cpu = Worker(name="a", device="cpu")
    assert device_choices([cpu]) == []
    assert [choice["value"] for choice in device_choices([cpu], "cuda")] == ["", "cpu", "cuda"]
    assert [choice["value"] for choice in device_choices([cpu, Worker(name="b", device="tpu")])] == []
