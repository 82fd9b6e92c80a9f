"""Verdicts follow from rows and from nothing else."""

from __future__ import annotations

from typing import Any

from consolidation.benchmarks.claims import claims_page


def row(method: str, seed: int, acc: float, forgetting: float, **changes: Any) -> dict[str, Any]:
    settings = {
        "benchmark": "permuted-mnist", "tasks": None, "buffer": 500, "codec": "float32", "recipe": {},
        "protocol": {"tasks": 20, "data": "MNIST"},
    }  # fmt: skip
    matrix = [[acc / 100 if j <= s else None for j in range(2)] for s in range(2)]
    made = {
        "method": method, "seed": seed, "acc": acc, "forgetting": forgetting, "compute_ratio": 1.2,
        "bytes": 9, "steps": 1, "seconds": 2.0, "matrix": matrix,
        "parameters": [10, 10], "settings": settings,
    }  # fmt: skip
    return made | changes


def verdict(page: str, claim: str) -> str:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {claim}")]
    return line.split("|")[-2].strip()


def rows(sleep_acc: float, sleep_lost: float) -> list[dict[str, Any]]:
    return [row("finetune", s, 40 + s, 60.0, compute_ratio=1.0) for s in range(3)] + [
        row("sleep", s, sleep_acc + s + 0.1 * s, sleep_lost) for s in range(3)
    ]


def test_a_gain_that_is_reached_over_seeds_is_supported_and_one_that_is_not_is_not() -> None:
    claim = "20-task permuted MNIST"
    assert verdict(claims_page(rows(88, 6)), claim) == "supported"
    assert verdict(claims_page(rows(50, 40)), claim) == "not supported"


def test_one_seed_decides_nothing() -> None:
    one = [found for found in rows(88, 6) if found["seed"] == 0]
    assert verdict(claims_page(one), "20-task permuted MNIST").startswith("not measured yet")


def test_a_rival_that_does_better_than_claimed_is_not_as_claimed() -> None:
    found = [*rows(88, 6), *(row("er", s, 80, 14 + s / 10, compute_ratio=2.0) for s in range(3))]
    page = claims_page(found)
    assert verdict(page, "Experience replay reduces forgetting") == "exceeded"
    assert verdict(page, "Experience replay costs little time") == "not supported"


def test_a_range_is_judged_alike_for_the_night_and_for_its_rivals() -> None:
    for claim, method in (("Synaptic Sleep Replay reduces", "sleep"), ("Experience replay reduces", "er")):
        for lost, expected in ((58, "not supported"), (6, "exceeded")):
            found = [
                *(row("finetune", s, 40, 60.0) for s in range(3)),
                *(row(method, s, 80, lost + s / 10) for s in range(3)),
            ]
            assert verdict(claims_page(found), claim) == expected


def test_a_method_that_takes_long_is_not_cheap_however_few_its_passes() -> None:
    def page(seconds: float) -> str:
        slow = [row("ewc", s, 70, 20.0, compute_ratio=1.03, seconds=seconds) for s in range(3)]
        return claims_page([*rows(88, 6), *slow])

    assert verdict(page(2.02), "EWC costs little time") == "supported"
    assert verdict(page(2.5), "EWC costs little time") == "not supported"


def test_a_row_that_is_in_two_files_counts_once_and_other_protocols_do_not_count() -> None:
    once = rows(88, 6)
    longer = row("sleep", 7, 10, 90.0)
    longer["settings"] = longer["settings"] | {"epochs": 3}
    assert claims_page([*once, *once, longer]) == claims_page(once)


def test_figures_are_those_of_the_rows() -> None:
    page = claims_page(rows(88, 6))
    assert "41.00 ± 1.00 → 89.10 ± 1.10" in page
    assert "compute +20 %" in page
    assert verdict(page, "Synaptic Sleep Replay costs its sleep time") == "not supported"
    assert verdict(page, "No parameter growth") == "supported"


def test_the_best_duration_is_judged_against_all_others() -> None:
    def night(duration: float, seed: int, acc: float) -> dict[str, Any]:
        made = row("sleep", seed, acc, 5)
        return made | {"settings": made["settings"] | {"recipe": {"duration": duration, "pass_cap": 0.0}}}

    claim = "A wake-to-sleep ratio of 1:10"
    close = [night(d, s, 88 + s + 0.01 * s * d) for d in (0.15, 1.0, 10.0) for s in range(3)]
    assert verdict(claims_page(close), claim) == "not supported"
    clear = [night(d, s, 80 + d + s + 0.01 * s * d) for d in (0.15, 1.0, 10.0) for s in range(3)]
    assert verdict(claims_page(clear), claim) == "supported"


def test_a_night_with_a_changed_recipe_is_not_the_preset() -> None:
    changed = [found | {"settings": found["settings"] | {"recipe": {"noise": 0.3}}} for found in rows(88, 6)]
    assert verdict(claims_page(changed), "20-task permuted MNIST") == "not measured yet"


def test_linear_time_is_judged_by_the_engines_own_bench() -> None:
    slopes = {"slope of prune": 0.9, "slope of strengthen": 1.1, "slope of significance": 2.0}
    claim = "Pruning and strengthening take O(n)"
    assert verdict(claims_page([], slopes), claim) == "supported"
    assert verdict(claims_page([], slopes | {"slope of prune": 1.3}), claim) == "not supported"
    assert verdict(claims_page([]), claim) == "not measured yet"


def test_of_a_row_that_is_in_two_files_the_one_that_was_disturbed_least_tells_the_time() -> None:
    quiet = [row("finetune", s, 40, 60.0, compute_ratio=1.0) for s in range(3)]
    quiet += [row("sleep", s, 88 + s, 6, compute_ratio=1.1, seconds=2.2) for s in range(3)]
    busy = [row("sleep", s, 88 + s, 6, compute_ratio=1.1, seconds=9.0) for s in range(3)]
    for files in ([*quiet, *busy], [*busy, *quiet]):
        page = claims_page(files)
        assert "wall clock +10 %" in page
        assert verdict(page, "Synaptic Sleep Replay costs its sleep time") == "supported"
