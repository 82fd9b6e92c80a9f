"""What the cycle page knows before the first frame: scores of the past, and what they are compared with.

A selector like `selectors`, apart from it because only the page needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from consolidation.metrics import learned_stages, rows_from_json
from webapp.cycles.choices import ACTIVE, Kind, State
from webapp.cycles.selectors import cycle_state, lineage_history
from webapp.fleet.selectors import workers_alive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webapp.cycles.models import Cycle

WAITING: Final = frozenset({State.SCHEDULED.value, State.QUEUED.value, State.BLOCKED.value})
CANCELLABLE: Final = (WAITING | ACTIVE | {State.PAUSED.value}) - {
    State.PUBLISHING.value,
    State.CANCELLING.value,
}
RETRIABLE: Final = frozenset(
    {State.FAILED.value, State.QUARANTINED.value, State.CANCELLED.value, State.REJECTED.value}
)


def cycle_page(cycle: Cycle) -> dict[str, Any]:
    """Everything that the page's script starts from.

    Returns:
        state: as the API gives it, with `workers_alive`; history: matrix rows of the base and its ancestors;
        base_scored: whether the last of them is the base's own; tasks: [{"name", "colour": 1-8,
        "role": "old" | "newest" | "later", "best": score or None, "since": the row of the history in which it
        was learned, or None}] in order of learning; mode: "retention"
        when every old task has a past to be measured against, else "score" and mode_reason says why.
        At most 9 queries.
    """
    state = cycle_state(cycle)
    state["workers_alive"] = workers_alive().count()
    history = lineage_history(cycle.base) if cycle.base else []
    tasks, mode, reason = comparison(
        kind=cycle.kind,
        tasks=state["tasks"],
        newest=state["newest_task"],
        history=history,
        base=str(cycle.base) if cycle.base else None,
    )
    return {
        "state": state,
        "history": history,
        "base_scored": bool(history) and history[-1]["label"] == str(cycle.base),
        "tasks": tasks,
        "mode": mode,
        "mode_reason": reason,
    }


def task_colour(index: int) -> int:
    """The colour token of the task learned as number `index` (from 0), the same on every page: 1 to 8."""
    return index % 8 + 1


def comparison(
    *,
    kind: str,
    tasks: Sequence[str],
    newest: str | None,
    history: Sequence[dict[str, Any]],
    base: str | None,
) -> tuple[list[dict[str, Any]], str, str]:
    """The role and the best known score of each task, and whether retention can be told from them.

    A sleep's base is the present, not the past: a task that was never scored before it has no retention.
    """
    rows = rows_from_json(history)
    woke = any(row.kind == "wake" for row in rows)
    from_start = [] if kind == Kind.WAKE and base is None else tasks
    learned = learned_stages(rows, tasks).since if woke else dict.fromkeys(from_start, 0)
    past = rows[:-1] if kind == Kind.SLEEP and rows and rows[-1].label == base else rows
    described: list[dict[str, Any]] = []
    without = []
    for index, name in enumerate(tasks):
        role = "newest" if name == newest else "old" if name in learned else "later"
        known = [v for row in rows[learned.get(name, 0) :] if (v := row.scores.get(name)) is not None]
        best = max(known, default=None) if role != "later" else None
        if role == "old" and not any((row.scores.get(name) or 0) > 0 for row in past):
            without.append(name)
            best = None
        since = learned.get(name)
        described.append(
            {"name": name, "colour": task_colour(index), "role": role, "best": best, "since": since}
        )
    if kind == Kind.SCORE:
        return described, "score", _("Scores of the proof probes.")
    if not any(task["role"] == "old" for task in described):
        return described, "score", _("Scores: there is no old task to retain yet.")
    if without:
        words = _("Scores, not retention: no earlier score of %(task)s is known to compare with.")
        return described, "score", words % {"task": without[0]}
    return described, "retention", ""
