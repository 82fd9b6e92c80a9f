"""Retention, forgetting and their kin: pure functions of the raw retention matrix. Torch-free.

The matrix is a list of rows, oldest first; a row is one stage (a wake, a sleep, or a mere scoring) with the
score, a fraction of 1, of each task at that point. Nothing is stored but the rows. What cannot be told is
null with a reason, never 0. Formulas: Lopez-Paz & Ranzato 2017 (BWT, FWT), Chaudhry et al. 2018
(forgetting, intransigence), De Lange et al. 2023 (stability gap).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple

from consolidation.errors import NocturneInputError, shorten

KINDS = ("wake", "sleep", "score")
# Objectives whose scores differ in size from task to task, 1 / perplexity for one: what is lost of them is
# told, averaged and held against limits as a share of the task's best.
SHARES_OF_BEST: Final = frozenset({"language"})
Scores = Mapping[str, float | None]


class Metric(NamedTuple):
    """A value, or null and the reason why there is none."""

    value: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One stage. `task` names what a wake learned, when it is known."""

    label: str
    kind: str
    scores: dict[str, float | None]
    task: str | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"label": self.label, "kind": self.kind, "scores": dict(self.scores)}
        if self.task is not None:
            body["task"] = self.task
        return body


def rows_from_json(history: Iterable[Row | Mapping[str, Any]] | None) -> list[Row]:
    """Rows from their JSON form. Raises NocturneInputError (`history.row`) for anything else."""
    rows: list[Row] = []
    for item in history or ():
        if isinstance(item, Row):
            rows.append(item)
            continue
        good = isinstance(item, Mapping) and isinstance(item.get("scores"), Mapping)
        if not good or item.get("kind") not in KINDS:
            raise NocturneInputError(
                "history.row", "A row of past scores needs a label, a kind (wake, sleep or score) and scores."
            )
        for task, value in item["scores"].items():
            number = isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0
            if value is not None and not number:
                raise NocturneInputError(
                    "history.row",
                    f"The past score of {shorten(task)} is {shorten(value)}; a score is 0 to 1, or null.",
                )
        scores = {str(task): None if v is None else float(v) for task, v in item["scores"].items()}
        woke = item.get("task")
        label = str(item.get("label", ""))
        rows.append(Row(label, item["kind"], scores, str(woke) if woke is not None else None))
    return rows


# ---------------------------------------------------------------- what was learned, and when


class Learned(NamedTuple):
    """For each learned task, in the order of learning, the row it is first known in (`since`) and the row
    that counts as "just learned": the sleep that directly follows its wake, or the wake itself (`at`)."""

    since: dict[str, int]
    at: dict[str, int]

    @property
    def newest(self) -> str | None:
        return next(reversed(self.since), None)

    @property
    def old(self) -> list[str]:
        return list(self.since)[:-1]


def learned_stages(rows: Sequence[Row], tasks: Sequence[str]) -> Learned:
    """When each task was learned, from the wake rows.

    A wake row without a task's name is taken as the next task in order. Without any wake row all tasks count
    as known from the start, the last one as the newest. A task without a wake row of its own that stands, in
    task order, before one that has, was known from the start; one after them all is not learned yet.
    """
    woke: dict[str, int] = {}
    for index, row in enumerate(rows):
        if row.kind != "wake":
            continue
        task = row.task if row.task is not None else next((t for t in tasks if t not in woke), None)
        if task is not None and task in tasks and task not in woke:
            woke[task] = index
    if not woke:
        start = {task: 0 for task in tasks}
        return Learned(start, dict(start))
    last = max(tasks.index(task) for task in woke)
    since = {task: 0 for task in tasks[:last] if task not in woke}
    since |= dict(sorted(woke.items(), key=lambda item: item[1]))
    at = dict(since)
    for task, index in woke.items():
        for later in range(index + 1, len(rows)):
            if rows[later].kind == "wake":
                break
            if rows[later].kind == "sleep":
                at[task] = later
                break
    return Learned(since, at)


def _score(rows: Sequence[Row], index: int, task: str) -> float | None:
    return rows[index].scores.get(task) if -len(rows) <= index < len(rows) else None


def _past(rows: Sequence[Row], task: str, since: int) -> list[float]:
    """Scores of `task` in the rows from `since` up to, not counting, the last one.

    A scoring that only repeats the present scores is the same checkpoint seen twice, not a past; so an
    uploaded checkpoint that was scored once has no retention of 1.0 to show.
    """
    now = rows[-1].scores.get(task)
    past = []
    for row in rows[since:-1]:
        value = row.scores.get(task)
        if value is not None and (row.kind != "score" or value != now):
            past.append(value)
    return past


def _mean(values: Iterable[Metric], empty: str) -> Metric:
    known = []
    for value, reason in values:
        if value is None:
            return Metric(None, reason)
        known.append(value)
    return Metric(sum(known) / len(known)) if known else Metric(None, empty)


NO_ROWS = "nothing has been scored yet"
ONE_TASK = "only one task has been learned, so there is no old one"


def _known(value: float | None, task: str, what: str) -> Metric:
    return Metric(value) if value is not None else Metric(None, f"{task} has no score {what}")


# ---------------------------------------------------------------- the metrics


def average_accuracy(rows: Sequence[Row], tasks: Sequence[str]) -> Metric:
    """ACC = mean over tasks of the last row."""
    if not rows:
        return Metric(None, NO_ROWS)
    return _mean((_known(rows[-1].scores.get(t), t, "in the last row") for t in tasks), "there are no tasks")


def backward_transfer(rows: Sequence[Row], tasks: Sequence[str], learned: Learned | None = None) -> Metric:
    """BWT = mean over the old tasks of R[last][j] - R[learned(j)][j]; over T-1, not T."""
    if not rows:
        return Metric(None, NO_ROWS)
    learned = learned or learned_stages(rows, tasks)
    if not any(row.kind != "score" for row in rows):
        return Metric(None, "it is not known when the tasks were learned")

    def one(task: str) -> Metric:
        first, last = _score(rows, learned.at[task], task), rows[-1].scores.get(task)
        if first is None or last is None:
            return Metric(None, f"{task} has no score when it was learned, or none in the last row")
        return Metric(last - first)

    return _mean((one(task) for task in learned.old), ONE_TASK)


def forward_transfer(
    rows: Sequence[Row], tasks: Sequence[str], baseline: Scores | None, learned: Learned | None = None
) -> Metric:
    """FWT = mean over tasks but the first of R[before j is learned][j] - b[j]; b = score before training."""
    if not rows:
        return Metric(None, NO_ROWS)
    if baseline is None:
        return Metric(None, "the scores before any training are not known")
    learned = learned or learned_stages(rows, tasks)
    order = list(learned.since)

    def one(earlier: str, task: str) -> Metric:
        value, start = _score(rows, learned.at[earlier], task), baseline.get(task)
        if value is None or start is None or learned.at[earlier] >= learned.since[task]:
            return Metric(None, f"{task} has no score from before it was learned")
        return Metric(value - start)

    return _mean((one(a, b) for a, b in pairwise(order)), ONE_TASK)


def task_forgetting(rows: Sequence[Row], task: str, learned: Learned) -> Metric:
    """Best score since `task` was learned, the last row left out, minus the last; may be negative."""
    if not rows:
        return Metric(None, NO_ROWS)
    now, past = rows[-1].scores.get(task), _past(rows, task, learned.since.get(task, 0))
    if now is None:
        return Metric(None, f"{task} has no score in the last row")
    return Metric(max(past) - now) if past else Metric(None, f"no past score of {task} is known")


def forgetting(rows: Sequence[Row], tasks: Sequence[str], learned: Learned | None = None) -> Metric:
    """F = mean over the old tasks of `task_forgetting`."""
    learned = learned or learned_stages(rows, tasks)
    return _mean((task_forgetting(rows, task, learned) for task in learned.old), ONE_TASK)


def task_retention(rows: Sequence[Row], task: str, learned: Learned) -> Metric:
    """Last score of `task` / its best score so far; 1 when it never was better."""
    if not rows:
        return Metric(None, NO_ROWS)
    now, past = rows[-1].scores.get(task), _past(rows, task, learned.since.get(task, 0))
    if now is None:
        return Metric(None, f"{task} has no score in the last row")
    if not past:
        return Metric(None, f"no past score of {task} is known")
    best = max([*past, now])
    return Metric(now / best) if best > 0 else Metric(None, f"{task} never scored above 0")


def retention(rows: Sequence[Row], tasks: Sequence[str], learned: Learned | None = None) -> Metric:
    """Mean of `task_retention` over the old tasks."""
    learned = learned or learned_stages(rows, tasks)
    return _mean((task_retention(rows, task, learned) for task in learned.old), ONE_TASK)


def learning_accuracy(rows: Sequence[Row], tasks: Sequence[str], learned: Learned | None = None) -> Metric:
    """LA = mean over the learned tasks of R[learned(j)][j]."""
    if not any(row.kind != "score" for row in rows):
        return Metric(None, "it is not known when the tasks were learned")
    learned = learned or learned_stages(rows, tasks)
    return _mean(
        (_known(_score(rows, at, task), task, "when it was learned") for task, at in learned.at.items()),
        "no task has been learned",
    )


def intransigence(
    rows: Sequence[Row], tasks: Sequence[str], joint: Scores | None, learned: Learned | None = None
) -> Metric:
    """I = mean of R*[j] - R[learned(j)][j]; R* = scores of a jointly trained model."""
    if joint is None:
        return Metric(None, "no jointly trained model is known")
    learned = learned or learned_stages(rows, tasks)

    def one(task: str, at: int) -> Metric:
        best, value = joint.get(task), _score(rows, at, task)
        if best is None or value is None:
            return Metric(None, f"{task} has no joint score, or none when it was learned")
        return Metric(best - value)

    return _mean((one(task, at) for task, at in learned.at.items()), "no task has been learned")


def stability_gap(rows: Sequence[Row], tasks: Sequence[str], learned: Learned | None = None) -> Metric:
    """Mean over the old tasks of the lowest score since learned."""
    if not rows:
        return Metric(None, NO_ROWS)
    learned = learned or learned_stages(rows, tasks)

    def one(task: str) -> Metric:
        seen = [v for row in rows[learned.since[task] :] if (v := row.scores.get(task)) is not None]
        return Metric(min(seen)) if seen else Metric(None, f"{task} has no score since it was learned")

    return _mean((one(task) for task in learned.old), ONE_TASK)


def sleep_gain(before: float | None, after: float | None) -> Metric:
    """R_after[j] - R_before[j]."""
    if before is None or after is None:
        return Metric(None, "one of the two scores is missing")
    return Metric(after - before)


def recovery(before: float | None, after: float | None, best: float | None) -> Metric:
    """Gain / (best - before): the share of what was lost that came back."""
    gain = sleep_gain(before, after)
    if gain.value is None or before is None or best is None:
        return Metric(None, gain.reason or "the best score is not known")
    return Metric(gain.value / (best - before)) if best > before else Metric(None, "nothing had been lost")


def shares_of_best(rows: Sequence[Row]) -> list[Row]:
    """The same stages, each score divided by the best that its task had before the last row; by its only
    score where there was none. A task that never scored above 0 stays as it is."""
    best: dict[str, float] = {}
    for row in rows[:-1]:
        for task, value in row.scores.items():
            best[task] = max(best.get(task, 0.0), value or 0.0)

    def share(task: str, value: float | None) -> float | None:
        return None if value is None else value / (best.get(task) or rows[-1].scores.get(task) or 1.0)

    return [replace(row, scores={t: share(t, v) for t, v in row.scores.items()}) for row in rows]


def forgetting_reduction(method: float | None, finetune: float | None, least: float = 0.01) -> Metric:
    """1 - F_method / F_finetune, same data and steps; null when fine-tuning forgot less than `least`."""
    if method is None or finetune is None:
        return Metric(None, "one of the two is not known")
    if finetune < least:
        return Metric(None, "fine-tuning forgot next to nothing")
    return Metric(1.0 - method / finetune)


# ---------------------------------------------------------------- all at once


def summary(
    rows: Sequence[Row], tasks: Sequence[str], learned: Learned | None = None, *, objective: str = ""
) -> dict[str, Any]:
    """What the page shows about the last row: JSON-able, fractions of 1, null where `reasons` says why.

    Args:
        objective: of the model; of those in SHARES_OF_BEST forgetting and BWT are shares of a task's best.

    Returns:
        retention, forgetting, worst_forgetting, worst_task, acc, bwt, learning_accuracy, stability_gap,
        newest_task, newest; tasks {name: {score, best, retention, forgetting}}; reasons {metric: sentence}.
    """
    learned = learned or learned_stages(rows, tasks)
    levelled = shares_of_best(rows) if objective in SHARES_OF_BEST else rows
    named = {
        "retention": retention(rows, tasks, learned),
        "forgetting": forgetting(levelled, tasks, learned),
        "acc": average_accuracy(rows, list(learned.since)),
        "bwt": backward_transfer(levelled, tasks, learned),
        "learning_accuracy": learning_accuracy(rows, tasks, learned),
        "stability_gap": stability_gap(rows, tasks, learned),
    }
    body: dict[str, Any] = {name: metric.value for name, metric in named.items()}
    reasons = {name: metric.reason for name, metric in named.items() if metric.reason is not None}
    lost = {task: task_forgetting(levelled, task, learned).value for task in learned.old}
    worst = max(((v, t) for t, v in lost.items() if v is not None), default=None)
    body["worst_forgetting"], body["worst_task"] = worst or (None, None)
    if worst is None:
        reasons["worst_forgetting"] = reasons.get("forgetting", "no past score is known")
    now: Scores = rows[-1].scores if rows else {}
    body["newest_task"] = learned.newest
    body["newest"] = now.get(learned.newest) if learned.newest is not None else None
    body["tasks"] = {
        task: {
            "score": now.get(task),
            "best": max(_past(rows, task, learned.since.get(task, 0)), default=None) if rows else None,
            "retention": task_retention(rows, task, learned).value if task in learned.since else None,
            "forgetting": task_forgetting(levelled, task, learned).value if task in learned.since else None,
        }
        for task in tasks
    }
    body["reasons"] = reasons
    return body
