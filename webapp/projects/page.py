"""The project page, put together: which of its stages the model line is in decides what it offers first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.paginator import Page, Paginator
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from consolidation.families.registry import computable
from consolidation.metrics import SHARES_OF_BEST
from webapp.checkpoints.choices import Origin, Standing
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.promotion_plan import before, project_aliases, promotion_plan
from webapp.cycles.choices import ACTIVE, UNFINISHED, Kind
from webapp.cycles.gains import gains_of
from webapp.cycles.held import with_held
from webapp.cycles.models import Cycle
from webapp.cycles.selectors import retention_matrix
from webapp.cycles.waiting import with_blocker
from webapp.fleet.selectors import workers_alive
from webapp.projects.life import SHOWN, life_of
from webapp.projects.selectors import holdings, line_nodes, line_of, matrix_view, standing_of_line
from webapp.schedules.models import Schedule
from webapp.uploads.models import Upload, UploadState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webapp.checkpoints.models import Alias
    from webapp.projects.models import Project
    from webapp.projects.selectors import Holding

    _CyclePaginator = Paginator[Cycle]
else:
    _CyclePaginator = Paginator

CYCLES_A_PAGE = 15
UNSCORED_NAMED = 6
CANDIDATES_SHOWN = 4


class NumberedPaginator(_CyclePaginator):
    """Pages of a project's cycles, newest first, counted and cut by their numbers, which have no holes.

    So the database reads a page's own rows from the index, whatever it knows of how many there are.
    """

    def __init__(self, project: Project) -> None:
        rows = Cycle.objects.filter(project=project).select_related("base", "result", "data__task")
        super().__init__(rows.order_by("-number"), CYCLES_A_PAGE)
        self.counted = project.last_cycle_number

    def page(self, number: int | str) -> Page[Cycle]:
        """The cycles whose numbers fall on the page."""
        valid = self.validate_number(number)
        top = self.count - (valid - 1) * self.per_page
        rows = self.object_list.filter(number__lte=top, number__gt=top - self.per_page)  # type: ignore[attr-defined]
        return Page(rows, valid, self)

    @cached_property
    def count(self) -> int:
        """How many cycles there ever were."""
        return self.counted


def learning_of(checkpoints: Sequence[Checkpoint], open_cycles: Sequence[Cycle]) -> dict[str, Any] | None:
    """Where a queue of wakes is ("Learning task 3 of 5"), None when no wake is open.

    Returns:
        at, of, cycle (runs or is next), progress (0 to 1 over all), lessons [{name, state, word}].
    """
    wakes = [cycle for cycle in open_cycles if cycle.kind == Kind.WAKE]
    if not wakes:
        return None
    now = next((wake for wake in wakes if wake.state in ACTIVE), wakes[0])
    done = _just_learned(checkpoints)
    lessons = [{"name": _lesson(wake), "state": "done", "word": _("learned")} for wake in done]
    for wake in wakes:
        state, word = ("now", _("learning")) if wake.pk == now.pk else ("next", _("to come"))
        lessons.append({"name": _lesson(wake), "state": state, "word": word})
    progress = (len(done) + now.progress) / len(lessons)
    return {"at": len(done) + 1, "of": len(lessons), "cycle": now, "progress": progress, "lessons": lessons}


def _just_learned(checkpoints: Sequence[Checkpoint]) -> list[Cycle]:
    """The wakes that this queue has behind it, oldest first: those at the end of the line, and none that the
    model has slept on since."""
    done: list[Cycle] = []
    for checkpoint in reversed(checkpoints):
        if checkpoint.origin != Origin.WAKE or checkpoint.cycle is None:
            break
        done.append(checkpoint.cycle)
    return done[::-1]


def _lesson(wake: Cycle) -> str:
    return wake.data.task.name if wake.data else str(wake)


def stage_of(
    project: Project, learning: dict[str, Any] | None, open_cycles: Sequence[Cycle], held: Sequence[Holding]
) -> str:
    """ "learning", "asleep", "empty", "kept" (nothing computes with its family), "unproven" (a set is
    missing), "ready" (awake) or "rested"."""
    if learning:
        return "learning"
    if open_cycles:
        return "asleep"
    current = project.current
    if current is None:
        return "empty"
    if not computable(current.family, current.config):
        return "kept"
    if not any(h.memories for h in held) or not any(h.probe for h in held):
        return "unproven"
    return "rested" if current.origin == Origin.SLEEP else "ready"


def _unscored(
    checkpoints: Sequence[Checkpoint], matrix: dict[str, Any], unfinished: Sequence[Cycle]
) -> list[Checkpoint]:
    """As `cycles.selectors.unscored`, from what the page has read anyway; a few to name."""
    known = {row["number"] for row in matrix["rows"]}
    waiting = {cycle.base_id for cycle in unfinished if cycle.kind == Kind.SCORE}
    left = [c for c in checkpoints if c.number not in known and c.pk not in waiting]
    found = [c for c in left if not c.non_finite and c.trashed_at is None and computable(c.family, c.config)]
    return found[:UNSCORED_NAMED]


def _ways(
    project: Project,
    checkpoints: Sequence[Checkpoint],
    aliases: Sequence[Alias],
    unfinished: Sequence[Cycle],
) -> dict[str, Any]:
    """Where the pointer could go: back by one, or to what was kept without being promoted, newest first."""
    current = project.current
    plan = partial(promotion_plan, left=current, aliases=aliases, unfinished=unfinished)
    earlier = before(current, checkpoints) if current else None
    kept = [
        c
        for c in reversed(checkpoints)
        if c.standing != Standing.PROMOTED and c.pk != project.current_id and c.trashed_at is None
    ]
    return {
        "aliases": aliases,
        "back": plan(earlier) if earlier else None,
        "candidates": [plan(c) for c in kept[:CANDIDATES_SHOWN]],
        "candidates_hidden": max(0, len(kept) - CANDIDATES_SHOWN),
    }


def project_page(project: Project, page_number: str | None, *, all_stages: bool = False) -> dict[str, Any]:
    """The page's context; its number of queries does not depend on the number of rows."""
    known = list(
        Checkpoint.everything.filter(project=project)
        .select_related("cycle__data__task")
        .defer("tensors", "config", "wake", "cycle__report", "cycle__recipe", "cycle__environment")
    )
    page = NumberedPaginator(project).get_page(page_number)
    unfinished = list(
        with_blocker(with_held(Cycle.objects.filter(project=project, state__in=UNFINISHED)))
        .select_related("base", "worker", "data__task")
        .order_by("number")
    )
    held = holdings(project)
    line = line_of(project.current, known)
    on_line = set(line)
    # What is in the trash is in no list; but the past of the line that is in use has no holes.
    checkpoints = [c for c in known if c.trashed_at is None or c.number in on_line]
    matrix = retention_matrix(project, checkpoints)
    learning = learning_of(checkpoints, unfinished)
    numbers = {c.pk: c.number for c in known}
    aliases = project_aliases(project)
    shown = None if all_stages else SHOWN
    nodes = line_nodes(checkpoints, matrix, project.current, aliases)
    life = life_of(
        matrix,
        line,
        parents={c.number: numbers.get(c.parent_id) if c.parent_id else None for c in checkpoints},
        open_columns=sum(1 for cycle in unfinished if cycle.kind != Kind.SCORE),
        shown=shown,
        shares=project.current is not None and project.current.objective in SHARES_OF_BEST,
    )
    return {
        "project": project,
        "nodes": nodes[-shown:] if shown else nodes,
        "nodes_hidden": max(0, len(nodes) - shown) if shown else 0,
        **_ways(project, checkpoints, aliases, unfinished),
        "cycles": [{"cycle": c, "gains": gains_of(c) if c.kind == Kind.SLEEP else None} for c in page],
        "page": page,
        "open_cycles": unfinished,
        "learning": learning,
        "holdings": held,
        "matrix": matrix_view(matrix, project.current, shown=shown),
        "life": life,
        "standing": standing_of_line(matrix, line, project.current),
        "unscored": _unscored(checkpoints, matrix, unfinished) if any(h.probe for h in held) else [],
        "schedules": list(
            Schedule.objects.filter(project=project).order_by("-enabled", "next_fire_at", "name")
        ),
        "uploads": list(
            Upload.objects.filter(project=project, state__in=[UploadState.RECEIVING, UploadState.VERIFYING])[
                :5
            ]
        ),
        "workers": list(workers_alive()) if unfinished else [],
        "stage": stage_of(project, learning, unfinished, held),
    }
