"""Everything that a report shows, gathered once: the same for a member and for somebody with a link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone

from webapp.cycles.models import Cycle, Transition
from webapp.cycles.outcome import outcome
from webapp.cycles.selectors import retention_matrix
from webapp.memories.models import RecordSet
from webapp.projects.life import SHOWN
from webapp.projects.selectors import matrix_view
from webapp.reports.night import night_of
from webapp.reports.pictures import hypnogram, loss_chart, scores_chart

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.core.visibility import VisibleQuerySet


def reported() -> VisibleQuerySet[Cycle]:
    """Cycles with what a report needs of them at hand."""
    rows: VisibleQuerySet[Cycle] = Cycle.objects.select_related(
        "project__workspace", "project__current", "base", "result", "created_by", "data__task", "worker"
    )
    return rows


def contents(cycle: Cycle) -> dict[str, Any]:
    """The context of `reports/report.html`.

    Returns:
        cycle, project, outcome (see webapp.cycles.outcome), tasks; night, hypnogram, scores, loss: drawings;
        matrix: up to the cycle's own result; decisions; recipe and environment as sorted pairs; sets: the
        record sets that took part; attempts; steps of its state; made: when this page was made.
    """
    ended = outcome(cycle)
    night = night_of(cycle)
    names = [task["name"] for task in ended["tasks"]] if ended else []
    matrix = _matrix(cycle)
    return {
        "cycle": cycle,
        "project": cycle.project,
        "outcome": ended,
        "night": night,
        "hypnogram": hypnogram(night, cycle.kind) if night.stages else None,
        "scores": scores_chart(night, matrix["tasks"] or names, matrix["places"]),
        "loss": loss_chart(night),
        "tasks": matrix["tasks"],
        "matrix": matrix_view(matrix, getattr(cycle, "result", None), shown=SHOWN)
        if matrix["rows"]
        else None,
        "decisions": [event | {"title": _title(event["name"])} for event in night.decisions],
        "recipe": sorted(cycle.recipe.items()),
        "environment": sorted(cycle.environment.items()),
        "sets": _sets(cycle.pk),
        "transitions": Transition.objects.filter(cycle=cycle).order_by("id"),
        "made": timezone.now(),
    }


def _title(name: str) -> str:
    """ "early_stop" as "Early stop"."""
    return name.replace("_", " ").capitalize()


def _matrix(cycle: Cycle) -> dict[str, Any]:
    """The scores as they were when the cycle ended: later checkpoints are none of this report's business."""
    result = getattr(cycle, "result", None)
    last = result.number if result else cycle.base.number if cycle.base else 0
    matrix = retention_matrix(cycle.project)
    rows = [row for row in matrix["rows"] if row["number"] <= last]
    tasks = [task for task in matrix["tasks"] if any(row["scores"].get(task) is not None for row in rows)]
    return {"tasks": tasks, "places": matrix["places"], "rows": rows}


def _sets(cycle_id: UUID) -> list[RecordSet]:
    """Training rows, memories and probes by task, with the hashes that say which exactly."""
    found: list[RecordSet] = []
    for field in ("cycles_as_data", "cycles_as_memories", "cycles_as_probes"):
        rows = RecordSet.everything.filter(**{field: cycle_id}).select_related("task")
        found += list(rows.order_by("task__position"))
    return found
