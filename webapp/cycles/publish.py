"""Publishing: what a cycle computed becomes visible in one transaction, or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from django.conf import settings
from django.db import DatabaseError, transaction

from webapp.checkpoints.choices import Origin, Standing
from webapp.checkpoints.models import Checkpoint, Score
from webapp.checkpoints.services import checkpoint_create
from webapp.core.store import store_discard, store_put
from webapp.cycles.choices import Kind, State, Verdict
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import StateChanged, transition
from webapp.live.frames import LeaseLost
from webapp.memories.models import Use
from webapp.memories.services import record_set_accept
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

BASE_MOVED: Final = (
    "The project's current checkpoint changed while this cycle ran, so the result is kept as a branch "
    "(conflict.base_moved)."
)


@dataclass(frozen=True)
class TaskScore:
    """One task on proof: a fraction of 1, of so many examples, one bit each (numpy packbits)."""

    value: float
    examples: int
    correct: bytes


@dataclass(frozen=True)
class Found:
    """A verified file: where it is, and what the format's inspector said (with "size" and "sha256")."""

    path: Path
    info: dict[str, Any]


@dataclass(frozen=True)
class Output:
    """What a trainer left, after the supervisor's own checks."""

    report: dict[str, Any]
    verdict: str
    reasons: list[str]
    before: Mapping[str, TaskScore]
    after: Mapping[str, TaskScore]
    model: Found | None = None
    memories: Found | None = None
    fisher: Found | None = None


def publish(*, cycle_id: UUID, epoch: int, output: Output) -> Cycle:
    """Checkpoint, scores, memories, the project's pointer and the cycle's last state, together.

    The pointer moves by compare-and-set: only when it still points at the cycle's base, and for a sleep only
    when the verdict is improved. Called again after a lost connection it finds out that it was done.

    Raises:
        LeaseLost: the epoch is over.
        StateChanged: the cycle is not publishing.
        OSError: the store's disk refused.
    """
    stored: list[str] = []
    rows = Cycle.objects.select_related("project__workspace", "base", "data__task")
    workspace = rows.get(pk=cycle_id).project.workspace
    try:
        with transaction.atomic():
            cycle = rows.select_for_update(of=("self",)).get(pk=cycle_id)
            if cycle.epoch != epoch:
                raise LeaseLost
            if cycle.state in {State.SUCCEEDED, State.REJECTED}:
                return cycle
            if cycle.state != State.PUBLISHING:
                raise StateChanged(cycle.state)
            return _publish(cycle, epoch, output, stored)
    except BaseException:
        with suppress(DatabaseError):
            for sha256 in stored:
                store_discard(workspace=workspace, sha256=sha256)
        raise


def _publish(cycle: Cycle, epoch: int, output: Output, stored: list[str]) -> Cycle:
    project = Project.objects.select_for_update().get(pk=cycle.project_id)
    reasons = list(output.reasons)
    if cycle.kind == Kind.SCORE:
        if cycle.base is not None:
            _scores_write(cycle, cycle.base, output.after, replace=True)
    else:
        if cycle.base is not None:
            _scores_write(cycle, cycle.base, output.before, replace=False)
        standing = _standing(cycle, project, output.verdict)
        if standing == Standing.BRANCH:
            reasons.append(BASE_MOVED)
        made = _checkpoint(cycle, project, standing, output, stored)
        _scores_write(cycle, made, output.after, replace=False)
    if output.memories is not None and cycle.data is not None:
        _keep(cycle, output.memories, stored)
        record_set_accept(
            project=project,
            task=cycle.data.task,
            use=Use.MEMORIES,
            sha256=output.memories.info["sha256"],
            info=output.memories.info,
            filename=output.memories.path.name,
            cycle=cycle,
        )
    # Only a night is judged: a wake that learned its task well has usually cost others something.
    verdict = output.verdict if cycle.kind == Kind.SLEEP and output.verdict in Verdict.values else ""
    return transition(
        cycle.pk,
        to=State.REJECTED if verdict == Verdict.REJECTED else State.SUCCEEDED,
        expect_from=(State.PUBLISHING,),
        epoch=epoch,
        reason=verdict,
        verdict=verdict,
        reasons=reasons,
        report=output.report,
        progress=1.0,
    )


def _standing(cycle: Cycle, project: Project, verdict: str) -> str:
    if cycle.kind == Kind.SLEEP and verdict != Verdict.IMPROVED:
        return Standing.CANDIDATE
    return Standing.PROMOTED if project.current_id == cycle.base_id else Standing.BRANCH


def _checkpoint(
    cycle: Cycle, project: Project, standing: str, output: Output, stored: list[str]
) -> Checkpoint:
    if output.model is None:
        raise ValueError("a wake or a sleep without a model")
    _keep(cycle, output.model, stored)
    fisher = ""
    if output.fisher is not None:
        _keep(cycle, output.fisher, stored)
        fisher = output.fisher.info["sha256"]
    info = output.model.info
    return checkpoint_create(
        project=project,
        cycle=cycle,
        parent=cycle.base,
        origin=Origin.WAKE if cycle.kind == Kind.WAKE else Origin.SLEEP,
        standing=standing,
        sha256=info["sha256"],
        size_bytes=info["size"],
        family=info["family"],
        config=info["config"],
        tensors=info["tensors"],
        parameters=info["parameters"],
        non_finite=info["non_finite"],
        wake=_wake(cycle),
        fisher_sha256=fisher,
    )


def _wake(cycle: Cycle) -> dict[str, Any]:
    """What is known of the training behind a checkpoint: a wake's own, or for a sleep its base's."""
    if cycle.kind == Kind.WAKE and cycle.data is not None:
        return {"examples": cycle.data.rows * int(cycle.recipe["epochs"]), "lr": cycle.recipe["lr"]}
    return dict(cycle.base.wake) if cycle.base else {}


def _scores_write(
    cycle: Cycle, checkpoint: Checkpoint, scores: Mapping[str, TaskScore], *, replace: bool
) -> None:
    """One row a task; an older row stays unless it is to be replaced."""
    # Somebody may be typing scores in: one waits for the other.
    Checkpoint.objects.select_for_update().get(pk=checkpoint.pk)
    tasks = {task.name: task for task in Task.objects.filter(project_id=cycle.project_id)}
    rows = [
        Score(
            checkpoint=checkpoint,
            task=tasks[name],
            cycle=cycle,
            value=score.value,
            examples=score.examples,
            correct=score.correct,
        )
        for name, score in scores.items()
        if name in tasks
    ]
    if replace:
        Score.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["checkpoint", "task"],
            update_fields=["cycle", "value", "examples", "correct", "typed"],
        )
    else:
        # What somebody typed in gives way to what was measured.
        Score.objects.filter(checkpoint=checkpoint, typed=True, task__in=[row.task for row in rows]).delete()
        Score.objects.bulk_create(rows, ignore_conflicts=True)


def _keep(cycle: Cycle, found: Found, stored: list[str]) -> None:
    """Into the store by way of its own disk; the original stays where it is, in case this is tried again."""
    incoming = Path(settings.INCOMING_DIR)
    incoming.mkdir(parents=True, exist_ok=True)
    copy = incoming / f"publish-{uuid4()}"
    try:
        try:
            os.link(found.path, copy)
        except OSError:
            shutil.copyfile(found.path, copy)
        store_put(
            workspace=cycle.project.workspace,
            source=copy,
            sha256=found.info["sha256"],
            size_bytes=found.info["size"],
        )
        stored.append(found.info["sha256"])
    finally:
        copy.unlink(missing_ok=True)
