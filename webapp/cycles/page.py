"""What the cycle page knows before the first frame: scores of the past, and what they are compared with.

A selector like `selectors`, apart from it because only the page needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from consolidation.metrics import Row, learned_stages, rows_from_json
from webapp.core.plotting import task_colour
from webapp.cycles.choices import ACTIVE, Kind, State
from webapp.cycles.selectors import cycle_state, lineage_history
from webapp.fleet.selectors import workers_alive
from webapp.projects.models import Task
from webapp.projects.selectors import level_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webapp.cycles.models import Cycle

# Columns of the matrix on the page of a cycle; the project's page shows all.
SHOWN: Final = 40
WAITING: Final = frozenset({State.SCHEDULED.value, State.QUEUED.value, State.BLOCKED.value})
# What each button of the page can be pressed in; js/steering.js has the same sets.
CANCELLABLE: Final = (WAITING | ACTIVE | {State.PAUSED.value}) - {
    State.PUBLISHING.value,
    State.CANCELLING.value,
}
PAUSABLE: Final = frozenset(
    {State.QUEUED.value, State.BLOCKED.value, State.STARTING.value, State.RUNNING.value}
)
RESUMABLE: Final = frozenset({State.PAUSED.value})
# By how much one can let a cycle go on for longer, in percent of its planned steps.
EXTENSIONS: Final = (25, 50, 100)
RETRIABLE: Final = frozenset(
    {State.FAILED.value, State.QUARANTINED.value, State.CANCELLED.value, State.REJECTED.value}
)


def cycle_page(cycle: Cycle) -> dict[str, Any]:
    """Everything that the page's script starts from.

    Returns:
        state: as the API gives it, with `workers_alive`; history: matrix rows of the base and its nearest
        ancestors, `hidden` being how many come before those; base_scored: whether the last is the base's own;
        tasks: [{"name", "place": in the order of learning, from 0, "colour": 1-8, "role": "old" | "newest" |
        "later", "best": score or None, "since": the row of the history in which it was learned (0 when that
        was before) or None, "past": its best among the hidden rows, {"label", "best"} or None,
        "level": what its shades are measured by, see `level_of`}] in order of learning; mode: "retention"
        when every old task has a past to be measured against, else "score" and mode_reason says why.
        At most 10 queries.
    """
    state = cycle_state(cycle)
    state["workers_alive"] = workers_alive().count()
    history = lineage_history(cycle.base) if cycle.base else []
    names = Task.objects.filter(project_id=cycle.project_id).values_list("name", flat=True)
    places = {name: place for place, name in enumerate(names)}
    tasks, mode, reason = comparison(
        kind=cycle.kind,
        tasks=state["tasks"],
        newest=state["newest_task"],
        history=history,
        base=str(cycle.base) if cycle.base else None,
        places=places,
    )
    shown = history[-SHOWN:]
    for task in tasks:
        task["level"] = level_of((row["scores"].get(task["name"]) for row in shown), cycle.base)
    return {
        "state": state,
        "history": shown,
        "hidden": len(history) - len(shown),
        "base_scored": bool(history) and history[-1]["label"] == str(cycle.base),
        "tasks": tasks,
        "mode": mode,
        "mode_reason": reason,
    }


def _best_of(rows: Sequence[Row], since: int, task: str) -> dict[str, Any] | None:
    known = [(value, row.label) for row in rows[since:] if (value := row.scores.get(task)) is not None]
    # Of two that are as high, the earlier one is named.
    best, label = max(known, key=lambda one: one[0], default=(None, ""))
    return None if best is None else {"label": label, "best": best}


def comparison(
    *,
    kind: str,
    tasks: Sequence[str],
    newest: str | None,
    history: Sequence[dict[str, Any]],
    base: str | None,
    places: Mapping[str, int],
) -> tuple[list[dict[str, Any]], str, str]:
    """The role and the best known score of each task, and whether retention can be told from them.

    Args:
        places: each task's place in the order of learning, from 0.

    A sleep's base is the present, not the past: a task that was never scored before it has no retention.
    """
    rows = rows_from_json(history)
    woke = any(row.kind == "wake" for row in rows)
    from_start = [] if kind == Kind.WAKE and base is None else tasks
    learned = learned_stages(rows, tasks).since if woke else dict.fromkeys(from_start, 0)
    past = rows[:-1] if kind == Kind.SLEEP and rows and rows[-1].label == base else rows
    described: list[dict[str, Any]] = []
    without = []
    hidden = max(0, len(rows) - SHOWN)
    for name in tasks:
        role = "newest" if name == newest else "old" if name in learned else "later"
        known = [v for row in rows[learned.get(name, 0) :] if (v := row.scores.get(name)) is not None]
        best = max(known, default=None) if role != "later" else None
        if role == "old" and not any((row.scores.get(name) or 0) > 0 for row in past):
            without.append(name)
            best = None
        since, place = learned.get(name), places[name]
        described.append(
            {
                "name": name,
                "place": place,
                "colour": task_colour(place),
                "role": role,
                "best": best,
                "since": None if since is None else max(0, since - hidden),
                "past": None if since is None else _best_of(rows[:hidden], since, name),
            }
        )
    if kind == Kind.SCORE:
        return described, "score", _("Scores of the proof probes.")
    if not any(task["role"] == "old" for task in described):
        return described, "score", _("Scores: there is no old task to retain yet.")
    if without:
        words = _("Scores, not retention: no earlier score of %(task)s is known to compare with.")
        return described, "score", words % {"task": without[0]}
    return described, "retention", ""
