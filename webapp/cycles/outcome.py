"""How a cycle ended: before and after side by side, from the report that the engine left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp.checkpoints.choices import Standing
from webapp.checkpoints.standing import SKEWED
from webapp.core.decimals import decimals, signed
from webapp.core.plotting import task_colour
from webapp.cycles.choices import TERMINAL, Kind, State, Verdict
from webapp.cycles.gains import forgotten_before
from webapp.projects.models import Task

if TYPE_CHECKING:
    from webapp.checkpoints.models import Checkpoint
    from webapp.cycles.models import Cycle


def outcome(cycle: Cycle) -> dict[str, Any] | None:
    """The end as the page shows it, or None while there is none.

    Returns:
        sentence and tone ("good", "bad", "plain"); reasons; aliases: what became of those that follow;
        tasks: [{"name", "colour", "before", "after", "delta", "interval"}], fractions of 1, with the interval
        of the gain where the report has one, and the perplexity [before, after] of a language model;
        scored_by: what a score is, where it is no accuracy;
        figures: the same for retention and its kin, with `good` ("up" or "down"); result: the checkpoint;
        branch: whether it was kept as one and still is.
    """
    if cycle.state not in TERMINAL:
        return None
    sentence, tone = _sentence(cycle)
    result = getattr(cycle, "result", None)
    return {
        "sentence": sentence,
        "tone": tone,
        "reasons": _reasons(cycle),
        "aliases": _aliases(cycle),
        "tasks": _tasks(cycle),
        "figures": _figures(cycle.report),
        "confidence": _confidence(cycle),
        "scored_by": _scored_by(cycle),
        "result": result,
        "branch": result is not None and result.standing == Standing.BRANCH,
    }


def rolled_back(cycle: Cycle) -> bool:
    """Whether the result had become current and an older checkpoint is now."""
    result, current = getattr(cycle, "result", None), cycle.project.current
    if result is None or current is None or result.standing != Standing.PROMOTED:
        return False
    return bool(current.number < result.number)


def _reasons(cycle: Cycle) -> list[str]:
    if cycle.state != State.QUARANTINED:
        return [str(reason) for reason in cycle.reasons]
    keeps = _("Nothing was changed; the project keeps %(base)s.") % {"base": _base(cycle)}
    return [*filter(None, [cycle.error_message]), keeps]


def _base(cycle: Cycle) -> str:
    return f"v{cycle.base.number}" if cycle.base else _("the model before")


def _sentence(cycle: Cycle) -> tuple[str, str]:
    base = _base(cycle)
    result = getattr(cycle, "result", None)
    made = f"v{result.number}" if result else ""
    values = {"base": base, "result": made}
    if cycle.state == State.CANCELLED:
        return _("Cancelled. Nothing was changed; the project keeps %(base)s.") % values, "plain"
    if cycle.state == State.QUARANTINED:
        if cycle.deaths < 2:
            return _("Set aside. It is not tried again by itself."), "bad"
        words = _("Set aside: it ended the process that ran it %(n)d times in one place.")
        return words % {"n": cycle.deaths}, "bad"
    if cycle.state == State.FAILED:
        words = cycle.error_message or _("The cycle failed.")
        return words, "bad"
    if result is not None and _promoted_all_the_same(cycle, result):
        values["word"] = cycle.get_verdict_display()
        return _("%(word)s, but a person promoted %(result)s all the same.") % values, "plain"
    if cycle.state == State.REJECTED:
        if made and not cycle.report.get("aliases"):  # else the line about those says so
            words = _("Rejected. %(result)s is kept as a candidate; the project stays on %(base)s.")
            return words % values, "bad"
        return _("Rejected. The project stays on %(base)s.") % values, "bad"
    if result is not None and result.standing == Standing.BRANCH:
        values["current"] = str(cycle.project.current or _("the model before"))
        words = _("%(word)s, but the project moved on: %(result)s is kept as a branch beside %(current)s.")
        values["word"] = _("Learned") if cycle.kind == Kind.WAKE else _("Improved")
        return words % values, "plain"
    if result is not None and cycle.kind == Kind.WAKE and result.non_finite:
        words = _("Broken weights. %(result)s is kept as a candidate; the project stays on %(base)s.")
        return words % values, "bad"
    if cycle.verdict != "unchanged" and rolled_back(cycle):
        values["current"] = str(cycle.project.current)
        words = _(
            "%(word)s. %(result)s became current; since then the project was rolled back to %(current)s."
        )
        values["word"] = _("Learned") if cycle.kind == Kind.WAKE else _("Improved")
        return words % values, "plain"
    if cycle.kind == Kind.WAKE:
        return _("Learned. %(result)s is now the project's current checkpoint.") % values, "good"
    if cycle.kind == Kind.SCORE:
        return _scored(cycle) % values, "plain"
    if cycle.verdict == "unchanged":
        words = _("Unchanged: no significant change. %(result)s is kept as a candidate beside %(base)s.")
        return words % values, "plain"
    if SKEWED in cycle.reasons:
        words = _("Improved, on records that look skewed: %(result)s is kept as a candidate beside %(base)s.")
        return words % values, "plain"
    return _("Improved. %(result)s is now the project's current checkpoint.") % values, "good"


def _scored(cycle: Cycle) -> str:
    if cycle.data is None or not cycle.record_sets_made.exists():
        return _("Scored. The scores of %(base)s are in the matrix.")
    if not cycle.report.get("after"):
        return _("The answers of %(base)s are stored beside the memories; a sleep holds its model to them.")
    return _(
        "Scored. The scores of %(base)s are in the matrix, and its answers are stored beside the memories; a "
        "sleep holds its model to them."
    )


def _promoted_all_the_same(cycle: Cycle, result: Checkpoint) -> bool:
    """A night that kept the old checkpoint, and somebody took the new one later."""
    refused = cycle.verdict in {Verdict.REJECTED, Verdict.UNCHANGED} or SKEWED in cycle.reasons
    return cycle.kind == Kind.SLEEP and refused and result.standing == Standing.PROMOTED


def _aliases(cycle: Cycle) -> list[str]:
    """ "`best` now points to v7.", as it was when the cycle published; names between backticks."""
    result = getattr(cycle, "result", None)
    if result is not None and _promoted_all_the_same(cycle, result):
        return []
    groups: dict[tuple[bool, int], list[str]] = {}
    for told in cycle.report.get("aliases") or []:
        groups.setdefault((told["moved"], told["number"]), []).append(f"`{told['name']}`")
    lines = []
    for (moved, number), names in groups.items():
        if moved and rolled_back(cycle):
            words = _("%(names)s moved to v%(n)d with it.")
        elif moved:
            words = ngettext("%(names)s now points to v%(n)d.", "%(names)s now point to v%(n)d.", len(names))
        elif cycle.kind == Kind.WAKE:
            words = ngettext(
                "%(names)s still points to v%(n)d: a wake is not judged, so it moves no alias.",
                "%(names)s still point to v%(n)d: a wake is not judged, so it moves no alias.",
                len(names),
            )
        elif cycle.state == State.REJECTED:
            words = ngettext(
                "The new version is kept as a candidate; %(names)s still points to v%(n)d.",
                "The new version is kept as a candidate; %(names)s still point to v%(n)d.",
                len(names),
            )
        else:
            words = ngettext(
                "%(names)s still points to v%(n)d.", "%(names)s still point to v%(n)d.", len(names)
            )
        lines.append(words % {"names": _listed(names), "n": number})
    return lines


def _listed(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return _("%(first)s and %(last)s") % {"first": ", ".join(names[:-1]), "last": names[-1]}


def _tasks(cycle: Cycle) -> list[dict[str, Any]]:
    report = cycle.report
    before, after = report.get("before") or {}, report.get("after") or {}
    gains = (report.get("gain") or {}).get("tasks") or {}
    perplexity = report.get("perplexity") or {}
    names = [task.name for task in Task.objects.filter(project_id=cycle.project_id).order_by("position")]
    rows = []
    for place, name in enumerate(names):
        if name not in after:
            continue
        first, last = before.get(name), after[name]
        known = first is not None and last is not None
        rows.append(
            {
                "name": name,
                "colour": task_colour(place),
                "before": first,
                "after": last,
                "delta": last - first if known else None,
                "interval": _interval(gains.get(name), first, last),
                "perplexity": [perplexity.get(when, {}).get(name) for when in ("before", "after")],
            }
        )
    return rows


def _scored_by(cycle: Cycle) -> str:
    """What a score is, where it is not a share of right answers."""
    match cycle.report.get("objective"):
        case "language":
            return _(
                "A score is the chance that the model gives to the next token, a mean over each record's "
                "tokens and over the records. Perplexity is about its inverse: lower is better."
            )
        case "extractive-qa":
            return _(
                "A score is how much of the right answer the model marks (F1 over tokens), 1 when it marks "
                "exactly that."
            )
    return ""


def _confidence(cycle: Cycle) -> str:
    """The head of the column of intervals, "" when the report has none."""
    if not (cycle.report.get("gain") or {}).get("tasks"):
        return ""
    share = round(100 * float(cycle.recipe.get("confidence", 0.95)), 1)
    return _("%(share)g %% interval") % {"share": share}


def _interval(gain: dict[str, float] | None, before: float | None, after: float) -> str:
    """ "+0.103 to +0.141", from a paired bootstrap over single proof answers."""
    if not gain:
        return ""
    return _("%(low)s to %(high)s") % {
        end: signed(gain[end], decimals(before, after)) for end in ("low", "high")
    }


def _figures(report: dict[str, Any]) -> list[dict[str, Any]]:
    metrics = report.get("metrics") or {}
    mean = (report.get("gain") or {}).get("mean")
    before, after = metrics.get("before") or {}, metrics.get("after") or {}
    graded = report.get("objective", "classification") != "classification"
    wanted = (
        ("retention", _("Retention"), "up"),
        ("worst_forgetting", _("Forgetting, worst"), "down"),
        ("acc", _("Average score") if graded else _("Average accuracy"), "up"),
        ("newest", _("Newest task"), "up"),
    )
    rows = []
    for key, name, good in wanted:
        first, last = before.get(key), after.get(key)
        if last is None:
            continue
        if key == "worst_forgetting":
            first = forgotten_before(first)
        delta = last - first if first is not None else None
        # A wake's mean gain is over all tasks that were proved, its accuracy over those learned so far.
        same = mean and delta is not None and abs(mean["value"] - delta) < 1e-6
        rows.append(
            {
                "name": name,
                "before": first,
                "after": last,
                "delta": delta,
                "good": good,
                "unit": "%" if key == "worst_forgetting" else "",
                "interval": _interval(mean, first, last) if key == "acc" and same else "",
            }
        )
    return rows
