"""The live record sets of a project, and what new ones must fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from consolidation.families.registry import FAMILIES, computable
from consolidation.families.text_model import PLACES, label_count, text_model
from webapp.checkpoints.bases import ADAPTER
from webapp.memories.models import RecordSet, Use, unexpired
from webapp.projects.models import Task

BARS = 64
TOKENS = {"uint16", "int32"}  # what ids of tokens are stored in
MOST_STEPS = 20  # back along the line, over adapters without a base
RIGHTS = {
    "owner": _("owner"),
    "licence": _("licence"),
    "purpose": _("purpose"),
    "source": _("source"),
    "group": _("group"),
    "expiry": _("expiry"),
}

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from webapp.checkpoints.models import Checkpoint
    from webapp.projects.models import Project


@dataclass(frozen=True)
class Fit:
    """What every record of a project must look like; None where nothing says so yet.

    Attributes:
        width: numbers a record.
        classes: how many labels there are.
        because: what they must fit, as in "the current checkpoint v3".
        tokens: whether the numbers are ids of tokens, of which a record may have fewer.
        objective: what a text model is asked; "" for another.
        label_names: what the model calls its labels; empty where it does not.
    """

    width: int | None
    classes: int | None
    because: str
    tokens: bool = False
    objective: str = ""
    label_names: tuple[str, ...] = ()


def reader(project: Project) -> Checkpoint | None:
    """The checkpoint that records are made for: the current one, and before an adapter is laid over its base
    the one that was current when it came."""
    found = project.current
    for _step in range(MOST_STEPS):
        if found is None or found.family != ADAPTER or found.base_id is not None:
            break
        found = found.parent
    return found if found is None or found == project.current or found.trashed_at is None else None


def project_fit(project: Project, *, besides: tuple[Task, str] | None = None) -> Fit:
    """Told by the project's current checkpoint, else by the record sets that are there.

    Args:
        besides: (task, use) of a set that is about to be replaced and has no say.
    """
    current = reader(project)
    if current is not None and current.family in FAMILIES and computable(current.family, current.config):
        spec = FAMILIES[current.family]
        width, classes = spec.input_width(current.config), label_count(current.family, current.config)
        model = text_model(current.family, current.config)
        because = f"the {'current ' if current == project.current else ''}checkpoint {current}"
        if model is None:
            return Fit(width, classes, because)
        return Fit(width, classes, because, True, model["objective"], model["label_names"])
    others = live_sets(project)
    if besides is not None:
        others = others.exclude(task=besides[0], use=besides[1])
    other = others.select_related("task").order_by("created_at").first()
    if other is not None:
        what = f"the {other.get_use_display().lower()} of “{other.task.name}”"
        return Fit(math.prod(other.x_shape), other.classes, what)
    return Fit(None, None, "")


def live_sets(project: Project) -> QuerySet[RecordSet]:
    """The record sets that a cycle started now would use."""
    return RecordSet.objects.filter(unexpired(), project=project, replaced_at__isnull=True)


def task_label_names(task: Task, *, besides: str) -> list[str]:
    """Names of the labels 0, 1, ... as the task's other live sets have them; empty when none has any."""
    sets = RecordSet.objects.filter(task=task, replaced_at__isnull=True).exclude(use=besides)
    return next((list(names) for names in sets.values_list("label_names", flat=True) if names), [])


def task_head(task: Task, *, besides: str) -> list[int] | None:
    """The task's own columns as its other live sets have them, [] for all; None when there are no sets."""
    sets = RecordSet.objects.filter(task=task, replaced_at__isnull=True).exclude(use=besides)
    return sets.values_list("head", flat=True).first()


def records_by_task(project: Project, fit: Fit) -> list[dict[str, Any]]:
    """What the page shows: tasks in order of learning, each with its sets by use. Two queries.

    Returns:
        [{"task", "sets": [{"use", "label", "set": RecordSet or None, "histogram": [...], "width", ...}]}].
    """
    sets = live_sets(project).select_related("cycle").defer("cycle__report")
    found: dict[tuple[Any, str], RecordSet] = {(item.task_id, item.use): item for item in sets}
    return [
        {
            "task": task,
            "sets": [
                {"use": use.value, "label": use.label, "set": (item := found.get((task.pk, use.value)))}
                | ({"facts": set_facts(item, tokens=fit.tokens)} if item else {})
                for use in Use
            ],
        }
        for task in Task.objects.filter(project=project)
    ]


def set_facts(item: RecordSet, *, tokens: bool) -> dict[str, Any]:
    """A set in figures: a record and the transform in words, and the label histogram as bars (0 to 100).

    Args:
        tokens: whether the numbers of a record are ids of tokens, of which it may have fewer.
    """
    # Of a task with a head of its own only the labels that it has, from 0 as its files count them.
    first, last = item.head or (0, len(item.label_histogram))
    counts = list(item.label_histogram)[first:last]
    names = dict(enumerate(item.label_names))
    most = max(counts, default=0)
    return {
        "record": _record(item, tokens),
        "transform": transform_words(item.transform),
        "codec": _codec(item),
        # Where a label names a place, it is no class to be counted.
        "places": item.classes in PLACES,
        "labels": last - first if item.head else item.classes,
        "head": {"first": first, "last": last - 1} if item.head else None,
        "rights": ", ".join(str(RIGHTS[name]) for name in item.rights if name in RIGHTS),
        # Coordinates of a picture 100 high, ten for each label.
        "bars": [
            {
                "label": names.get(label, label),
                "count": count,
                "x": 10 * label + 1,
                "y": 100 - height,
                "height": height,
            }
            for label, count in enumerate(counts[:BARS])
            for height in [max(round(100 * count / most), 1 if count else 0) if most else 0]
        ],
        "span": 10 * min(len(counts), BARS),
        "missing": sum(1 for count in counts if not count),
    }


def _record(item: RecordSet, tokens: bool) -> str:
    if tokens and item.x_dtype in TOKENS:
        most = math.prod(item.x_shape)
        return ngettext("%(n)s token", "up to %(n)s tokens", most) % {"n": f"{most:,}"}
    return f"{' × '.join(str(size) for size in item.x_shape)} {item.x_dtype}"


def _codec(item: RecordSet) -> str:
    """How the inputs of memories are packed, by the recipe of the wake that kept them; "" for plainly."""
    recipe = item.cycle.recipe if item.use == Use.MEMORIES and item.cycle is not None else {}
    codec = str(recipe.get("codec", ""))
    return "" if codec == "raw" else codec


def transform_words(transform: dict[str, Any]) -> str:
    """The transform as a formula: "(x × 0.003922 − 0.1307) ÷ 0.3081", or "as stored"."""
    scale, mean, sd = (
        float(transform.get(key, value)) for key, value in (("scale", 1), ("mean", 0), ("sd", 1))
    )
    words = "x" if scale == 1 else f"x × {scale:.4g}"
    if mean:
        words = f"({words} {'−' if mean > 0 else '+'} {abs(mean):.4g})"
    if sd != 1:
        words += f" ÷ {sd:.4g}"
    return "as stored" if words == "x" else words
