"""What a cycle will need, told before it is queued: memory and room at its worker, room in the store."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consolidation.errors import NocturneInputError
from consolidation.estimate import FLOAT, DryRun, estimate
from consolidation.families.registry import family_spec, parameter_count
from consolidation.recipe import SleepRecipe, WakeRecipe, recipe_from_json
from consolidation.stored_size import answer_bytes
from consolidation.wake_estimate import HEADER_BYTES, score_estimate, wake_estimate
from webapp.cycles.choices import UNFINISHED, Kind
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consolidation.estimate import Estimate
    from webapp.checkpoints.models import Checkpoint
    from webapp.memories.models import RecordSet
    from webapp.projects.models import Project


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes; 0 is not known.

    Attributes:
        memory_bytes: of the trainer at its highest.
        disk_bytes: of the cycle's work folder at its fullest.
        store_bytes: what it publishes at most: the model, its Fisher, memories.
    """

    memory_bytes: int = 0
    disk_bytes: int = 0
    store_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Model:
    family: str
    config: Mapping[str, Any]
    parameters: int


def cycle_needs(
    *,
    project: Project,
    kind: str,
    recipe: Mapping[str, Any],
    base: Checkpoint | None,
    reference: Checkpoint | None = None,
    data: RecordSet | None = None,
    init: Mapping[str, Any] | None = None,
    memories: Sequence[RecordSet] = (),
) -> Needs:
    """By arithmetic alone, from what `cycle_start` freezes. A wake without a base is measured on the model
    that it will probably find: the current one, or what the wake before it builds."""
    model = _model(project, base, init)
    if model is None:
        return Needs()
    # What learns of an adapter is told by its file; all else, its memory too, by its base's description.
    told = DryRun(0.0, model.parameters, 0) if model.config.get("base") else None
    try:
        found = _estimate(model, kind, recipe, base, reference, data, memories, told)
        return _needs(found, found.peak_memory_bytes, kind, model, data)
    except NocturneInputError:
        pass
    try:
        # Only the family's library knows the tensors: their number is enough for disks, not for memory.
        known = DryRun(0.0, model.parameters, 0)
        return _needs(
            _estimate(model, kind, recipe, base, reference, data, memories, known), 0, kind, model, data
        )
    except NocturneInputError:
        return Needs()


def used_day(kind: str, recipe: Mapping[str, Any], base: Checkpoint | None) -> RecordSet | None:
    """The training set that a night looks back on: what its base has just learned, unless it was replaced,
    put into the trash, or has expired."""
    if kind != Kind.SLEEP or not recipe.get("fresh") or base is None or base.cycle is None:
        return None
    data = base.cycle.data
    there = data is not None and data.replaced_at is None and data.trashed_at is None and not data.expired
    return data if there else None


def _model(project: Project, base: Checkpoint | None, init: Mapping[str, Any] | None) -> _Model | None:
    known = base or project.current
    if known is not None:
        return _Model(known.family, known.config, known.parameters)
    if init is None:
        before = Cycle.objects.filter(
            project=project, kind=Kind.WAKE, init__isnull=False, state__in=UNFINISHED
        )
        init = before.order_by("-number").values_list("init", flat=True).first()
    if init is None:
        return None
    return _Model(init["family"], init["config"], parameter_count(init["family"], init["config"]) or 0)


def _estimate(
    model: _Model,
    kind: str,
    recipe: Mapping[str, Any],
    base: Checkpoint | None,
    reference: Checkpoint | None,
    data: RecordSet | None,
    memories: Sequence[RecordSet],
    known: DryRun | None,
) -> Estimate:
    if kind == Kind.SCORE:
        return score_estimate(
            family=model.family,
            config=model.config,
            rows=data.rows if data else 0,
            width=_width([data]) if data else None,
            dry_run=known,
        )
    chosen = recipe_from_json(recipe, kind)
    if isinstance(chosen, WakeRecipe):
        return wake_estimate(
            chosen,
            family=model.family,
            config=model.config,
            rows=data.rows if data else 0,
            record_bytes=math.ceil(data.size_bytes / max(data.rows, 1)) if data else 0,
            width=_width([data]) if data else None,
            dry_run=known,
        )
    day = used_day(kind, recipe, base)
    return estimate(
        chosen,
        family=model.family,
        config=model.config,
        memories=_night_rows(chosen, memories, day),
        width=_width([*memories, *([day] if day else [])]),
        reference=reference is not None,
        dry_run=known,
    )


def _width(sets: Sequence[RecordSet]) -> int | None:
    """Numbers of the widest record; texts may have fewer tokens than the model could read."""
    return max((math.prod(item.x_shape) for item in sets), default=None)


def _answered_bytes(model: _Model, data: RecordSet) -> int:
    """Of memories with the model's answers beside them."""
    config = family_spec(model.family).validate_config(model.config)
    each = answer_bytes(model.family, config, math.prod(data.x_shape))
    return int(data.size_bytes + data.rows * each + HEADER_BYTES)


def _night_rows(recipe: SleepRecipe, memories: Sequence[RecordSet], day: RecordSet | None) -> list[int]:
    """Records of each set, a sample of the day in the place of its task's memories."""
    if day is None:
        return [item.rows for item in memories]
    rows = [item.rows for item in memories if item.task_id != day.task_id]
    return [*rows, min(recipe.fresh, day.rows)]


def _needs(found: Estimate, memory: int, kind: str, model: _Model, data: RecordSet | None) -> Needs:
    """The work folder twice: an earlier attempt's snapshots stay until the end, and a new one is written
    beside the old. The result twice: the trainer's, and the copy that the supervisor checked. What a wake
    learns is not copied."""
    if kind == Kind.SCORE:
        answers = _answered_bytes(model, data) if data is not None else 0
        return Needs(memory, 2 * found.work_bytes + 2 * answers, answers)
    # Space for two checkpoints, whatever a file's header and the Fisher beside the model take.
    store = found.output_bytes + FLOAT * model.parameters // 2 + HEADER_BYTES
    return Needs(memory, 2 * found.work_bytes + 2 * found.output_bytes, store)
