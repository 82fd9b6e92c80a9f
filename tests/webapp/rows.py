"""Rows in any number, for tests of pages: their queries must not grow with them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from tests.support.rows_free import free_states
from webapp.checkpoints.models import Checkpoint, Score
from webapp.cycles.models import Cycle
from webapp.fleet.models import Worker
from webapp.memories.models import RecordSet
from webapp.projects.models import Project, Task
from webapp.schedules.models import Schedule, ScheduleFire

if TYPE_CHECKING:
    from webapp.accounts.models import Workspace

REPORT = {
    "metrics": {
        "before": {"retention": 0.7, "worst_forgetting": 0.4, "acc": 0.6},
        "after": {"retention": 0.9, "worst_forgetting": 0.1, "acc": 0.9},
    }
}


def record_set(task: Task, use: str, rows: int = 200) -> RecordSet:
    return RecordSet.objects.create(
        project=task.project,
        task=task,
        use=use,
        sha256="1" * 64,
        size_bytes=10,
        rows=rows,
        x_shape=[64],
        x_dtype="uint8",
        classes=10,
    )


def checkpoint(project: Project, origin: str = "upload", **fields: object) -> Checkpoint:
    """The next checkpoint of the line; it becomes current."""
    project.last_checkpoint_number += 1
    made = Checkpoint.objects.create(
        project=project,
        number=project.last_checkpoint_number,
        parent=project.current,
        origin=origin,
        sha256="ab" * 32,
        size_bytes=76432,
        family="mlp",
        config={"layers": [64, 100, 10], "activation": "relu", "names": ["net.0", "net.2"]},
        parameters=7510,
        tensors=[{"name": "net.0.weight", "dtype": "F32", "shape": [100, 64]}],
        **fields,
    )
    project.current = made
    project.save()
    return made


def cycle(project: Project, kind: str, state: str, **fields: object) -> Cycle:
    project.last_cycle_number += 1
    project.save(update_fields=["last_cycle_number"])
    with free_states():
        return Cycle.objects.create(
            project=project, number=project.last_cycle_number, kind=kind, state=state, protocol=1, **fields
        )


def night(project: Project) -> Checkpoint:
    """A wake on a new task, then a sleep: two cycles, two checkpoints, scores, memories and a probe."""
    position = Task.objects.filter(project=project).count() + 1
    task = Task.objects.create(project=project, name=f"task {position}", position=position)
    for use in ("memories", "probe"):
        record_set(task, use)
    data = record_set(task, "training", rows=1000)
    woke = cycle(project, "wake", "succeeded", data=data, base=project.current)
    awake = checkpoint(project, "wake", cycle=woke, wake={"examples": 1000, "lr": 0.2})
    now = timezone.now()
    slept = cycle(
        project,
        "sleep",
        "succeeded",
        base=awake,
        verdict="improved",
        report=REPORT,
        started_at=now - timedelta(minutes=2),
        finished_at=now,
        step=100,
    )
    rested = checkpoint(project, "sleep", cycle=slept)
    for made, value in ((awake, 0.5), (rested, 0.9)):
        for known in Task.objects.filter(project=project):
            Score.objects.create(checkpoint=made, task=known, value=value, examples=100)
    return rested


def schedule(project: Project, name: str = "Nightly") -> Schedule:
    """A schedule with two fires behind it."""
    made = Schedule.objects.create(
        project=project,
        name=name,
        cron="0 2 * * *",
        timezone="Europe/Berlin",
        preset="night",
        next_fire_at=timezone.now() + timedelta(hours=3),
    )
    for days in (1, 2):
        ScheduleFire.objects.create(
            schedule=made,
            fire_at=timezone.now() - timedelta(days=days),
            outcome="skipped",
            reason="still asleep",
        )
    return made


def worker(name: str, silent: timedelta = timedelta(0)) -> Worker:
    return Worker.objects.create(
        name=name, device="cpu", version="0.1.0", protocol=1, heartbeat_at=timezone.now() - silent
    )


def project_of(workspace: Workspace, name: str) -> Project:
    return Project.objects.create(workspace=workspace, name=name)
