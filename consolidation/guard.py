"""The verdict: improved, unchanged or rejected, from proof answers alone, with its reasons.

A sleep is `improved` when the confidence interval of the mean gain, a paired bootstrap over single proof
answers (each task resampled on its own), lies above 0 and a sign test on the answers that changed agrees;
`rejected` when a gate fails or the interval lies
below 0. Where scores are told as shares of a task's best (`metrics.SHARES_OF_BEST`) gains and limits are
shares of the score before, so that a task of perplexity 50 counts as one of 5 does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from consolidation.answers import Answers, perplexity
from consolidation.groups import Scores, gap_growth, scaled
from consolidation.metrics import SHARES_OF_BEST, Row, learned_stages, summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.recipe import SleepRecipe

RESAMPLES = 4000
# Under so many answers no change is called proven; over so many changed ones the exact test gives way.
LEAST_ANSWERS = 20
EXACT_MOST = 2000
DRAWN = 2**20  # answers resampled at a time
POINTS, SHARE = " points", " % of the score before"
All = Mapping[str, Answers]


class Gain(NamedTuple):
    """Mean difference of paired answers, and its interval; fractions of 1."""

    value: float
    low: float
    high: float

    def words(self, confidence: float, unit: str = POINTS) -> str:
        return (
            f"{100 * self.value:+.1f}{unit} ({100 * confidence:g} % interval {100 * self.low:+.1f} to "
            f"{100 * self.high:+.1f})"
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: str
    reasons: list[str] = field(default_factory=list)
    gain: Gain | None = None
    gains: dict[str, Gain] = field(default_factory=dict)

    def gains_json(self) -> dict[str, Any]:
        """{"mean": {value, low, high} | null, "tasks": {task: {...}}}."""
        tasks = {task: gain._asdict() for task, gain in self.gains.items()}
        return {"mean": self.gain._asdict() if self.gain else None, "tasks": tasks}


def paired_gains(
    before: All, after: All, *, confidence: float, seed: int
) -> tuple[Gain | None, dict[str, Gain]]:
    """Gain of the mean over tasks, and of each task. No tasks: None.

    The difference of two answers that are right or wrong is -1, 0 or 1, so a resample of a task is one
    multinomial draw of the three counts; graded ones are drawn one by one.
    """
    rng = np.random.default_rng(seed)
    edges = 100 * np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    gains, values, draws = {}, [], []
    for task in before:
        difference = after[task].astype(np.float64) - before[task].astype(np.float64)
        drawn = _resampled(difference, after[task].dtype == np.bool_, rng)
        value = float(difference.mean())
        gains[task] = Gain(value, *(float(edge) for edge in np.percentile(drawn, edges)))
        values.append(value)
        draws.append(drawn)
    if not values:
        return None, {}
    low, high = np.percentile(np.mean(draws, axis=0), edges)
    return Gain(sum(values) / len(values), float(low), float(high)), gains


def levelled(before: All, after: All) -> tuple[All, All]:
    """Both over the mean of a task's answers before; of a task that scored nothing as they are."""
    level = _levels(before)

    def over(answers: All) -> All:
        return {task: (answers[task] / level[task]).astype(np.float32) for task in level}

    return over(before), over(after)


def _levels(before: All) -> dict[str, float]:
    return {task: float(each.mean(dtype=np.float64)) or 1.0 for task, each in before.items()}


def _resampled(difference: NDArray[np.float64], whole: bool, rng: np.random.Generator) -> NDArray[np.float64]:
    """float64 [RESAMPLES]: means of differences drawn with replacement."""
    n = len(difference)
    if whole:
        shares = np.array([(difference == d).sum() for d in (-1, 0, 1)]) / n
        counts = rng.multinomial(n, shares, RESAMPLES)
        return (counts[:, 2] - counts[:, 0]) / n
    step = max(1, DRAWN // n)
    parts = [
        difference[rng.integers(0, n, (min(step, RESAMPLES - place), n))].mean(1)
        for place in range(0, RESAMPLES, step)
    ]
    return np.concatenate(parts)


def sign_test(before: All, after: All) -> float:
    """Two-sided p of the answers that changed, for the better or for the worse, under even odds.

    The exact test of McNemar (1947). The bootstrap alone is too sure of itself when few answers changed. Of
    graded answers all change, some by little, and what counts is by how much: the signs of their differences
    are flipped at random (Pitman 1937).
    """
    if any(answers.dtype != np.bool_ for answers in before.values()):
        return _flip_test(before, after)
    won = sum(int((after[task] > before[task]).sum()) for task in before)
    lost = sum(int((before[task] > after[task]).sum()) for task in before)
    changed = won + lost
    if changed > EXACT_MOST:  # the normal limit, where the exact sum costs more than it tells
        return math.erfc(abs(won - lost) / math.sqrt(2 * changed))
    tail = sum(math.comb(changed, k) for k in range(min(won, lost) + 1))
    return min(1.0, float(2 * tail / 2**changed))


def _flip_test(before: All, after: All) -> float:
    """Two-sided p of the mean difference over tasks, when each answer's sign might as well be the other."""
    rng = np.random.default_rng(0)
    differences = [after[task].astype(np.float64) - before[task].astype(np.float64) for task in before]
    found = abs(sum(float(each.mean()) for each in differences))
    drawn = np.zeros(RESAMPLES)
    for each in differences:
        step = max(1, DRAWN // len(each))
        for place in range(0, RESAMPLES, step):
            part = drawn[place : place + step]
            signs = rng.integers(0, 2, (len(part), len(each)), dtype=np.int8) * 2 - 1
            part += signs @ each / len(each)
    return float((1 + (np.abs(drawn) >= found - 1e-12).sum()) / (1 + RESAMPLES))


def judge_sleep(
    *,
    before: All,
    after: All,
    rows_before: Sequence[Row],
    rows_after: Sequence[Row],
    recipe: SleepRecipe,
    finite: bool,
    groups: Mapping[str, Scores] | None = None,
    objective: str = "",
) -> Judgement:
    """Verdict of a sleep.

    Gates: weights must be finite; mean retention of the old tasks at least `retention_floor`; the newest
    task may lose at most `newest_drop`; no task's forgetting above `forgetting_budget`, unless the sleep
    made it smaller: a model that was over its budget in the evening is not refused for having got better;
    no task's gap between its best and its worst group may grow by more than `group_gap`.

    Args:
        groups: {"before" | "after": groups.group_scores(...)}, when the probes carry groups.
        objective: of the model.

    Returns:
        Gains are differences of scores, whatever the verdict was told by.
    """
    tasks, shares = list(before), objective in SHARES_OF_BEST
    seed, confidence = recipe.seed, recipe.confidence
    mean, gains = paired_gains(before, after, confidence=confidence, seed=seed)
    if not finite:
        return Judgement("rejected", ["The new weights hold NaN or infinite numbers."], mean, gains)
    if mean is None:
        return Judgement("unchanged", ["There are no probes, so nothing can be proven."])
    evening, morning = levelled(before, after) if shares else (before, after)
    moved, each = (
        paired_gains(evening, morning, confidence=confidence, seed=seed) if shares else (mean, gains)
    )
    assert moved is not None  # noqa: S101 - of the same tasks
    words = moved.words(confidence, SHARE if shares else POINTS)
    was, now = (summary(rows, tasks, objective=objective) for rows in (rows_before, rows_after))
    newest = learned_stages(rows_after, tasks).newest
    asked = len(after[newest]) if newest is not None and newest in after else 0
    failed = _gates(was, now, newest, asked, each, recipe, shares)
    if groups:
        told = groups
        if shares:
            told = {when: scaled(scores, _levels(before)) for when, scores in groups.items()}
        if unequal := gap_growth(told["before"], told["after"], recipe.group_gap):
            failed.append(unequal)
    if moved.high < 0:
        failed.append(f"The mean score on proof fell: {words}.")
    if failed:
        return Judgement("rejected", failed, mean, gains)
    answers = sum(len(bits) for bits in after.values())
    if moved.low > 0 and answers < LEAST_ANSWERS:
        why = f"{answers} proof answers are too few to prove a change; {LEAST_ANSWERS} are needed."
        return Judgement("unchanged", [why], mean, gains)
    if moved.low > 0 and sign_test(evening, morning) <= 1 - confidence:
        reasons = [f"The mean score on proof rose: {words}."]
        reasons += _perplexities(before, after) if shares else []
        return Judgement("improved", reasons + _retention(was, now), mean, gains)
    return Judgement(
        "unchanged", [f"No significant change of the mean score on proof: {words}."], mean, gains
    )


def _perplexities(before: All, after: All) -> list[str]:
    """Geometric means over tasks."""
    was, now = (
        math.exp(sum(math.log(perplexity(each)) for each in answers.values()) / len(answers))
        for answers in (before, after)
    )
    return [f"Perplexity went from {was:.1f} to {now:.1f}, the geometric mean over tasks."]


def _gates(
    was: Mapping[str, Any],
    now: Mapping[str, Any],
    newest: str | None,
    asked: int,
    gains: Mapping[str, Gain],
    recipe: SleepRecipe,
    shares: bool,
) -> list[str]:
    failed, unit = [], SHARE if shares else POINTS
    retention = now["retention"]
    if retention is not None and retention < recipe.retention_floor:
        failed.append(
            f"Retention of the old tasks is {100 * retention:.1f} %, under the floor of "
            f"{100 * recipe.retention_floor:g} %."
        )
    if newest is not None and newest in gains and -gains[newest].value > recipe.newest_drop:
        gain = gains[newest]
        words = (
            f"{newest}, the newest task, fell by {-100 * gain.value:.1f}{unit}; at most "
            f"{100 * recipe.newest_drop:g}{' %' if shares else ''} are allowed."
        )
        if gain.high > -recipe.newest_drop:
            words += (
                f" On its {asked} answers this may be chance ({100 * recipe.confidence:g} % interval "
                f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}): a larger probe would tell."
            )
        failed.append(words)
    worst, earlier = now["worst_forgetting"], was["worst_forgetting"]
    over = worst is not None and worst > recipe.forgetting_budget
    if over and (earlier is None or worst > earlier):
        failed.append(
            f"Forgetting reached {100 * worst:.1f} %{' of the best score' if shares else ''} on "
            f"{now['worst_task']} (budget "
            f"{100 * recipe.forgetting_budget:g} %)."
        )
    return failed


def _retention(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    if was["retention"] is None or now["retention"] is None:
        return []
    start, end = 100 * was["retention"], 100 * now["retention"]
    return [f"Retention of the old tasks went from {start:.1f} to {end:.1f} %."]


def judge_wake(
    *,
    task: str,
    before: All,
    after: All,
    confidence: float,
    seed: int,
    finite: bool,
    objective: str = "",
) -> Judgement:
    """Verdict of a wake: did it learn its task? What it forgot is for the sleep to mend."""
    mean, gains = paired_gains(before, after, confidence=confidence, seed=seed)
    if not finite:
        return Judgement("rejected", ["The new weights hold NaN or infinite numbers."], mean, gains)
    if task not in gains:
        return Judgement(
            "unchanged", [f"There is no probe of {task}, so nothing can be proven."], mean, gains
        )
    gain, words = gains[task], gains[task].words(confidence)
    if objective in SHARES_OF_BEST:
        told = paired_gains(*levelled(before, after), confidence=confidence, seed=seed)[1][task]
        words = told.words(confidence, SHARE)
    if gain.low > 0:
        return Judgement("improved", [f"{task} was learned: {words}."], mean, gains)
    why = f"No significant gain on {task}: {words}."
    return Judgement("unchanged", [why], mean, gains)
