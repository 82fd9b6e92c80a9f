"""The project page, put together: which of its stages the model line is in decides what it offers first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.utils.translation import gettext as _

from webapp.checkpoints.choices import Origin
from webapp.checkpoints.models import Checkpoint
from webapp.cycles.choices import ACTIVE, TERMINAL, Kind, State
from webapp.cycles.gains import gains_of
from webapp.cycles.models import Cycle
from webapp.cycles.selectors import retention_matrix
from webapp.fleet.selectors import workers_alive
from webapp.projects.selectors import holdings, line_nodes, line_of, matrix_view, standing_of_line
from webapp.schedules.models import Schedule
from webapp.uploads.models import Upload, UploadState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webapp.projects.models import Project
    from webapp.projects.selectors import Holding

CYCLES_A_PAGE = 15


def learning_of(wakes: Sequence[Cycle]) -> dict[str, Any] | None:
    """Where a queue of wakes is ("Learning task 3 of 5"), None when no wake is open.

    Args:
        wakes: in the order of their numbers; those that failed or were cancelled do not count.

    Returns:
        at, of, cycle (runs or is next), progress (0 to 1 over all), lessons [{name, state, word}].
    """
    open_wakes = [w for w in wakes if w.state not in TERMINAL]
    if not open_wakes:
        return None
    counted = [w for w in wakes if w.state not in TERMINAL or w.state == State.SUCCEEDED]
    done = len(counted) - len(open_wakes)
    now = next((w for w in open_wakes if w.state in ACTIVE), open_wakes[0])
    words = {"done": _("learned"), "now": _("learning"), "next": _("to come")}
    lessons = []
    for wake in counted:
        state = "done" if wake.state == State.SUCCEEDED else ("now" if wake.pk == now.pk else "next")
        name = wake.data.task.name if wake.data else str(wake)
        lessons.append({"name": name, "state": state, "word": words[state]})
    progress = (done + now.progress) / len(counted)
    return {"at": done + 1, "of": len(counted), "cycle": now, "progress": progress, "lessons": lessons}


def stage_of(
    project: Project, learning: dict[str, Any] | None, open_cycles: Sequence[Cycle], held: Sequence[Holding]
) -> str:
    """ "learning", "asleep", "empty", "unproven" (a set is missing), "ready" (awake) or "rested"."""
    if learning:
        return "learning"
    if open_cycles:
        return "asleep"
    current = project.current
    if current is None:
        return "empty"
    if not any(h.memories for h in held) or not any(h.probe for h in held):
        return "unproven"
    return "rested" if current.origin == Origin.SLEEP else "ready"


def project_page(project: Project, page_number: str | None) -> dict[str, Any]:
    """The page's context; its number of queries does not depend on the number of rows."""
    checkpoints = list(
        Checkpoint.objects.filter(project=project)
        .select_related("parent", "cycle")
        .defer("tensors", "config", "cycle__report", "cycle__recipe")
    )
    cycles = (
        Cycle.objects.filter(project=project)
        .select_related("base", "result", "data__task")
        .order_by("-number")
    )
    page = Paginator(cycles, CYCLES_A_PAGE).get_page(page_number)
    wakes = list(
        Cycle.objects.filter(project=project, kind=Kind.WAKE).select_related("data__task").order_by("number")
    )
    unfinished = list(
        Cycle.objects.filter(project=project)
        .exclude(state__in=TERMINAL)
        .select_related("base", "worker", "data__task")
        .order_by("number")
    )
    held = holdings(project)
    matrix = retention_matrix(project)
    learning = learning_of(wakes)
    return {
        "project": project,
        "nodes": line_nodes(checkpoints, matrix, project.current),
        "cycles": [{"cycle": c, "gains": gains_of(c) if c.kind == Kind.SLEEP else None} for c in page],
        "page": page,
        "open_cycles": unfinished,
        "learning": learning,
        "holdings": held,
        "matrix": matrix_view(matrix, project.current),
        "standing": standing_of_line(matrix, line_of(project.current, checkpoints)),
        "schedules": list(
            Schedule.objects.filter(project=project).order_by("-enabled", "next_fire_at", "name")
        ),
        "uploads": list(
            Upload.objects.filter(project=project, state__in=[UploadState.RECEIVING, UploadState.VERIFYING])[
                :5
            ]
        ),
        "workers": workers_alive().exists() if unfinished else True,
        "stage": stage_of(project, learning, unfinished, held),
    }
