"""The table of a results file: one line a method, for the terminal and as Markdown. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.table import Table

from consolidation.benchmarks.statistics import Difference, Spread, paired_difference, spread
from consolidation.metrics import forgetting_reduction

Rows = Sequence[Mapping[str, Any]]
BEFORE = ("forgetting less %", "vs ER [95 % CI]", "compute", "wall clock", "steps", "bytes stored", "seeds",
          "published")  # fmt: skip


class Measure(NamedTuple):
    """The two figures of a table, the one that differences are of, and the heads of the two."""

    score: str
    lost: str
    compared: str
    heads: tuple[str, str]


ACCURACY = Measure("acc", "forgetting", "acc", ("ACC %", "forgetting"))
F1 = Measure("acc", "forgetting", "acc", ("F1 %", "forgetting"))
PERPLEXITY = Measure("perplexity", "rise", "log_perplexity", ("perplexity", "rise of its log, %"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One method's figures over its seeds; percent points, ratios to fine-tuning. `acc` and `forgetting` are
    those of the table's measure; `reduction`: forgetting less than fine-tuning's, in percent."""

    label: str
    acc: Spread | None
    forgetting: Spread | None
    reduction: float | None
    to_er: Difference | None
    compute: float
    wall: float | None
    steps: float
    bytes: float
    seeds: int
    published: float | None


def by_seed(rows: Rows, name: str) -> dict[int, float]:
    """{seed: value} of one figure, where it is known."""
    return {int(row["seed"]): float(row[name]) for row in rows if row.get(name) is not None}


def group(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by method, in order of first appearance."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row["method"]), []).append(row)
    return found


def lines(
    groups: Mapping[str, Rows],
    anchors: Mapping[str, Mapping[int | None, float]],
    *,
    suffix: str = "",
    against: str = "er",
    measure: Measure = ACCURACY,
) -> list[Line]:
    """One line a group. `suffix` "_task_il" takes the figures with task ids; `against` names the group that
    differences are taken to."""
    other = by_seed(groups.get(against, ()), f"{measure.compared}{suffix}")
    forgot = by_seed(groups.get("finetune", ()), f"{measure.lost}{suffix}")
    plain = spread([float(row["seconds"]) for row in groups.get("finetune", ())])
    made = []
    for label, rows in groups.items():
        acc = by_seed(rows, f"{measure.score}{suffix}")
        lost = by_seed(rows, f"{measure.lost}{suffix}")
        compared = by_seed(rows, f"{measure.compared}{suffix}")
        published = anchors.get(str(rows[0]["method"]), {}) if not suffix else {}
        buffer = rows[0]["settings"].get("buffer")
        seconds = sum(float(row["seconds"]) for row in rows) / len(rows)
        made.append(
            Line(
                label=label,
                acc=spread(list(acc.values())),
                forgetting=spread(list(lost.values())),
                reduction=_less(lost, forgot) if label != "finetune" else None,
                to_er=paired_difference(compared, other) if label != against else None,
                compute=sum(float(row["compute_ratio"]) for row in rows) / len(rows),
                wall=seconds / plain.mean if plain and plain.mean > 0 else None,
                steps=sum(float(row["steps"]) for row in rows) / len(rows),
                bytes=sum(float(row["bytes"]) for row in rows) / len(rows),
                seeds=len(rows),
                published=published.get(None, published.get(buffer)),
            )
        )
    return made


def _less(mine: Mapping[int, float], plain: Mapping[int, float]) -> float | None:
    """How much less is forgotten in the mean of the seeds that both have, in percent."""
    shared = mine.keys() & plain.keys()
    if not shared:
        return None
    a, b = (sum(found[seed] for seed in shared) / len(shared) / 100 for found in (mine, plain))
    less = forgetting_reduction(a, b).value
    return None if less is None else 100 * less


def cells(line: Line) -> tuple[str, ...]:
    return (
        line.label,
        plus_minus(line.acc),
        plus_minus(line.forgetting),
        f"{line.reduction:.1f}" if line.reduction is not None else "-",
        interval(line.to_er),
        f"{line.compute:.2f}",
        f"{line.wall:.2f}" if line.wall is not None else "-",
        f"{line.steps:,.0f}",
        f"{line.bytes:,.0f}",
        str(line.seeds),
        f"{line.published:.1f}" if line.published is not None else "-",
    )


def plus_minus(found: Spread | None) -> str:
    if found is None:
        return "-"
    return f"{found.mean:.2f}" + (f" ± {found.sd:.2f}" if found.sd is not None else "")


def interval(found: Difference | None) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.mean:+.2f} (one seed)"
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def heads(against: str = "er", measure: Measure = ACCURACY) -> tuple[str, ...]:
    every = ("method", *measure.heads, *BEFORE)
    if against == "er":
        return every
    return tuple(f"vs {against} [95 % CI]" if head.startswith("vs ER") else head for head in every)


def rich_table(title: str, found: Sequence[Line], against: str = "er", measure: Measure = ACCURACY) -> Table:
    table = Table(title=title)
    for index, head in enumerate(heads(against, measure)):
        table.add_column(head, justify="left" if index == 0 else "right", no_wrap=index == 0)
    for line in found:
        table.add_row(*cells(line))
    return table


NOTES = (
    "ACC and forgetting in percent points, mean ± sample sd over seeds; the difference is of ACC, paired by "
    "seed, with a 95 % t interval, not corrected for the number of comparisons. Compute: examples passed "
    "forward and backward, plus a third of those passed forward only, over fine-tuning's; all are counted "
    "but scoring. Wall clock over fine-tuning's in the same runs. Bytes: all that is kept beside the model "
    "when the last task has been learned. Published: other people's figures, for the same protocol."
)
LANGUAGE_NOTES = (
    "Perplexity: geometric mean over the domains after the last one, mean ± sample sd over seeds. Rise: how "
    "far the log of a domain's perplexity ends above its lowest, mean over the old domains, times 100; the "
    "difference is of the log of the perplexity likewise, so below 0 is better. "
) + NOTES.partition("95 % t interval, not corrected for the number of comparisons. ")[2]


def markdown_table(
    title: str, found: Sequence[Line], against: str = "er", measure: Measure = ACCURACY
) -> str:
    top = heads(against, measure)
    rows = [f"### {title}", "", f"| {' | '.join(top)} |", "|---|" + "---:|" * (len(top) - 1)]
    rows += [f"| {' | '.join(cells(line))} |" for line in found]
    return "\n".join([*rows, "", LANGUAGE_NOTES if measure is PERPLEXITY else NOTES]) + "\n"
