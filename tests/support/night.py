"""A project and a night as real rows and real frames, written the way a worker writes them."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from tests.support.night_script import TASKS, Night
from tests.support.rows_free import free_states
from webapp.checkpoints.choices import Origin
from webapp.checkpoints.models import Checkpoint, Score
from webapp.cycles.choices import Kind, State
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_pause
from webapp.cycles.transitions import transition
from webapp.fleet.models import Worker
from webapp.live.frames import frame_write
from webapp.live.rollups import RollupWriter
from webapp.memories.models import RecordSet, Use
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.accounts.models import User, Workspace

CONFIG = {"layers": [4, 4, 2], "activation": "relu", "names": ["net.0", "net.2"]}


def line(*, workspace: Workspace, actor: User, tasks: tuple[str, ...] = TASKS, past: bool = True) -> Project:
    """A project that learned its tasks in turn and forgot; `past` False: one upload without scores."""
    project = Project.objects.create(workspace=workspace, name="support-bot", created_by=actor)
    rows = [Task.objects.create(project=project, name=name, position=i + 1) for i, name in enumerate(tasks)]
    for row in rows:
        _records(project, row, Use.PROBE)
    parent = None
    for stage in range(1, len(tasks) + 1) if past else [1]:
        parent = _checkpoint(project, stage, parent, Origin.WAKE if past else Origin.UPLOAD)
        if past:
            with free_states():
                parent.cycle = Cycle.objects.create(
                    project=project, number=stage, kind=Kind.WAKE, state=State.SUCCEEDED, protocol=1,
                    data=_records(project, rows[stage - 1], Use.TRAINING),
                )  # fmt: skip
            parent.save()
            for j, row in enumerate(rows[:stage]):
                value = max(0.2, 0.97 - 0.115 * (stage - 1 - j) - 0.01 * j)
                Score.objects.create(checkpoint=parent, task=row, value=value, examples=500)
    project.current = parent
    project.last_checkpoint_number = project.last_cycle_number = len(tasks) if past else 1
    project.save()
    return project


def _checkpoint(project: Project, number: int, parent: Checkpoint | None, origin: str) -> Checkpoint:
    return Checkpoint.objects.create(
        project=project, number=number, parent=parent, origin=origin, filename=f"model-{number}.safetensors",
        sha256=hashlib.sha256(f"{project.pk}{number}".encode()).hexdigest(), size_bytes=31_000, family="mlp",
        config=CONFIG, tensors=[], parameters=7_900,
    )  # fmt: skip


def _records(project: Project, task: Task, use: str) -> RecordSet:
    return RecordSet.objects.create(
        project=project, task=task, use=use, sha256=hashlib.sha256(f"{task.pk}{use}".encode()).hexdigest(),
        size_bytes=64_000, rows=500, x_shape=[64], x_dtype="uint8", classes=10,
        transform={"scale": 1.0, "mean": 0.0, "sd": 1.0},
    )  # fmt: skip


def sleep_cycle(
    project: Project, *, actor: User | None = None, kind: str = Kind.SLEEP, **fields: Any
) -> Cycle:
    """A cycle that waits, with the project's probes."""
    project.last_cycle_number += 1
    project.save()
    cycle = Cycle.objects.create(
        project=project, number=project.last_cycle_number, kind=kind, state=State.QUEUED, preset="deep",
        recipe={"preset": "deep", "rounds": 2, "batch": 64, "forgetting_budget": 0.1, "lr": None},
        base=project.current, protocol=1, queued_at=Now(), created_by=actor,
        **fields,
    )  # fmt: skip
    cycle.probes.set(RecordSet.objects.filter(project=project, use=Use.PROBE))
    return cycle


def worker(name: str = "gpu-2") -> Worker:
    """A worker that was just heard of."""
    return Worker.objects.update_or_create(
        name=name,
        defaults={
            "device": "cpu",
            "version": "0.1.0",
            "protocol": 1,
            "heartbeat_at": Now(),
            "stopped_at": None,
        },
    )[0]


def begin(cycle: Cycle, *, name: str = "gpu-2") -> Cycle:
    """Taken by a worker, and running: the next epoch and attempt."""
    by = worker(name)
    cycle.refresh_from_db()
    transition(
        cycle.pk, to=State.STARTING, expect_from=[State.QUEUED], worker=by, attempt=cycle.attempt + 1,
        fence=True, environment={"python": "3.11", "torch": "2.13.0", "threads": 2},
    )  # fmt: skip
    return transition(cycle.pk, to=State.RUNNING, expect_from=[State.STARTING])


def paused(cycle: Cycle, *, actor: User | None, reason: str = "") -> Cycle:
    """Paused by a person, or by the clock for a reason."""
    cycle_pause(actor=actor, cycle=cycle, reason=reason)
    return pause_done(cycle)


def pause_done(cycle: Cycle) -> Cycle:
    """The worker of a cycle that pauses has written its snapshot and lets it go."""
    return transition(
        cycle.pk, to=State.PAUSED, expect_from=[State.PAUSING], fence=True, worker=None, reason="snapshot",
        attempt=F("attempt") - 1,
    )  # fmt: skip


def lost(cycle: Cycle) -> Cycle:
    """Its worker stopped reporting, and it waits for another one."""
    return transition(
        cycle.pk, to=State.QUEUED, expect_from=[State.RUNNING], fence=True, worker=None,
        reason="cycle.worker_lost",
    )  # fmt: skip


_rollups: dict[tuple[UUID, int], RollupWriter] = {}


def flush(cycle: Cycle, payload: dict[str, Any]) -> int:
    """One data frame in a transaction of its own, as a supervisor commits it."""
    started = [e["stage"] for e in payload.get("events", ()) if e["kind"] == "stage_started"]
    progress = {
        "progress": payload["progress"],
        "step": payload["step"],
        "total_steps": payload["total_steps"],
    }
    if started:
        progress["stage"] = started[-1]
    if energy := payload.get("energy"):
        progress |= {"energy_wh": energy["wh"], "energy_source": energy["source"]}
    rollups = _rollups.setdefault((cycle.pk, cycle.epoch), RollupWriter())
    parts = rollups.add(payload)
    with transaction.atomic():
        seq = frame_write(
            cycle_id=cycle.pk, epoch=cycle.epoch, kind="data", payload=payload, progress=progress
        )
        rollups.wrote(payload, seq)
        rollups.store(cycle.pk, cycle.epoch, parts)
    return seq


def play(cycle: Cycle, night: Night, *, speed: float = 0.0, until: int | None = None) -> None:
    """Write the night's frames; `speed` 1 is real time, 0 at once; `until`: stop after so many frames."""
    began, due = time.monotonic(), 0.0
    for number, payload in enumerate(night.flushes(), start=1):
        if speed:
            due += night.per_flush / speed
            time.sleep(max(0.0, began + due - time.monotonic()))
        flush(cycle, payload)
        if number == until:
            return


def finish(cycle: Cycle, night: Night, *, verdict: str = "improved") -> Checkpoint:
    """Publishing and its end, with a report and a new checkpoint of the line."""
    transition(cycle.pk, to=State.PUBLISHING, expect_from=[State.RUNNING])
    before, after = night.scores(0, 0), night.scores(1, 0)
    if verdict == "rejected":
        after[night.tasks[1]] = 0.5
    project = cycle.project
    number = project.last_checkpoint_number + 1
    made = _checkpoint(project, number, cycle.base, Origin.SLEEP)
    made.cycle = cycle
    made.standing = "promoted" if verdict == "improved" else "candidate"
    made.save()
    if verdict == "improved":
        Project.objects.filter(pk=project.pk).update(current=made)
    for task in Task.objects.filter(project=project):
        Score.objects.create(checkpoint=made, task=task, value=after[task.name], examples=500)
    old = night.tasks[:-1]

    def figures(scores: dict[str, float]) -> dict[str, Any]:
        lost = {name: 0.97 - 0.01 * i - scores[name] for i, name in enumerate(old)}
        worst = max(lost, key=lambda name: lost[name])
        kept = [scores[name] / (0.97 - 0.01 * i) for i, name in enumerate(old)]
        return {
            "retention": sum(kept) / len(kept), "worst_forgetting": lost[worst], "worst_task": worst,
            "acc": sum(scores.values()) / len(scores),
            "newest": scores[night.tasks[-1]], "newest_task": night.tasks[-1],
        }  # fmt: skip

    gain = {
        name: {
            "value": after[name] - before[name],
            "low": after[name] - before[name] - 0.03,
            "high": after[name] - before[name] + 0.03,
        }
        for name in night.tasks
    }
    mean = sum(after.values()) / len(after) - sum(before.values()) / len(before)
    report = {
        "gain": {"mean": {"value": mean, "low": mean - 0.02, "high": mean + 0.02}, "tasks": gain},
        "before": before,
        "after": after,
        "metrics": {"before": figures(before), "after": figures(after)},
        "seconds": night.seconds,
    }
    reasons = {
        "improved": [
            "Mean retention rose from 0.71 to 0.97.",
            "The newest task fell by 0.02, less than 0.05.",
        ],
        "unchanged": ["The interval of the mean gain holds 0."],
        "rejected": ["Forgetting reached 46.0 % on billing (budget 10 %)."],
    }[verdict]
    transition(
        cycle.pk, to=State.REJECTED if verdict == "rejected" else State.SUCCEEDED,
        expect_from=[State.PUBLISHING], verdict=verdict, reasons=reasons, report=report, progress=1.0,
    )  # fmt: skip
    return made
