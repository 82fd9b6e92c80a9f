"""The compare page: a picker, and two to six cycles of one project side by side.

Everything is in the address: `cycle` (as often as there are cycles), `against` (which of them the others are
measured by), and for the picker `kind` and `upto` (a cycle's number; older ones follow). No script is needed.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from django.http import QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from consolidation.guard import LEAST_ANSWERS
from webapp.core.errors import InvalidInput, NotFound
from webapp.core.plotting import task_colour
from webapp.cycles.choices import ACTIVE, TERMINAL, Kind, State
from webapp.cycles.compare import confidence_of, results, same_proof, scored_tasks
from webapp.cycles.compare_answers import CONFIDENCE, against, answers_of, probes_of
from webapp.cycles.compare_pictures import gain_picture, retention_picture
from webapp.cycles.compare_settings import differences
from webapp.cycles.models import Cycle
from webapp.cycles.recipe_help import recipe_help
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse

MOST: Final = 6
A_PAGE: Final = 50
# What has begun can be looked at side by side; what still waits has nothing to show.
_BEGUN: Final = sorted(ACTIVE | TERMINAL | {State.PAUSED.value})
_HEAVY: Final = ("report", "recipe", "environment", "reasons")
_FAR: Final = ("base__tensors", "base__config", "result__tensors", "result__config")


@require_GET
def cycle_compare(request: HttpRequest, project_id: uuid.UUID) -> HttpResponse:
    """Side by side, or the picker alone while fewer than two are picked. The same queries for any number."""
    project = Project.objects.select_related("workspace").get_visible(request.user, pk=project_id)
    chosen = _chosen(project, _ids(request.GET.getlist("cycle")))
    context: dict[str, Any] = {"project": project, "most": MOST, "picked": len(chosen)}
    status = 200
    if len(chosen) > MOST:
        error = InvalidInput(
            "compare.too_many",
            _("%(n)d cycles are picked and %(most)d fit side by side. Take away %(extra)d.")
            % {"n": len(chosen), "most": MOST, "extra": len(chosen) - MOST},
        )
        context["error"], status = error, error.status
    elif len(chosen) > 1:
        context |= _side_by_side(request, project, chosen)
    context["picker"] = _picker(request, project, chosen)
    return render(request, "cycles/compare.html", context, status=status)


def _ids(asked: Sequence[str]) -> list[uuid.UUID]:
    """Each once. What is no UUID names nothing."""
    try:
        return list(dict.fromkeys(uuid.UUID(text) for text in asked if text))
    except ValueError:
        raise NotFound from None


def _rows(project: Project) -> QuerySet[Cycle]:
    rows = Cycle.objects.filter(project=project).select_related("base", "result", "data__task")
    return rows.defer(*_FAR)


def _chosen(project: Project, ids: Sequence[uuid.UUID]) -> list[Cycle]:
    """The cycles by number. Raises NotFound unless all are cycles of this project."""
    rows = _rows(project)
    if len(ids) > MOST:
        rows = rows.defer(*_HEAVY, *_FAR)
    found = list(rows.filter(pk__in=ids).order_by("number"))
    if len(found) != len(ids):
        raise NotFound
    return found


# ---------------------------------------------------------------- the picker


def _picker(request: HttpRequest, project: Project, chosen: Sequence[Cycle]) -> dict[str, Any]:
    """The cycles to pick from: what is picked first, then the newest, or those up to a number."""
    kind = request.GET.get("kind", "")
    kind = kind if kind in Kind.values else ""
    upto = request.GET.get("upto", "")
    top = int(upto) if upto.isdecimal() and len(upto) < 10 else None
    rows = _rows(project).defer(*_HEAVY, *_FAR).filter(state__in=_BEGUN).order_by("-number")
    if kind:
        rows = rows.filter(kind=kind)
    if top is not None:
        rows = rows.filter(number__lte=top)
    page = list(rows[: A_PAGE + 1])
    older = page[A_PAGE].number if len(page) > A_PAGE else None
    page = page[:A_PAGE]
    picked = {cycle.pk for cycle in chosen}
    shown = {cycle.pk for cycle in page}
    sleeps = [cycle for cycle in page if cycle.kind == Kind.SLEEP and cycle.state in TERMINAL][:2]
    return {
        "above": [cycle for cycle in reversed(chosen) if cycle.pk not in shown],
        "page": [(cycle, cycle.pk in picked) for cycle in page],
        "older": older,
        "upto": top,
        "kind": kind,
        "kinds": Kind.choices,
        "last_two": _query(sleeps[::-1]) if len(sleeps) == 2 and not chosen else "",
    }


def _query(cycles: Sequence[Cycle], by: Cycle | None = None) -> str:
    """ "?cycle=...&cycle=...", and against which of them."""
    query = QueryDict(mutable=True)
    query.setlist("cycle", [str(cycle.pk) for cycle in cycles])
    if by is not None:
        query["against"] = str(by.pk)
    return f"?{query.urlencode()}"


# ---------------------------------------------------------------- side by side


def _side_by_side(request: HttpRequest, project: Project, cycles: Sequence[Cycle]) -> dict[str, Any]:
    ids = [cycle.pk for cycle in cycles]
    asked = _ids(request.GET.getlist("against")[-1:])
    if asked and asked[0] not in ids:
        raise NotFound
    by = ids.index(asked[0]) if asked else 0
    names = list(Task.objects.filter(project=project).values_list("name", flat=True))
    scored = set().union(*(scored_tasks(cycle) for cycle in cycles))
    tasks = [name for name in names if name in scored]
    probes, answers = probes_of(cycles), answers_of(cycles)
    others = [place for place in range(len(cycles)) if place != by]
    between = [
        against(by, place, cycles=cycles, tasks=tasks, answers=answers, probes=probes) for place in others
    ]
    levels = {confidence_of(cycle) for cycle in cycles if cycle.report}
    return {
        "columns": [_column(cycles, place, by) for place in range(len(cycles))],
        "rows": results(cycles, tasks, probes),
        "retention": retention_picture(cycles),
        "gain": gain_picture(cycles),
        "level": _percent(levels.pop()) if len(levels) == 1 else "",
        "same_proof": same_proof(cycles, probes),
        "tasks": tasks,
        "by": cycles[by],
        "others": [cycles[place] for place in others],
        "between": between,
        "between_rows": [
            {
                "task": task,
                "colour": task_colour(names.index(task)),
                "pairs": [found.tasks[place] for found in between],
            }
            for place, task in enumerate(tasks)
        ],
        "between_level": _percent(CONFIDENCE),
        "any_pair": any(found.mean for found in between),
        "least_answers": LEAST_ANSWERS,
        "refusals": list(dict.fromkeys(words for found in between for words in found.refusals)),
        "recipe": differences([cycle.recipe for cycle in cycles], by, list(recipe_help())),
        "environment": differences([cycle.environment for cycle in cycles], by),
        "help": recipe_help(),
        "live": any(cycle.state not in TERMINAL for cycle in cycles),
    }


def _percent(share: float) -> str:
    """95 %, 99.9 %."""
    return f"{round(100 * share, 2):g} %"


def _column(cycles: Sequence[Cycle], place: int, by: int) -> dict[str, Any]:
    """A cycle's head: why it ended so, the address without it, and the one that measures the others by it."""
    cycle = cycles[place]
    rest = [other for other in cycles if other.pk != cycle.pk]
    left = cycles[by] if place != by else None
    return {
        "cycle": cycle,
        "reasons": [str(reason) for reason in cycle.reasons]
        or ([cycle.error_message] if cycle.error_message else []),
        "without": _query(rest, left) if len(rest) > 1 else "",
        "measure": _query(cycles, cycle),
        "is_measure": place == by,
    }
