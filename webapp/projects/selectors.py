"""What the project pages show."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from consolidation.metrics import SHARES_OF_BEST, learned_stages, rows_from_json, summary
from webapp.core.plotting import task_colour
from webapp.cycles.models import Cycle
from webapp.memories.selectors import live_sets
from webapp.projects.models import Project, Task
from webapp.schedules.models import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from consolidation.metrics import Row
    from webapp.accounts.models import User
    from webapp.checkpoints.models import Alias, Checkpoint
    from webapp.memories.models import RecordSet


def project_rows(user: User | AnonymousUser) -> QuerySet[Project]:
    """The person's projects, newest first, each with `task_count`, `last_cycle_pk` and `next_fire_at`."""
    own = {"project": OuterRef("pk")}
    last_cycle = Cycle.objects.filter(**own).order_by("-number").values("pk")[:1]
    tasks = Task.objects.filter(**own).order_by().values("project").annotate(n=Count("pk")).values("n")
    fire = Schedule.objects.filter(**own, enabled=True, next_fire_at__isnull=False).order_by("next_fire_at")
    return (
        Project.objects.visible_to(user)
        .select_related("current")
        .annotate(
            task_count=Coalesce(Subquery(tasks), 0),
            last_cycle_pk=Subquery(last_cycle),
            next_fire_at=Subquery(fire.values("next_fire_at")[:1]),
        )
        .order_by("-created_at")
    )


def with_last_cycles(projects: Sequence[Project]) -> list[dict[str, Any]]:
    """[{project, cycle}]: each annotated project beside its newest cycle (or None), in one query."""
    wanted = [p.last_cycle_pk for p in projects]  # type: ignore[attr-defined]
    cycles = {c.pk: c for c in Cycle.objects.filter(pk__in=[pk for pk in wanted if pk])}
    return [{"project": p, "cycle": cycles.get(pk)} for p, pk in zip(projects, wanted, strict=True)]


@dataclass(frozen=True)
class Holding:
    """One task with its live record sets."""

    task: Task
    memories: RecordSet | None
    probe: RecordSet | None


def holdings(project: Project) -> list[Holding]:
    """What the project has to replay and to prove with, in the order of learning. Two queries."""
    sets: dict[tuple[UUID, str], RecordSet] = {(s.task_id, s.use): s for s in live_sets(project)}
    return [
        Holding(task, sets.get((task.pk, "memories")), sets.get((task.pk, "probe")))
        for task in Task.objects.filter(project=project)
    ]


def matrix_view(
    matrix: dict[str, Any], current: Checkpoint | None, *, shown: int | None = None
) -> dict[str, Any]:
    """The retention matrix turned for the page: a line a task, a column a checkpoint.

    Args:
        shown: at most so many columns, the newest; None: all. `hidden` says how many are left out.
    """
    number = current.number if current is not None else None
    columns = matrix["rows"][-shown:] if shown else matrix["rows"]

    def cells(task: str) -> list[dict[str, Any]]:
        return [
            {
                "value": row["scores"].get(task),
                "is_current": row["number"] == number,
                "typed": task in row["typed"],
            }
            for row in columns
        ]

    return {
        "columns": columns,
        "hidden": len(matrix["rows"]) - len(columns),
        "lines": [
            {
                "task": task,
                "colour": task_colour(matrix["places"][task]),
                "cells": cells(task),
                "level": level_of((row["scores"].get(task) for row in columns), current),
            }
            for task in matrix["tasks"]
        ],
    }


def level_of(scores: Iterable[float | None], current: Checkpoint | None) -> float | None:
    """What the shades of a task's scores are measured by: the best of a language model's, else none."""
    if current is None or current.objective not in SHARES_OF_BEST:
        return None
    return max((value for value in scores if value is not None), default=None)


def line_nodes(
    checkpoints: Sequence[Checkpoint],
    matrix: dict[str, Any],
    current: Checkpoint | None,
    aliases: Iterable[Alias] = (),
) -> list[dict[str, Any]]:
    """The checkpoint line, oldest first: each with its mean score over the tasks that it had learned, the
    aliases that point to it, and the number that it branched from when it is no child of the one before."""
    means, names = _means(matrix), defaultdict(list)
    for alias in aliases:
        names[alias.checkpoint_id].append(alias)
    numbers = {c.pk: c.number for c in checkpoints}
    nodes: list[dict[str, Any]] = []
    for index, checkpoint in enumerate(checkpoints):
        before = checkpoints[index - 1] if index else None
        parent = numbers.get(checkpoint.parent_id) if checkpoint.parent_id else None
        nodes.append(
            {
                "checkpoint": checkpoint,
                "mean": means.get(checkpoint.number),
                "is_current": current is not None and checkpoint.pk == current.pk,
                "aliases": names.get(checkpoint.pk, []),
                "branched_from": parent if before is not None and checkpoint.parent_id != before.pk else None,
            }
        )
    return nodes


def _means(matrix: dict[str, Any]) -> dict[int, float]:
    """Checkpoint number -> mean score; tasks still to come say nothing about forgetting and are left out."""
    learned = learned_stages(metric_rows(matrix["rows"]), matrix["tasks"])
    means = {}
    for index, row in enumerate(matrix["rows"]):
        own = [v for task, v in row["scores"].items() if learned.since.get(task, index + 1) <= index]
        if own:
            means[row["number"]] = sum(own) / len(own)
    return means


def metric_rows(rows: Iterable[dict[str, Any]]) -> list[Row]:
    """Rows for consolidation.metrics; an upload counts as a scoring, for nobody knows what it learned."""
    return rows_from_json(
        {
            "label": row["label"],
            "kind": row["kind"] if row["kind"] in ("wake", "sleep") else "score",
            "scores": row["scores"],
            "task": row["task"],
        }
        for row in rows
    )


def line_of(current: Checkpoint | None, checkpoints: Iterable[Checkpoint]) -> list[int]:
    """The numbers of the current checkpoint and its ancestors, oldest first."""
    by_id = {c.pk: c for c in checkpoints}
    numbers: list[int] = []
    at = by_id.get(current.pk) if current is not None else None
    while at is not None and (not numbers or at.number < numbers[-1]):
        numbers.append(at.number)
        at = by_id.get(at.parent_id) if at.parent_id else None
    return numbers[::-1]


def standing_of_line(
    matrix: dict[str, Any], numbers: Sequence[int], current: Checkpoint | None
) -> dict[str, Any]:
    """Retention, forgetting and the newest task at the end of a line (consolidation.metrics.summary)."""
    on_line = set(numbers)
    rows = [row for row in matrix["rows"] if row["number"] in on_line]
    tasks = [t for t in matrix["tasks"] if any(row["scores"].get(t) is not None for row in rows)]
    return summary(metric_rows(rows), tasks, objective=current.objective if current else "")
