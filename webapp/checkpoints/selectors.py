"""What the checkpoint page shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from webapp.checkpoints.models import Checkpoint, Score
from webapp.core.errors import cut
from webapp.projects.models import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

TENSORS_SHOWN = 200
ANCESTORS_SHOWN = 40
# How words of a config are written for people.
_SPELLED: Final = {"lora": "LoRA", "rslora": "rsLoRA", "peft": "PEFT", "r": "rank"}


def checkpoint_scores(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """[{task, value, examples, typed, change since the parent}] in the order of learning. Two queries."""
    wanted = [pk for pk in (checkpoint.pk, checkpoint.parent_id) if pk]
    found = {
        (s.checkpoint_id, s.task_id): s for s in Score.objects.filter(checkpoint__in=wanted).defer("correct")
    }
    rows = []
    for task in Task.objects.filter(project_id=checkpoint.project_id):
        own, before = found.get((checkpoint.pk, task.pk)), None
        if checkpoint.parent_id:
            before = found.get((checkpoint.parent_id, task.pk))
        rows.append(
            {
                "task": task.name,
                "value": own.value if own else None,
                "examples": own.examples if own else None,
                "typed": bool(own and own.typed),
                "change": own.value - before.value if own and before else None,
            }
        )
    return rows


def config_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The family's fields as (name, text), those that say nothing left out; sizes read "64 → 100 → 10"."""
    rows = []
    for name, value in config.items():
        # An adapter's base has its own card.
        if value is None or name == "base" or (isinstance(value, str | list | Mapping) and not value):
            continue
        words = " ".join(_SPELLED.get(word, word) for word in name.split("_"))
        rows.append((words[:1].upper() + words[1:], cut(_config_text(value), 200)))
    return rows


def _config_text(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_config_text(one)}" for key, one in value.items())
    if isinstance(value, list):
        # Names lie side by side, sizes of layers one behind the other.
        between = ", " if any(isinstance(one, str) for one in value) else " → "
        return between.join(_config_text(one) for one in value)
    return str(value)


def tensor_rows(tensors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The header's tensors with their number of values; at most TENSORS_SHOWN."""
    rows = []
    for tensor in tensors[:TENSORS_SHOWN]:
        size = 1
        for side in tensor["shape"]:
            size *= side
        shape = " × ".join(str(side) for side in tensor["shape"])
        rows.append({"name": tensor["name"], "dtype": tensor["dtype"], "shape": shape or "1", "values": size})
    return rows


def lineage(checkpoint: Checkpoint) -> dict[str, Any]:
    """The nearest ancestors (oldest first), how many there are before those, and the children. One query."""
    rows = Checkpoint.everything.filter(project_id=checkpoint.project_id)
    shown = rows.only("number", "origin", "standing", "parent_id", "trashed_at")
    family = {row.pk: row for row in shown}
    ancestors: list[Checkpoint] = []
    child, at = checkpoint, family.get(checkpoint.parent_id) if checkpoint.parent_id else None
    while at is not None and at.number < child.number:
        ancestors.append(at)
        child, at = at, family.get(at.parent_id) if at.parent_id else None
    children = [row for row in family.values() if row.parent_id == checkpoint.pk]
    return {
        "ancestors": ancestors[:ANCESTORS_SHOWN][::-1],
        "earlier": max(0, len(ancestors) - ANCESTORS_SHOWN),
        "children": sorted(children, key=lambda row: row.number),
    }
