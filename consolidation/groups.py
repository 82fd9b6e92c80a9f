"""How unequally a model serves the groups of a task (regions, devices, people), on proof. Torch-free.

The worst group is what an average hides (Sagawa et al. 2020); a sleep must not pay for its gain with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from consolidation.answers import Answers

LEAST_ANSWERS = 20  # under so many a group's score is mostly chance: it neither counts nor is shown
Groups = Mapping[str, NDArray[np.int64]]


class GroupScore(TypedDict):
    """The mean score, a fraction of 1, and the answers that it is the mean of."""

    answers: int
    score: float


Scores = dict[str, dict[str, GroupScore]]


class Gap(NamedTuple):
    """The best and the worst group of a task, mean scores as fractions of 1."""

    best: str
    worst: str
    high: float
    low: float

    @property
    def size(self) -> float:
        return self.high - self.low

    def words(self) -> str:
        return (
            f"{100 * self.size:.1f} points (group {self.best} {100 * self.high:.1f} %, group {self.worst} "
            f"{100 * self.low:.1f} %)"
        )


def group_scores(answers: Mapping[str, Answers], groups: Groups) -> Scores:
    """{task: {group: {answers, score}}} of the tasks whose records carry groups, groups in ascending order.

    Args:
        answers: {task: answers [n]}; groups: {task: int64 [n]}, the group of each answer.
    """
    found: Scores = {}
    for task, of in groups.items():
        if task not in answers:
            continue
        names, place, counts = np.unique(of, return_inverse=True, return_counts=True)
        right = np.bincount(place, weights=answers[task], minlength=len(names))
        found[task] = {
            str(name): {"answers": int(n), "score": float(r / n)}
            for name, n, r in zip(names, counts, right, strict=True)
            if n >= LEAST_ANSWERS
        }
    return found


def scaled(scores: Scores, level: Mapping[str, float]) -> Scores:
    """The same over a level of each task, for scores whose size differs from task to task."""
    return {
        task: {name: {**group, "score": group["score"] / level[task]} for name, group in of.items()}
        for task, of in scores.items()
    }


def gap(scores: Mapping[str, GroupScore]) -> Gap | None:
    """Between the best and the worst group of one task; None with fewer than two groups."""
    if len(scores) < 2:
        return None
    ranked = sorted(scores, key=lambda name: scores[name]["score"])
    worst, best = ranked[0], ranked[-1]
    return Gap(best, worst, scores[best]["score"], scores[worst]["score"])


def gap_growth(before: Scores, after: Scores, most: float) -> str | None:
    """A sentence on the task whose gap grew most, when that is more than `most` (a fraction of 1); else
    None."""
    grown: list[tuple[float, str, Gap, Gap]] = []
    for task in before:
        was, now = gap(before[task]), gap(after.get(task, {}))
        if was is not None and now is not None:
            grown.append((now.size - was.size, task, was, now))
    over = sorted((item for item in grown if item[0] > most + 1e-9), key=lambda item: -item[0])
    if not over:
        return None
    _, task, was, now = over[0]
    more = len(over) - 1
    others = f"; {more} other task{'s' if more > 1 else ''} did so too" if more else ""
    return (
        f"On {task} the gap between the best and the worst group grew from {was.words()} to {now.words()}, "
        f"by more than the {100 * most:g} points allowed{others}."
    )
