"""The claims page: what was claimed, how we test it, what was measured, and the verdict. Torch-free.

Every figure comes from rows of results files. "Supported" needs a mean that reaches the claim over at least
two seeds and an interval that excludes no change; one seed decides nothing. The same rules hold for the night
and for its rivals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from consolidation.benchmarks.statistics import Difference, paired_difference, spread
from consolidation.benchmarks.table import by_seed, interval, plus_minus
from consolidation.metrics import Row, forgetting_reduction, retention
from consolidation.recipe import preset

Rows = Sequence[Mapping[str, Any]]
SUPPORTED, REFUTED, OPEN, CANNOT = "supported", "not supported", "not measured yet", "not testable here"
EXCEEDED = "exceeded"  # of a claimed range: better than its upper end


class Finding(NamedTuple):
    """What was measured, as text, and the verdict."""

    measured: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Claim:
    """`judge` reads rows; `protocol` says what is run here in the claim's stead."""

    text: str
    claimed: str
    protocol: str
    judge: Callable[[Rows], Finding]


# ---------------------------------------------------------------- choosing rows


def rows_of(rows: Rows, benchmark: str, method: str, *, data: str | None = None) -> Rows:
    """Rows of a method as the protocol has it (no changed recipe, model or number of epochs), one a seed.

    Where several budgets were run, 500 records in float32 come first, as published.
    """
    found = [
        row
        for row in rows
        if row["method"] == method
        and row["settings"]["benchmark"] == benchmark
        and not any(row["settings"].get(name) for name in ("recipe", "model", "epochs"))
        and row["settings"].get("tasks") in (None, row["settings"].get("protocol", {}).get("tasks"))
        and (data is None or row["settings"].get("protocol", {}).get("data") == data)
    ]
    if benchmark == "permuted-mnist":
        found = [row for row in found if row["settings"]["protocol"]["tasks"] == 20]

    def rank(row: Mapping[str, Any]) -> tuple[bool, bool, int]:
        own = row["settings"]
        return (own.get("codec") != "float32", own.get("buffer") != 500, own.get("buffer") or 0)

    best = min((rank(row) for row in found), default=None)
    # one configuration may be in several files: with the task's ids, in the ablation. They differ by what
    # else the machine did meanwhile, and the quickest was disturbed least.
    slowest_first = sorted(found, key=lambda row: -float(row["seconds"]))
    one_each = {int(row["seed"]): row for row in slowest_first if rank(row) == best}
    return [one_each[seed] for seed in sorted(one_each)]


def _none(what: str) -> Finding:
    return Finding(f"no results of {what} in the files given", OPEN)


def _verdict(reached: bool, difference: Difference | None) -> str:
    if difference is None or difference.low is None:
        return f"{OPEN} (two seeds or more decide)"
    return SUPPORTED if reached and difference.better else REFUTED


# ---------------------------------------------------------------- judging


def gain(benchmark: str, claimed: float, data: str | None = None) -> Callable[[Rows], Finding]:
    """ACC of the night over fine-tuning's, relative, against a claimed relative gain in percent."""

    def judge(rows: Rows) -> Finding:
        plain = by_seed(rows_of(rows, benchmark, "finetune", data=data), "acc")
        slept = by_seed(rows_of(rows, benchmark, "sleep", data=data), "acc")
        difference = paired_difference(slept, plain)
        a, b = spread(list(plain.values())), spread(list(slept.values()))
        if difference is None or a is None or b is None or a.mean <= 0:
            return _none(f"fine-tuning and sleep on {data or benchmark}")
        relative = 100 * (b.mean / a.mean - 1)
        text = f"{plus_minus(a)} → {plus_minus(b)} (gain {relative:+.1f} %, points {interval(difference)})"
        return Finding(text, _verdict(relative >= claimed, difference))

    return judge


def reduction(method: str, low: float, high: float) -> Callable[[Rows], Finding]:
    """Forgetting reduction against fine-tuning, in percent, against a claimed range."""

    def judge(rows: Rows) -> Finding:
        plain = by_seed(rows_of(rows, "permuted-mnist", "finetune"), "forgetting")
        mine = by_seed(rows_of(rows, "permuted-mnist", method), "forgetting")
        shared = sorted(plain.keys() & mine.keys())
        per_seed = {
            seed: found.value * 100
            for seed in shared
            if (found := forgetting_reduction(mine[seed] / 100, plain[seed] / 100)).value is not None
        }
        mean = spread(list(per_seed.values()))
        if mean is None:
            return _none(f"{method} and fine-tuning on permuted-mnist")
        difference = paired_difference(per_seed, dict.fromkeys(per_seed, 0.0))
        verdict = _verdict(mean.mean >= low, difference)
        if verdict == SUPPORTED and mean.mean > high:
            verdict = EXCEEDED
        return Finding(f"{plus_minus(mean)} %", verdict)

    return judge


def extra_time(method: str, claimed: float) -> Callable[[Rows], Finding]:
    """Compute over fine-tuning's and wall time, in percent more, against "at most" the claim: a method that
    passes few examples but takes long is not cheap."""

    def judge(rows: Rows) -> Finding:
        mine = rows_of(rows, "permuted-mnist", method)
        plain = by_seed(rows_of(rows, "permuted-mnist", "finetune"), "seconds")
        cost = spread([100 * (float(row["compute_ratio"]) - 1) for row in mine])
        if cost is None:
            return _none(f"{method} on permuted-mnist")
        walls = [
            100 * (s / plain[seed] - 1) for seed, s in by_seed(mine, "seconds").items() if plain.get(seed)
        ]
        wall = spread(walls)
        text = f"compute {cost.mean:+.0f} %" + (f", wall clock {wall.mean:+.0f} %" if wall else "")
        dearest = max(cost.mean, wall.mean if wall else cost.mean)
        return Finding(text, SUPPORTED if round(dearest) <= claimed else REFUTED)

    return judge


def memory(method: str, grows: bool) -> Callable[[Rows], Finding]:
    """Weights and stored bytes; `grows` says what is claimed of the weights."""

    def judge(rows: Rows) -> Finding:
        found = [row for row in rows_of(rows, "permuted-mnist", method) if row.get("parameters")]
        if not found:
            return _none(f"{method} on permuted-mnist")
        first, last = found[0]["parameters"]
        stored = sum(float(row["bytes"]) for row in found) / len(found)
        text = f"{first:,} → {last:,} weights, {stored:,.0f} bytes stored beside them"
        return Finding(text, SUPPORTED if (last > first) == grows else REFUTED)

    return judge


def longer_retention(claimed: float) -> Callable[[Rows], Finding]:
    """Mean retention of the old tasks after the last one, relative to fine-tuning's."""

    def value(row: Mapping[str, Any]) -> float | None:
        tasks = [str(index) for index in range(len(row["matrix"]))]
        matrix = [
            Row(task, "wake", dict(zip(tasks, scores, strict=True)), task)
            for task, scores in zip(tasks, row["matrix"], strict=True)
        ]
        found = retention(matrix, tasks).value
        return None if found is None else 100 * found

    def judge(rows: Rows) -> Finding:
        both = [
            {
                int(row["seed"]): v
                for row in rows_of(rows, "permuted-mnist", m)
                if (v := value(row)) is not None
            }
            for m in ("finetune", "sleep")
        ]
        a, b = (spread(list(found.values())) for found in both)
        if a is None or b is None or a.mean <= 0:
            return _none("fine-tuning and sleep on permuted-mnist")
        relative = 100 * (b.mean / a.mean - 1)
        text = f"{plus_minus(a)} % → {plus_minus(b)} % ({relative:+.1f} %)"
        return Finding(text, _verdict(relative >= claimed, paired_difference(both[1], both[0])))

    return judge


def best_duration(claimed: float) -> Callable[[Rows], Finding]:
    """Whether the claimed sleep-to-wake ratio beats every other that was run, by paired differences."""

    def judge(rows: Rows) -> Finding:
        groups: dict[float, dict[int, float]] = {}
        nights = [
            row
            for row in rows
            if row["method"] == "sleep"
            and set(row["settings"].get("recipe") or {}) <= {"duration", "pass_cap"}
        ]
        alike = next((_but_recipe(row) for row in nights if _duration(row) == claimed), None)
        for row in nights:
            if _but_recipe(row) == alike:
                groups.setdefault(_duration(row), {})[int(row["seed"])] = float(row["acc"])
        mine = groups.pop(claimed, None)
        if not mine or not groups:
            return _none(f"nights of duration {claimed:g} and of others (the ablation)")
        found = {d: paired_difference(mine, other) for d, other in sorted(groups.items())}
        text = "; ".join(f"against {d:g}: {interval(difference)}" for d, difference in found.items())
        if any(difference is None or difference.low is None for difference in found.values()):
            return Finding(text, f"{OPEN} (two seeds or more decide)")
        best = all(difference is not None and difference.better for difference in found.values())
        return Finding(text, SUPPORTED if best else REFUTED)

    return judge


def _duration(row: Mapping[str, Any]) -> float:
    found = (row["settings"].get("recipe") or {}).get("duration")
    return preset("night").duration if found is None else float(found)


def _but_recipe(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row["settings"].items() if name != "recipe"}


def less_forgetting(benchmark: str, claimed: float) -> Callable[[Rows], Finding]:
    """Forgetting reduction on a benchmark of different tasks."""

    def judge(rows: Rows) -> Finding:
        plain = by_seed(rows_of(rows, benchmark, "finetune"), "forgetting")
        mine = by_seed(rows_of(rows, benchmark, "sleep"), "forgetting")
        difference = paired_difference(plain, mine)
        a, b = spread(list(plain.values())), spread(list(mine.values()))
        if difference is None or a is None or b is None:
            return _none(f"fine-tuning and sleep on {benchmark}")
        lost = forgetting_reduction(b.mean / 100, a.mean / 100)
        text = f"{plus_minus(a)} → {plus_minus(b)} points"
        if lost.value is None:
            return Finding(f"{text}; {lost.reason}", CANNOT)
        return Finding(text, _verdict(100 * lost.value >= claimed, difference))

    return judge


def cannot(reason: str) -> Callable[[Rows], Finding]:
    return lambda rows: Finding(reason, CANNOT)


def linear(most: float) -> Callable[[Rows], Finding]:
    """The slopes of log time on log n that `tests.bench.engine` measured, each at most `most`."""

    def judge(rows: Rows) -> Finding:
        found = {
            name.removeprefix("slope of "): float(value)
            for row in rows
            for name, value in row.get("measures", {}).items()
            if name in ("slope of prune", "slope of strengthen")
        }
        if not found:
            return _none("tests.bench.engine")
        text = ", ".join(f"{name} {value:.2f}" for name, value in sorted(found.items()))
        return Finding(text, SUPPORTED if max(found.values()) <= most else REFUTED)

    return judge


# ---------------------------------------------------------------- the claims, as the article makes them

MNIST = "permuted-mnist, 20 tasks, MLP 784-100-100-10 (the claim names a 7B model, which we do not have)"
GLUE = "glue5, MiniLM-L6 of 22M weights, 1,600 examples a task (the claim names a model of 1.5B)"
QA = "qa5, MiniLM-L6 of 22M weights, review texts and XQuAD (the claim: BERT-large of 340M, SQuAD)"
COMPUTE = "compute with all passes counted, and wall clock; the dearer of the two is judged"
SETTINGS = (
    Claim("20-task permuted MNIST: ACC 44.1 → 68.9", "+56.2 %", MNIST, gain("permuted-mnist", 56.2)),
    Claim("Sequential CIFAR-100, 10 tasks: 52.3 → 73.1", "+39.8 %", "split-cifar on CIFAR-100",
          gain("split-cifar", 39.8, "CIFAR-100")),
    Claim("GLUE, 5 tasks, GPT-2 XL: 68.7 → 79.2", "+15.3 %", GLUE, gain("glue5", 15.3)),
    Claim("SQuAD, 5 domains, BERT-large: F1 61.4 → 74.8", "+21.8 %", QA, gain("qa5", 21.8)),
)  # fmt: skip
COSTS = (
    Claim("EWC reduces forgetting", "30-40 %", "online EWC on " + MNIST, reduction("ewc", 30, 40)),
    Claim("EWC costs little time", "+5 %", COMPUTE, extra_time("ewc", 5)),
    Claim("EWC needs little memory, no growth", "low", "weights and bytes", memory("ewc", False)),
    Claim("Progressive networks reduce forgetting", "80-90 %", "PNN with task ids, permuted-mnist",
          reduction("pnn", 80, 90)),
    Claim("Progressive networks double the time", "+100 %", COMPUTE, extra_time("pnn", 100)),
    Claim("Progressive networks grow with the tasks", "linear", "weights and bytes", memory("pnn", True)),
    Claim("Experience replay reduces forgetting", "20-30 %", "ER 1:1 on " + MNIST, reduction("er", 20, 30)),
    Claim("Experience replay costs little time", "+10 %", COMPUTE, extra_time("er", 10)),
    Claim("Experience replay needs a buffer, no growth", "medium", "weights and bytes", memory("er", False)),
    Claim("Synaptic Sleep Replay reduces forgetting", "50-70 %", "Night preset on " + MNIST,
          reduction("sleep", 50, 70)),
    Claim("Synaptic Sleep Replay costs its sleep time", "+15 %", COMPUTE,
          extra_time("sleep", 15)),
    Claim("Synaptic Sleep Replay needs a buffer, no growth", "medium", "weights and bytes",
          memory("sleep", False)),
)  # fmt: skip
ALSO = (
    Claim("Long-term retention is better", "+40 %", "mean retention of the 19 old tasks, permuted-mnist",
          longer_retention(40)),
    Claim("Less forgetting on multi-task benchmarks", "30 %", GLUE, less_forgetting("glue5", 30)),
    Claim("A wake-to-sleep ratio of 1:10 is the optimum", "10.0", "ablation of the duration, permuted-mnist",
          best_duration(10.0)),
    Claim("Pruning and strengthening take O(n)", "O(n)", "slope of log time on log n, 1e7 to 3e8 weights",
          linear(1.15)),
    Claim("No parameter growth", "none", "weights before and after 20 tasks", memory("sleep", False)),
    Claim("Models up to 7B parameters", "7B", "-", cannot("no such weights and no machine that holds them")),
    Claim("Off-peak nights save energy", "12-28 %", "-",
          cannot("needs a metered machine and a tariff or a grid's hours")),
)  # fmt: skip


def claims_page(rows: Rows, measures: Mapping[str, Any] | None = None) -> str:
    """The whole page as Markdown; `measures` are the engine's own bench, {figure: value}."""
    rows = [*rows, {"method": "", "seed": 0, "settings": {}, "measures": measures or {}}]
    parts = [
        "# Claims, and what we measured",
        "",
        "The claims are those of the article that started this product; none is a result of ours. The "
        "verdicts are about our protocol, which is often smaller than the claim's. The measured figures are "
        "read from results files; mean ± sample sd over seeds, differences paired by seed "
        "with a 95 % t interval, not corrected for the number of comparisons. *Supported*: the mean reaches "
        "the claim and the interval excludes no change. *Exceeded*: the same, and better than the upper "
        "end of the range that was claimed, which is as wrong as one that is not reached. "
        "Made by `python -m consolidation.benchmarks claims`.",
    ]
    for title, claims in (
        ("Gain over fine-tuning", SETTINGS), ("Forgetting, time and memory", COSTS), ("Also claimed", ALSO),
    ):  # fmt: skip
        parts += [
            "",
            f"## {title}",
            "",
            "| claim | claimed | our protocol | measured | verdict |",
            "|---|---|---|---|---|",
        ]
        for claim in claims:
            found = claim.judge(rows)
            parts.append(
                f"| {claim.text} | {claim.claimed} | {claim.protocol} | {found.measured} | {found.verdict} |"
            )
    return "\n".join(parts) + "\n"
