"""Reading cycles for pages, the API and the socket."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.db.models.functions import Now

from consolidation.families.registry import computable_kinds
from webapp.checkpoints.choices import Origin
from webapp.checkpoints.models import Checkpoint, Score
from webapp.cycles.choices import ACTIVE, UNFINISHED, Kind, State
from webapp.cycles.held import held_of, with_held
from webapp.cycles.models import Cycle
from webapp.cycles.steering import extendable
from webapp.cycles.waiting import waiting_reason, with_blocker
from webapp.projects.models import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from webapp.projects.models import Project

_DEFAULT_FORGETTING_BUDGET = 0.1


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _named(checkpoint: Checkpoint | None) -> dict[str, Any] | None:
    return {"id": str(checkpoint.pk), "number": checkpoint.number} if checkpoint else None


def cycle_energy(cycle: Cycle) -> dict[str, Any] | None:
    """What the cycle took so far, and how that is known; None: it was not measured yet."""
    return None if cycle.energy_wh is None else {"wh": cycle.energy_wh, "source": cycle.energy_source}


def queue_position(cycle: Cycle) -> int | None:
    """1 for the next of all waiting cycles; None when it does not wait."""
    if cycle.state != State.QUEUED or cycle.queued_at is None:
        return None
    # Cycles that were queued in one transaction (a score of each checkpoint) have one moment.
    same = Q(queued_at=cycle.queued_at)
    before = Q(queued_at__lt=cycle.queued_at) | same & Q(number__lt=cycle.number)
    before |= same & Q(number=cycle.number, id__lt=cycle.pk)
    return Cycle.objects.filter(before, state=State.QUEUED).count() + 1


def cycle_state(cycle: Cycle) -> dict[str, Any]:
    """How the cycle stands now, read afresh: the one JSON shape of the API and of the socket's hello.

    `waiting` ({"code", "message"}) says why no live worker takes it, `held` ({"since", "by", "reason"})
    since when it pauses or is blocked, and by whom; `extended` is the share of its plan that it got on top,
    `can_extend` whether it can get more. At most 4 queries.
    """
    rows = Cycle.objects.select_related("base__cycle__data__task", "worker", "result", "data__task")
    now = with_blocker(with_held(rows.annotate(server_now=Now()))).get(pk=cycle.pk)
    tasks = list(
        Task.objects.filter(record_sets__cycles_as_probes=now).distinct().values_list("name", flat=True)
    )
    result: Checkpoint | None = getattr(now, "result", None)
    newest = _newest(now, tasks)
    error = {"code": now.error_code, "message": now.error_message} if now.error_code else None
    held = held_of(now)
    return {
        "id": str(now.pk),
        "number": now.number,
        "kind": now.kind,
        "title": str(now),
        "state": now.state,
        "verdict": now.verdict or None,
        "reasons": now.reasons,
        "stage": now.stage,
        "progress": now.progress,
        "step": now.step,
        "total_steps": now.total_steps,
        "attempt": now.attempt,
        "epoch": now.epoch,
        "seq": now.seq,
        "worker": now.worker.name if now.worker else None,
        "queued_at": _iso(now.queued_at),
        "started_at": _iso(now.started_at),
        "finished_at": _iso(now.finished_at),
        "heartbeat_at": _iso(now.heartbeat_at),
        "server_now": _iso(now.server_now),
        "queue_position": queue_position(now),
        "waiting": waiting_reason(now),
        "held": held and {**held, "since": _iso(held["since"])},
        "device": now.device or None,
        "extended": now.extended,
        "can_extend": extendable(now),
        "preset": now.preset,
        "error": error,
        "energy": cycle_energy(now),
        "base": _named(now.base),
        "objective": now.base.objective if now.base else "classification",
        "result": _named(result),
        "tasks": tasks,
        "newest_task": newest,
        "forgetting_budget": float(now.recipe.get("forgetting_budget", _DEFAULT_FORGETTING_BUDGET)),
    }


def _newest(cycle: Cycle, tasks: Sequence[str]) -> str | None:
    """What a wake learns; what a scored checkpoint learned last, if it was here; else the last task."""
    if cycle.kind == Kind.WAKE and cycle.data is not None:
        return cycle.data.task.name
    made_by = cycle.base.cycle if cycle.base else None
    if cycle.kind == Kind.SCORE and made_by is not None and made_by.data is not None:
        return made_by.data.task.name
    return tasks[-1] if tasks else None


def active_cycle(project: Project) -> Cycle | None:
    """The cycle that a worker holds on this project, if any."""
    return Cycle.objects.filter(project=project, state__in=ACTIVE).first()


def unscored(project: Project) -> QuerySet[Checkpoint]:
    """Checkpoints without any score that can be scored and are not about to be, oldest first."""
    waiting = Cycle.objects.filter(project=project, kind=Kind.SCORE, state__in=UNFINISHED)
    kinds = [Q(family=name, config__contains=needs) for name, needs in computable_kinds()]
    rows = Checkpoint.objects.filter(
        reduce(or_, kinds), project=project, non_finite=False, scores__isnull=True
    )
    return rows.exclude(pk__in=waiting.exclude(base=None).values("base")).order_by("number")


def retention_matrix(project: Project, checkpoints: Iterable[Checkpoint] | None = None) -> dict[str, Any]:
    """The scores of the project's checkpoints, oldest first: what every metric is computed from.

    Args:
        checkpoints: all of them, where they have been read already with the cycle's task.

    Returns:
        {"tasks": [names in order], "places": {name: its place in that order, from 0}, "rows": [{"label",
        "kind": wake|sleep|upload, "task": what a wake learned or None, "checkpoint_id", "number", "standing",
        "scores": {task: fraction of 1}, "typed": [tasks whose score somebody typed in], "deleted": whether
        it is in the trash or gone}]}; checkpoints without any score have no row. 3 queries, 2 with
        `checkpoints`.
    """
    if checkpoints is not None:
        return _matrix(project, sorted(checkpoints, key=lambda row: row.number))
    scored = _rows_of(project).filter(
        pk__in=Score.objects.filter(checkpoint__project=project).values("checkpoint")
    )
    return _matrix(project, list(scored.order_by("number")))


def lineage_history(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The matrix rows of a checkpoint and its ancestors in the engine's form: label, kind, scores, task."""
    parents = {row.pk: row for row in _rows_of(checkpoint.project).filter(number__lte=checkpoint.number)}
    line: list[Checkpoint] = []
    step: Checkpoint | None = parents.get(checkpoint.pk)
    while step is not None:
        line.append(step)
        # A parent is older than its child, so this ends.
        above = parents.get(step.parent_id) if step.parent_id else None
        step = above if above is not None and above.number < step.number else None
    matrix = _matrix(checkpoint.project, line[::-1])
    kinds = {Origin.UPLOAD.value: "score"}
    rows = []
    for row in matrix["rows"]:
        body = {"label": row["label"], "kind": kinds.get(row["kind"], row["kind"]), "scores": row["scores"]}
        rows.append(body | ({"task": row["task"]} if row["task"] else {}))
    return rows


def _rows_of(project: Project) -> QuerySet[Checkpoint]:
    """The project's checkpoints with no more than what names them in a matrix: there may be a thousand.

    Those in the trash and the deleted ones too: what a line could do does not change when a file goes.
    """
    return (
        Checkpoint.everything.filter(project=project)
        .select_related("cycle__data__task")
        .only("number", "origin", "standing", "parent_id", "trashed_at", "cycle__data__task__name")
    )


def _matrix(project: Project, checkpoints: list[Checkpoint]) -> dict[str, Any]:
    tasks = list(Task.objects.filter(project=project).order_by("position").values_list("name", flat=True))
    scores: dict[Any, dict[str, float]] = {}
    typed: dict[Any, list[str]] = {}
    found = Score.objects.filter(checkpoint__in=checkpoints).order_by("task__position")
    names = ("checkpoint_id", "task__name", "value", "typed")
    for checkpoint_id, task, value, by_hand in found.values_list(*names):
        scores.setdefault(checkpoint_id, {})[task] = value
        if by_hand:
            typed.setdefault(checkpoint_id, []).append(task)
    rows = []
    for item in checkpoints:
        if item.pk not in scores:
            continue
        data = item.cycle.data if item.cycle and item.origin == Origin.WAKE else None
        rows.append(
            {
                "label": str(item),
                "kind": item.origin,
                "task": data.task.name if data else None,
                "checkpoint_id": str(item.pk),
                "number": item.number,
                "standing": item.standing,
                "scores": scores[item.pk],
                "typed": typed.get(item.pk, []),
                "deleted": item.trashed_at is not None,
            }
        )
    return {"tasks": tasks, "places": {task: place for place, task in enumerate(tasks)}, "rows": rows}
