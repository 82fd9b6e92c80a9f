"""What a run hands back, with everything needed to recompute every figure."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from consolidation.answers import Answers, pack, perplexity, scores
from consolidation.groups import Groups, Scores, group_scores
from consolidation.metrics import Row, summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consolidation.memory.store import Records
    from consolidation.weights import Fisher


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Result of `sleep`, `wake` or `score`. Scores are fractions of 1, seconds wall time over all attempts.

    Attributes:
        before, after: {task: score on proof}; a mere scoring has no before.
        correct: {"before" | "after": {task: answers as `answers.pack` packs them, in proof order}};
        counts: {task: answers}. metrics: {"before" | "after": metrics.summary(...)}.
        gain: {"mean": {value, low, high} | None, "tasks": {...}}.
        groups: {"before" | "after": {task: {group: {answers, score}}}} on proof, of the tasks whose probes
        carry groups and the groups with answers enough (`groups.LEAST_ANSWERS`).
        objective: what the scores are scores of, see `objectives`. perplexity: {"before" | "after": {task:
        perplexity}} of a language model.
        matrix: the history and the rows of this run; `rows` of them are new.
        memories: records kept by a wake, with their logits. fisher: of a sleep's memories, for the next
        merging.
    """

    kind: str
    verdict: str | None
    reasons: list[str]
    before: dict[str, float]
    after: dict[str, float]
    correct: dict[str, dict[str, bytes]]
    counts: dict[str, int]
    metrics: dict[str, Any]
    gain: dict[str, Any]
    matrix: list[Row]
    rows: int
    tasks: list[str]
    seconds: float
    steps: int
    groups: dict[str, Scores] = field(default_factory=dict)
    objective: str = "classification"
    perplexity: dict[str, dict[str, float]] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    memories: Records | None = None
    fisher: Fisher | None = None

    def to_json(self) -> dict[str, Any]:
        """All but the memories and the Fisher, which go to files; packed answers in base64."""
        packed = {
            when: {task: base64.b64encode(data).decode() for task, data in tasks.items()}
            for when, tasks in self.correct.items()
        }
        return {
            "kind": self.kind,
            "verdict": self.verdict,
            "reasons": self.reasons,
            "before": self.before,
            "after": self.after,
            "correct": packed,
            "counts": self.counts,
            "metrics": self.metrics,
            "gain": self.gain,
            "groups": self.groups,
            "objective": self.objective,
            "perplexity": self.perplexity,
            "matrix": [row.to_json() for row in self.matrix],
            "rows": self.rows,
            "tasks": self.tasks,
            "newest_task": self.metrics["after"]["newest_task"],
            "seconds": self.seconds,
            "steps": self.steps,
            "decisions": self.decisions,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The rows and metrics of a run, from its history and its proof answers."""

    rows_before: list[Row]
    rows_after: list[Row]
    before: Mapping[str, Answers]
    after: Mapping[str, Answers]
    tasks: list[str]
    history: int
    groups: Groups = field(default_factory=dict)
    objective: str = "classification"

    def perplexities(self) -> dict[str, dict[str, float]]:
        """{"before" | "after": {task: perplexity}}; empty when the model says no words."""
        if self.objective != "language":
            return {}
        both = {"before": self.before, "after": self.after} if self.before else {"after": self.after}
        return {when: {task: perplexity(a) for task, a in all_.items()} for when, all_ in both.items()}

    def group_scores(self) -> dict[str, Scores]:
        """{"before" | "after": groups.group_scores(...)}; empty when no probe carries groups."""
        if not self.groups:
            return {}
        both = {"before": self.before, "after": self.after} if self.before else {"after": self.after}
        return {when: group_scores(answers, self.groups) for when, answers in both.items()}

    def fields(self) -> dict[str, Any]:
        """The part of a Report that follows from these."""
        both = {"before": self.before, "after": self.after} if self.before else {"after": self.after}
        metrics = {"after": summary(self.rows_after, self.tasks, objective=self.objective)}
        if self.before:
            metrics["before"] = summary(self.rows_before, self.tasks, objective=self.objective)
            metrics["after"] = without_a_past(metrics["before"], metrics["after"])
        return {
            "before": scores(self.before),
            "after": scores(self.after),
            "correct": {when: pack(answers) for when, answers in both.items()},
            "counts": {task: len(bits) for task, bits in self.after.items()},
            "metrics": metrics,
            "matrix": self.rows_after,
            "rows": len(self.rows_after) - self.history,
            "tasks": self.tasks,
            "groups": self.group_scores(),
            "objective": self.objective,
            "perplexity": self.perplexities(),
        }


NO_PAST = "no score from before this cycle is known; compare the scores before and after"


def without_a_past(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """`after` with retention and forgetting null wherever `before` could not tell them.

    The scores before this cycle are then the only past, and measured by them every model that got better
    would show a retention of 1.0. Scores and gain say what is known.
    """
    shown = after | {"reasons": dict(after["reasons"]), "tasks": dict(after["tasks"])}
    for name, also in (("retention", ()), ("forgetting", ("worst_forgetting", "worst_task"))):
        if before[name] is None and after[name] is not None:
            shown |= dict.fromkeys((name, *also))
            shown["reasons"] |= dict.fromkeys((name, *also[:1]), NO_PAST)
    for task, facts in after["tasks"].items():
        if before["tasks"].get(task, {}).get("retention") is None:
            shown["tasks"][task] = facts | {"best": None, "retention": None, "forgetting": None}
    return shown


def outcome(
    *,
    kind: str,
    history: list[Row],
    before: Mapping[str, Answers],
    after: Mapping[str, Answers],
    tasks: list[str],
    woke: str | None = None,
    groups: Groups | None = None,
    objective: str = "classification",
) -> Outcome:
    """Adds this run's rows to the history: before (unless it ends with these very scores) and after.

    Args:
        groups: {task: int64 [n]}, the group of each proof answer, of the tasks that have any.
        objective: of the model.
    """
    rows = list(history)
    evening: dict[str, float | None] = dict(scores(before))
    if before and not (rows and all(rows[-1].scores.get(task) == value for task, value in evening.items())):
        rows.append(Row(f"before {kind}", "score", evening))
    morning = Row("score" if kind == "score" else f"after {kind}", kind, dict(scores(after)), woke)
    return Outcome(
        rows_before=rows,
        rows_after=[*rows, morning],
        before=before,
        after=after,
        tasks=tasks,
        history=len(history),
        groups=groups or {},
        objective=objective,
    )
