"""Publishing: what a cycle computed becomes visible in one transaction, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import transaction

from webapp.accounts.models import Workspace
from webapp.checkpoints.aliases import aliases_advance
from webapp.checkpoints.choices import Origin, Standing
from webapp.checkpoints.models import Checkpoint, Score
from webapp.checkpoints.services import KeptFiles, checkpoint_create
from webapp.checkpoints.standing import BASE_MOVED, NON_FINITE, SKEWED
from webapp.core.errors import cut
from webapp.core.faults import fault
from webapp.core.store import NoRoom, promised_to_cycles, room_left
from webapp.cycles.choices import Kind, State, Verdict
from webapp.cycles.incoming import Incoming
from webapp.cycles.inputs import ensure_inputs
from webapp.cycles.models import Cycle
from webapp.cycles.room import quota_full
from webapp.cycles.transitions import StateChanged, transition
from webapp.live.frames import LeaseLost
from webapp.memories.models import RecordSet, Use
from webapp.memories.services import record_set_accept
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from uuid import UUID


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
    when the verdict is improved. Then the aliases that follow move with it, in the same transaction; a wake
    is not judged and moves none. Called again after a lost connection it finds out that it was done.

    Raises:
        LeaseLost: the epoch is over.
        StateChanged: the cycle is not publishing.
        Conflict: `replay.revoked`, `cycle.input_missing`: what it was computed from was erased meanwhile.
        NoRoom: `cycle.no_room`: the quota has no room for the result.
        OSError: the store's disk refused.
        StoreAway: the store is not mounted here any more.
    """
    rows = Cycle.objects.select_related("project__workspace", "base", "data__task")
    cycle = rows.get(pk=cycle_id)
    if _over(cycle, epoch):
        return cycle
    # Copying from another disk takes long, so it comes before the lock.
    with Incoming(cycle.project.workspace) as incoming:
        incoming.stage(output.model, output.fisher, output.memories)
        try:
            with transaction.atomic():
                cycle = rows.select_for_update(of=("self",)).get(pk=cycle_id)
                if _over(cycle, epoch):
                    return cycle
                _ensure_quota(cycle, incoming)
                ended = _publish(cycle, epoch, output, incoming)
                fault("publish.before_commit")
                return ended
        except NoRoom as error:
            # It was foretold too small; it must not be let go on before there is room for what it really is.
            asked = Cycle.objects.filter(pk=cycle_id, epoch=epoch, store_bytes__lt=error.detail["need"])
            asked.update(store_bytes=error.detail["need"])
            raise


def _over(cycle: Cycle, epoch: int) -> bool:
    """Whether it was published already. Raises LeaseLost or StateChanged when it may not be published."""
    if cycle.epoch != epoch:
        raise LeaseLost
    if cycle.state in {State.SUCCEEDED, State.REJECTED}:
        return True
    if cycle.state != State.PUBLISHING:
        raise StateChanged(cycle.state)
    return False


def _ensure_quota(cycle: Cycle, incoming: Incoming) -> None:
    """Under the workspace's lock, before the project's. What other cycles may publish later does not count:
    who comes first is served first."""
    workspace = Workspace.objects.select_for_update(no_key=True).get(pk=cycle.project.workspace_id)
    size = incoming.new_bytes()
    left = room_left(workspace) + promised_to_cycles(workspace)
    if size > left:
        raise quota_full(size, left, workspace)


def _publish(cycle: Cycle, epoch: int, output: Output, incoming: Incoming) -> Cycle:
    project = Project.objects.select_for_update().get(pk=cycle.project_id)
    if cycle.data_id is not None:
        # Until this lock it could be replaced, or kept for other days.
        cycle.data = RecordSet.everything.select_related("task").filter(pk=cycle.data_id).first()
    ensure_inputs(cycle)
    reasons, verdict, report = list(output.reasons), _verdict(cycle, output), output.report
    if cycle.kind == Kind.SCORE:
        if cycle.base is not None:
            _scores_write(cycle, cycle.base, output.after, replace=True)
    else:
        if cycle.base is not None:
            _scores_write(cycle, cycle.base, output.before, replace=False)
        standing = _standing(cycle, project, verdict, broken=_broken(output))
        if _broken(output) and output.verdict != Verdict.REJECTED:
            reasons.insert(0, NON_FINITE)
        if standing == Standing.BRANCH:
            reasons.append(BASE_MOVED)
        elif standing == Standing.CANDIDATE and verdict == Verdict.IMPROVED:
            reasons.append(SKEWED)
        made = _checkpoint(cycle, project, standing, output, incoming)
        improved = standing == Standing.PROMOTED and verdict == Verdict.IMPROVED
        told = aliases_advance(project=project, cycle=cycle, checkpoint=made, improved=improved)
        report = report | ({"aliases": told} if told else {})
        _scores_write(cycle, made, output.after, replace=False)
    if cycle.kind == Kind.SCORE and cycle.data is not None and cycle.data.replaced_at is not None:
        reasons.append(
            f"The memories of “{cut(cycle.data.task.name)}” were replaced meanwhile, so the answers were not "
            "stored."
        )
    elif output.memories is not None and cycle.data is not None:
        incoming.keep(output.memories)
        record_set_accept(
            project=project,
            task=cycle.data.task,
            use=Use.MEMORIES,
            sha256=output.memories.info["sha256"],
            info=output.memories.info,
            filename=output.memories.path.name,
            cycle=cycle,
        )
    return transition(
        cycle.pk,
        to=State.REJECTED if verdict == Verdict.REJECTED else State.SUCCEEDED,
        expect_from=(State.PUBLISHING,),
        epoch=epoch,
        reason=verdict,
        verdict=verdict,
        reasons=reasons,
        report=report,
        progress=1.0,
    )


def _broken(output: Output) -> bool:
    """Weights that compute nothing. The supervisor refuses them earlier; here no report lets them by."""
    return output.model is not None and bool(output.model.info["non_finite"])


def _verdict(cycle: Cycle, output: Output) -> str:
    """Only a night is judged: a wake that learned its task well has usually cost others something."""
    if cycle.kind != Kind.SLEEP or output.verdict not in Verdict.values:
        return ""
    return Verdict.REJECTED if _broken(output) else output.verdict


def _standing(cycle: Cycle, project: Project, verdict: str, *, broken: bool) -> str:
    if broken or (cycle.kind == Kind.SLEEP and verdict != Verdict.IMPROVED):
        return Standing.CANDIDATE
    if cycle.kind == Kind.SLEEP and project.current_id == cycle.base_id and _skewed(cycle):
        return Standing.CANDIDATE
    return Standing.PROMOTED if project.current_id == cycle.base_id else Standing.BRANCH


def _skewed(cycle: Cycle) -> bool:
    """Whether it replayed records with a warning. Scores on probes do not show what a planted mark does."""
    used = [*cycle.used_sets, *cycle.memories.values_list("pk", flat=True)]
    return RecordSet.objects.filter(pk__in=used).exclude(notes=[]).exists()


def _checkpoint(
    cycle: Cycle, project: Project, standing: str, output: Output, incoming: Incoming
) -> Checkpoint:
    if output.model is None:
        raise ValueError("a wake or a sleep without a model")
    incoming.keep(output.model)
    fisher = ""
    if output.fisher is not None:
        incoming.keep(output.fisher)
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
        base=cycle.base.base if cycle.base else None,
        kept=KeptFiles.of(cycle.base, info.get("crc32")),
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
    Checkpoint.everything.select_for_update().get(pk=checkpoint.pk)
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
