"""Before a sleep: is everything there, and what will it take, as far as rows and past nights can tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from consolidation.families.registry import computable
from webapp.checkpoints.bases import ADAPTER
from webapp.checkpoints.choices import Origin
from webapp.checkpoints.models import Checkpoint
from webapp.core.store import store_path
from webapp.cycles.choices import Kind, State
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consolidation.recipe import SleepRecipe
    from webapp.memories.models import RecordSet
    from webapp.projects.models import Project
    from webapp.projects.selectors import Holding


@dataclass(frozen=True)
class Check:
    """One line of the checklist: `level` is good, warn or bad; `fix` leads to where it can be mended."""

    level: str
    text: str
    fix: str = ""
    fix_label: str = ""


@dataclass(frozen=True)
class Estimate:
    """Steps of the replay at most, and seconds when an earlier sleep of the project tells the pace."""

    steps: int | None
    seconds: float | None


def planned_steps(recipe: SleepRecipe, memory_rows: int, wake_examples: float | None) -> int | None:
    """At most this many replay steps: `duration` of the wake, else `passes`, capped by `pass_cap`."""
    if not memory_rows:
        return None
    examples = recipe.duration * wake_examples if wake_examples else recipe.passes * memory_rows
    if recipe.pass_cap:
        examples = min(examples, recipe.pass_cap * memory_rows)
    return max(1, math.ceil(examples / recipe.batch))


def known_wake(checkpoint: Checkpoint | None) -> dict[str, float]:
    """What is known of the waking since the last sleep, as fields of the recipe. One query.

    Examples add up over the wakes in between, and one wake without any makes the sum unknown; the rate is
    the last one's.
    """
    if checkpoint is None:
        return {}
    rows = Checkpoint.everything.filter(project_id=checkpoint.project_id, number__lte=checkpoint.number)
    line = {row.pk: row for row in rows.only("id", "parent_id", "origin", "wake")}
    at, seen, total = line.get(checkpoint.pk), 0, 0.0
    while at is not None and at.origin != Origin.SLEEP:
        examples = at.wake.get("examples")
        if not examples:
            # The first of the line was there before any waking that we know of.
            total = total if at.parent_id is None and seen else 0.0
            break
        total, seen = total + examples, seen + 1
        at = line.get(at.parent_id) if at.parent_id else None
    fields = {"wake_examples": total, "wake_lr": checkpoint.wake.get("lr")}
    return {name: value for name, value in fields.items() if value}


def day_at_hand(project: Project) -> RecordSet | None:
    """What the current checkpoint has just learned from, while its file is here and was not replaced, put
    into the trash, or expired."""
    woke = Cycle.objects.filter(
        result=project.current_id,
        kind=Kind.WAKE,
        data__isnull=False,
        data__replaced_at__isnull=True,
        data__trashed_at__isnull=True,
    )
    cycle = woke.select_related("data__task").first() if project.current_id else None
    data = cycle.data if cycle else None
    return (
        data
        if data and not data.expired and store_path(project.workspace_id, data.sha256).is_file()
        else None
    )


def replayed_rows(recipe: SleepRecipe, held: Sequence[Holding], day: RecordSet | None) -> int:
    """How many records the night has: the memories, and a sample of the day in the place of its task's.

    0 without any memories: then there is no night.
    """
    if not any(h.memories for h in held):
        return 0
    fresh = min(recipe.fresh, day.rows) if day else 0
    others = [h.memories.rows for h in held if h.memories and not (fresh and day and h.task == day.task)]
    return sum(others) + fresh


def estimates(
    project: Project,
    presets: Mapping[str, SleepRecipe],
    held: Sequence[Holding],
    wake_examples: float | None,
    day: RecordSet | None,
) -> dict[str, Estimate]:
    """What each preset takes with today's memories and what is at hand of the day. One query."""
    pace = _seconds_a_step(project)
    found = {}
    for name, recipe in presets.items():
        steps = planned_steps(recipe, replayed_rows(recipe, held, day), wake_examples)
        found[name] = Estimate(steps, steps * pace if steps and pace else None)
    return found


def _seconds_a_step(project: Project) -> float | None:
    """The pace of the last sleep that succeeded here; None before there is one."""
    last = (
        Cycle.objects.filter(project=project, kind=Kind.SLEEP, state=State.SUCCEEDED, step__gt=0)
        .only("started_at", "finished_at", "step")
        .order_by("-number")
        .first()
    )
    if last is None or last.started_at is None or last.finished_at is None:
        return None
    return (last.finished_at - last.started_at).total_seconds() / last.step


def checklist(project: Project, held: Sequence[Holding], day: RecordSet | None) -> list[Check]:
    """What the sleep needs, in the order in which a person would mend it."""
    records = reverse("records_list", kwargs={"project_id": project.pk})
    upload = reverse("checkpoint_upload", kwargs={"project_id": project.pk})
    checks = [_weights(project, upload), _memories(held, records), _probes(held, records)]
    return [*checks, _reference(project), *_day(day)]


def _weights(project: Project, upload: str) -> Check:
    current = project.current
    if current is None:
        return Check("bad", _("There is no checkpoint to put to sleep."), upload, _("Upload one"))
    if current.non_finite:
        return Check(
            "bad",
            _("%(version)s holds NaN or infinite weights, so nothing can be computed with it.")
            % {"version": current},
            upload,
            _("Upload another"),
        )
    if current.family == ADAPTER and current.base_id is None:
        return Check(
            "bad",
            _("%(version)s is an adapter, and nobody has said which checkpoint it lies over.")
            % {"version": current},
            reverse("checkpoint_detail", args=[current.pk]),
            _("Choose its base"),
        )
    if not computable(current.family, current.config):
        return Check(
            "bad",
            _("%(version)s is of a kind which cannot be put to sleep yet.") % {"version": current},
            upload,
            _("Upload another"),
        )
    if current.base is not None:
        values = {"version": current, "base": current.base}
        return Check("good", _("%(version)s is the current checkpoint, an adapter over %(base)s.") % values)
    return Check("good", _("%(version)s is the current checkpoint.") % {"version": current})


def _missing(names: list[str]) -> dict[str, Any]:
    return {"n": len(names), "names": ", ".join(names[:3]) + ("…" if len(names) > 3 else "")}


def _memories(held: Sequence[Holding], records: str) -> Check:
    have = [h.memories.rows for h in held if h.memories]
    if not have:
        return Check(
            "bad", _("There are no memories, and sleep replays memories."), records, _("Add memories")
        )
    names = [h.task.name for h in held if not h.memories]
    if names:
        text = ngettext(
            "%(n)d task has no memories and may be lost: %(names)s.",
            "%(n)d tasks have no memories and may be lost: %(names)s.",
            len(names),
        )
        return Check("warn", text % _missing(names), records, _("Add memories"))
    text = ngettext("%(rows)s memories of %(n)d task.", "%(rows)s memories of %(n)d tasks.", len(have))
    return Check("good", text % {"rows": number_format(sum(have), 0, force_grouping=True), "n": len(have)})


def _probes(held: Sequence[Holding], records: str) -> Check:
    have = [h.probe.rows for h in held if h.probe]
    if not have:
        text = _("Without probes a sleep can run but cannot prove anything.")
        return Check("bad", text, records, _("Add probes"))
    names = [h.task.name for h in held if not h.probe]
    if names:
        text = ngettext(
            "%(n)d task has no probe; nothing is proven about it: %(names)s.",
            "%(n)d tasks have no probe; nothing is proven about them: %(names)s.",
            len(names),
        )
        return Check("warn", text % _missing(names), records, _("Add probes"))
    return Check("good", _("Every task has a held-out probe."))


def _reference(project: Project) -> Check:
    current = project.current
    if current is None or current.parent_id is None or (current.parent and current.parent.trashed_at):
        return Check("warn", _("The model before waking is not known, so merging is left out."))
    return Check("good", _("The model before waking is known: it takes part in merging."))


def _day(day: RecordSet | None) -> list[Check]:
    if day is None:
        return []
    text = _(
        "The training set of “%(task)s” is here: up to “fresh” of its records stand in for its memories."
    )
    return [Check("good", text % {"task": day.task.name})]
