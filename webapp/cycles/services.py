"""What people and the clock begin: a new cycle, or a failed one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from webapp.accounts.choices import Role
from webapp.accounts.models import Workspace
from webapp.accounts.selectors import require_role
from webapp.checkpoints.trash import ensure_live
from webapp.core.doorbell import ring_night
from webapp.core.errors import Conflict, InvalidInput
from webapp.core.faults import fault
from webapp.cycles import checks, room
from webapp.cycles.choices import Kind, State
from webapp.cycles.models import Cycle
from webapp.cycles.needs import cycle_needs, used_day
from webapp.cycles.transitions import transition_record
from webapp.memories.models import RecordSet, Use
from webapp.memories.selectors import live_sets
from webapp.memories.trash import ensure_sets_live
from webapp.projects.models import Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webapp.accounts.models import User
    from webapp.checkpoints.models import Checkpoint
    from webapp.cycles.needs import Needs
    from webapp.schedules.models import Schedule

# More waiting cycles than this on one project are a mistake, not a plan.
QUEUE_LIMIT = 100
_RETRIABLE = frozenset({State.FAILED, State.CANCELLED, State.QUARANTINED, State.REJECTED})


@transaction.atomic
def cycle_start(
    *,
    actor: User | None,
    project: Project,
    kind: str,
    recipe: Mapping[str, Any],
    preset: str = "",
    base: Checkpoint | None = None,
    reference: Checkpoint | None = None,
    data: RecordSet | None = None,
    init: Mapping[str, Any] | None = None,
    schedule: Schedule | None = None,
    device: str = "",
) -> Cycle:
    """Queue a cycle with everything frozen that it depends on: recipe, base, memories, probes.

    Args:
        actor: the person, who needs the role editor; None for the clock.
        project: on which model line.
        kind: "wake", "score" or "sleep".
        recipe: fields of the kind's recipe; `preset` fills what is not given. A score has no recipe.
        preset: name of a sleep preset.
        base: the checkpoint to begin from; a sleep or a score takes the current one now, a wake takes
            whatever is current when it starts.
        reference: the model before waking; a sleep takes the parent of its base when the two are alike.
        data: what a wake learns.
        init: what a wake builds when the project has no checkpoint: {"family", "config", "seed"}.
        schedule: which schedule asked.
        device: on which kind of device it must run ("cpu", "cuda", "mps"); "" is any.

    Raises:
        NotFound, Forbidden: the person may not.
        InvalidInput, Conflict: what is asked for cannot run; the sentence says why and what to do.
            `cycle.does_not_fit`, `cycle.device_unknown`: about the device.
        NoRoom: `cycle.no_room`: the quota or the disk has no room for what it needs.
    """
    if actor is not None:
        require_role(actor, project.workspace, Role.EDITOR)
    room.ensure_device(device)
    if kind not in Kind.values:
        raise InvalidInput("cycle.kind", "A cycle is a wake, a score or a sleep.")
    workspace = _take_turns(project)
    rows = Project.objects.select_for_update(of=("self",)).select_related("current", "workspace")
    locked = rows.get(pk=project.pk)
    text = checks.reads_texts(base or locked.current)
    frozen, preset_name = checks.clean_recipe(kind, recipe, preset, text=text)
    sets = list(live_sets(locked).select_related("task").order_by("task__position"))
    memories = [item for item in sets if item.use == Use.MEMORIES] if kind == Kind.SLEEP else []
    probes = [item for item in sets if item.use == Use.PROBE]
    plan = checks.Plan(
        project=locked, kind=kind, base=base, reference=reference, data=data, init=init, memories=memories,
        probes=probes,
    )  # fmt: skip
    plan.check()
    plan.check_recipe(frozen)
    return _create(
        workspace,
        locked,
        memories,
        probes,
        actor=actor,
        verb="cycle_start",
        device=device,
        kind=kind,
        preset=preset_name,
        recipe=frozen,
        base=plan.base,
        reference=plan.reference,
        data=data,
        init=dict(plan.init) if plan.init else None,
        schedule=schedule,
    )


def _take_turns(project: Project) -> Workspace:
    """The workspace's row, locked: what is promised to cycles and uploads at once must not exceed the quota.

    Always before the project's lock. Rows that only refer to the workspace can be written meanwhile.
    """
    return Workspace.objects.select_for_update(no_key=True).get(pk=project.workspace_id)


def _create(
    workspace: Workspace,
    project: Project,
    memories: Iterable[RecordSet],
    probes: Iterable[RecordSet],
    *,
    actor: User | None,
    verb: str,
    **fields: Any,
) -> Cycle:
    """The row, its links, its first transition and frame, and the ring; workspace and project are locked."""
    if Cycle.objects.filter(project=project, state=State.QUEUED).count() >= QUEUE_LIMIT:
        raise Conflict(
            "cycle.queue_full",
            f"{QUEUE_LIMIT} cycles of this project wait already. Cancel some, or wait until they have run.",
        )
    memories = list(memories)
    needs = _needs(workspace, project, memories, fields)
    Project.objects.filter(pk=project.pk).update(last_cycle_number=F("last_cycle_number") + 1)
    project.refresh_from_db(fields=["last_cycle_number"])
    cycle = Cycle.objects.create(
        project=project,
        number=project.last_cycle_number,
        state=State.QUEUED,
        protocol=settings.CYCLE_PROTOCOL,
        queued_at=Now(),
        created_by=actor,
        memory_bytes=needs.memory_bytes,
        disk_bytes=needs.disk_bytes,
        store_bytes=needs.store_bytes,
        used_sets=[str(item.pk) for item in _used(memories, fields)],
        **fields,
    )
    cycle.memories.set(memories)
    cycle.probes.set(probes)
    transaction.on_commit(lambda: fault("cycle_start.after_commit"))
    ring_night(cycle.device)
    fresh = transition_record(cycle.pk, old="", actor=actor, verb=verb)
    fault("cycle_start.before_commit")
    return fresh


def _needs(
    workspace: Workspace, project: Project, memories: list[RecordSet], fields: Mapping[str, Any]
) -> Needs:
    """What it will need, refused when no worker or no disk could give it."""
    needs = cycle_needs(
        project=project,
        memories=memories,
        **{key: fields[key] for key in ("kind", "recipe", "base", "reference", "data", "init")},
    )
    room.ensure_fits(needs.memory_bytes, fields["device"])
    room.ensure_room(workspace, needs)
    return needs


def _used(memories: list[RecordSet], fields: Mapping[str, Any]) -> list[RecordSet]:
    """The record sets that it learns or replays."""
    day = used_day(fields["kind"], fields["recipe"], fields["base"])
    return [*memories, *(item for item in (fields["data"], day) if item is not None)]


@transaction.atomic
def cycle_retry(*, actor: User, cycle: Cycle) -> Cycle:
    """The same again, as a new cycle with the same recipe, base and record sets.

    Raises:
        NotFound, Forbidden: the person may not.
        Conflict: `cycle.not_retriable`: it has not ended, or it ended well.
            `checkpoint.trashed`, `records.trashed`: what it needs is in the trash or deleted.
        InvalidInput, NoRoom: no worker or no disk could hold it, as in `cycle_start`.
    """
    require_role(actor, cycle.project.workspace, Role.EDITOR)
    if cycle.state not in _RETRIABLE:
        raise Conflict(
            "cycle.not_retriable",
            "Only a cycle that failed, was cancelled or was rejected can be tried again. Start a new one.",
        )
    workspace = _take_turns(cycle.project)
    project = Project.objects.select_for_update().get(pk=cycle.project_id)
    ensure_live([cycle.base, cycle.reference])
    linked = RecordSet.everything.filter(Q(cycles_as_memories=cycle) | Q(cycles_as_probes=cycle))
    data = [cycle.data_id] if cycle.data_id else []
    ensure_sets_live([*cycle.used_sets, *data, *linked.values_list("pk", flat=True)])
    return _create(
        workspace,
        project,
        cycle.memories.all(),
        cycle.probes.all(),
        actor=actor,
        verb="cycle_retry",
        kind=cycle.kind,
        preset=cycle.preset,
        recipe=cycle.recipe,
        base=cycle.base,
        reference=cycle.reference,
        data=cycle.data,
        init=cycle.init,
        device=cycle.device,
        retry_of=cycle,
    )
