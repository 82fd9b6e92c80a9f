from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from consolidation.guard import judge_sleep, judge_wake, paired_gains, sign_test
from consolidation.metrics import Row
from consolidation.recipe import preset
from consolidation.report import outcome

N = 400
HISTORY = [
    Row("v1", "wake", {"old": 0.9, "new": 0.1}, "old"),
    Row("v2", "wake", {"old": 0.5, "new": 0.9}, "new"),
]


def answers(old: float, new: float, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {}
    for task, share in (("old", old), ("new", new)):
        bits = np.zeros(N, np.bool_)
        bits[: round(share * N)] = True
        made[task] = rng.permutation(bits)
    return made


def judge(
    before: dict[str, np.ndarray],
    after: dict[str, np.ndarray],
    finite: bool = True,
    history: list[Row] = HISTORY,
    objective: str = "classification",
    **gates: Any,
) -> tuple[str, str]:
    found = outcome(
        kind="sleep", history=history, before=before, after=after, tasks=["old", "new"], objective=objective
    )
    judged = judge_sleep(
        before=before, after=after, rows_before=found.rows_before, rows_after=found.rows_after,
        recipe=preset("night", **gates), finite=finite, objective=objective,
    )  # fmt: skip
    return judged.verdict, " ".join(judged.reasons)


def test_a_clear_gain_is_improved() -> None:
    verdict, why = judge(answers(0.5, 0.9), answers(0.85, 0.89))
    assert verdict == "improved"
    assert "from 55.6 to 94.4 %" in why


def test_no_change_is_unchanged() -> None:
    same = answers(0.5, 0.9)
    assert judge(same, same)[0] == "unchanged"


def test_the_interval_is_paired() -> None:
    """Three more right answers and none lost: tiny, but certain beyond the resampling of unpaired sets."""
    before = answers(0.5, 0.9)
    after = {task: bits.copy() for task, bits in before.items()}
    after["old"][np.flatnonzero(~after["old"])[:8]] = True
    mean, gains = paired_gains(before, after, confidence=0.95, seed=0)
    assert mean is not None
    assert mean.value == pytest.approx(0.01)
    assert mean.low > 0
    assert gains["new"] == (0.0, 0.0, 0.0)


def test_the_interval_covers_the_true_gain_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before = {"t": rng.random(200) < 0.6}
        after = {"t": np.where(rng.random(200) < 0.2, rng.random(200) < 0.9, before["t"])}
        mean, _ = paired_gains(before, after, confidence=0.9, seed=seed)
        assert mean is not None
        covered += mean.low <= 0.2 * (0.9 - 0.6) <= mean.high
    assert 165 <= covered <= 195  # 180 expected, sd 4.2


@pytest.mark.parametrize(
    ("after", "gates", "sentence"),
    [
        (answers(0.85, 0.80), {}, "new, the newest task, fell by 10.0 points"),
        (answers(0.60, 0.90), {"retention_floor": 0.8}, "under the floor of 80 %"),
        (answers(0.45, 0.90), {"forgetting_budget": 0.2}, "Forgetting reached 45.0 % on old (budget 20 %)"),
        (answers(0.30, 0.90), {"forgetting_budget": 1.0}, "The mean score on proof fell"),
    ],
)
def test_each_gate_rejects_and_says_why(
    after: dict[str, np.ndarray], gates: dict[str, Any], sentence: str
) -> None:
    verdict, why = judge(answers(0.5, 0.9), after, **gates)
    assert verdict == "rejected"
    assert sentence in why


def test_a_drop_of_the_newest_that_may_be_chance_says_so() -> None:
    few = {"old": np.arange(40) % 2 == 0, "new": np.arange(40) < 36}
    fell = few | {"new": np.arange(40) < 33}
    verdict, why = judge(few, fell)
    assert verdict == "rejected"
    assert "fell by 7.5 points; at most 5 are allowed. On its 40 answers this may be chance" in why
    assert re.search(r"\(95 % interval -\d+\.\d to \+0\.0\): a larger probe would tell\.", why)
    assert "chance" not in judge(answers(0.5, 0.9), answers(0.85, 0.5))[1]


def test_over_the_budget_but_better_than_in_the_evening_is_not_refused() -> None:
    assert judge(answers(0.5, 0.9), answers(0.7, 0.9), forgetting_budget=0.1)[0] == "improved"


def test_non_finite_weights_are_rejected_whatever_the_scores() -> None:
    assert judge(answers(0.5, 0.9), answers(0.9, 0.9), finite=False)[0] == "rejected"


def test_a_wake_is_judged_by_its_own_task() -> None:
    verdict = judge_wake(
        task="new", before=answers(0.9, 0.1), after=answers(0.5, 0.9), confidence=0.95, seed=0, finite=True
    )
    assert verdict.verdict == "improved"
    none = judge_wake(task="other", before={}, after={}, confidence=0.95, seed=0, finite=True)
    assert none.verdict == "unchanged"
    assert "no probe of other" in none.reasons[0]


def test_a_handful_of_changed_answers_proves_nothing() -> None:
    """Four gains and no loss among 100: the bootstrap's interval lies above 0, yet p = 0.125."""
    before = {"old": np.arange(100) < 50}
    after = {"old": np.arange(100) < 54}
    gain, _ = paired_gains(before, after, confidence=0.95, seed=0)
    assert gain is not None
    assert gain.low > 0
    assert sign_test(before, after) == pytest.approx(0.125)
    assert judge(before, after)[0] == "unchanged"


def test_a_tiny_probe_proves_nothing() -> None:
    verdict, why = judge({"old": np.zeros(8, np.bool_)}, {"old": np.ones(8, np.bool_)})
    assert verdict == "unchanged"
    assert "too few" in why


@pytest.mark.parametrize(("won", "lost", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (9, 1, 22 / 1024)])
def test_the_sign_test_is_the_exact_binomial(won: int, lost: int, p: float) -> None:
    n = won + lost + 3
    before, after = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    after[:won] = True
    before[won : won + lost] = True
    assert sign_test({"t": before}, {"t": after}) == pytest.approx(p)


def test_graded_answers_are_weighed_by_how_much_they_changed() -> None:
    """Half of them much better and half a little worse is a gain; the same shifted by nothing is none."""
    rng = np.random.default_rng(1)
    before = {"a": rng.random(60).astype(np.float32) * 0.2 + 0.4}
    change = np.where(np.arange(60) % 2 == 0, 0.3, -0.02).astype(np.float32)
    after = {"a": before["a"] + change}
    gain, tasks = paired_gains(before, after, confidence=0.95, seed=1)
    assert gain is not None
    assert gain.value == pytest.approx(0.14, abs=1e-6)
    assert 0.1 < gain.low < 0.14 < gain.high < 0.19
    assert tasks["a"] == gain
    assert sign_test(before, after) < 0.01
    noise = {"a": before["a"] + rng.choice([-0.1, 0.1], 60).astype(np.float32)}
    assert sign_test(before, noise) > 0.05


# ---------------------------------------------------------------- scores that are shares of a task's best


def words(easy: float, hard: float, seed: int = 0) -> dict[str, np.ndarray]:
    """Answers of a language model around these scores (1 / perplexity)."""
    rng = np.random.default_rng(seed)
    return {
        task: (score * rng.uniform(0.8, 1.2, N)).astype(np.float32)
        for task, score in (("old", hard), ("new", easy))
    }


SPOKEN = [
    Row("v1", "wake", {"old": 0.05, "new": 0.01}, "old"),
    Row("v2", "wake", {"old": 0.02, "new": 0.2}, "new"),
]


def judge_words(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> tuple[str, str]:
    return judge(before, after, history=SPOKEN, objective="language")


def test_a_language_model_cannot_lose_half_of_a_hard_text_unnoticed() -> None:
    """From perplexity 20 to 40 are 2.5 points of 1 / perplexity, far under a budget of 10 points."""
    verdict, why = judge_words(words(0.2, 0.05), words(0.2, 0.025))
    assert verdict == "rejected"
    assert "of the best score on old (budget 10 %)" in why


def test_the_newest_text_may_lose_a_share_and_no_more() -> None:
    verdict, why = judge_words(words(0.2, 0.02), words(0.17, 0.05))
    assert verdict == "rejected"
    assert "new, the newest task, fell by 15." in why
    assert "of the score before; at most 5 % are allowed" in why


def test_a_text_that_came_back_is_told_in_shares_and_perplexity() -> None:
    before = words(0.2, 0.02)
    verdict, why = judge_words(before, {"old": before["old"] * np.float32(2), "new": before["new"]})
    assert verdict == "improved"
    assert "+50.0 % of the score before" in why
    assert "Perplexity went from" in why
