"""What people and the clock do with cycles: start, cancel, try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core.doorbell import ring_night
from webapp.core.errors import Conflict, InvalidInput
from webapp.cycles import checks
from webapp.cycles.choices import Kind, State
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import StateChanged, transition, transition_record
from webapp.memories.models import RecordSet, Use
from webapp.projects.models import Project

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from webapp.accounts.models import User
    from webapp.checkpoints.models import Checkpoint
    from webapp.schedules.models import Schedule

# More waiting cycles than this on one project are a mistake, not a plan.
QUEUE_LIMIT = 100
_RETRIABLE = frozenset({State.FAILED, State.CANCELLED, State.QUARANTINED, State.REJECTED})
_CANCEL_AT_ONCE = (State.SCHEDULED, State.QUEUED, State.BLOCKED, State.PAUSED)
_CANCEL_BY_HOLDER = (State.STARTING, State.RUNNING, State.PAUSING)


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

    Raises:
        NotFound, Forbidden: the person may not.
        InvalidInput, Conflict: what is asked for cannot run; the sentence says why and what to do.
    """
    if actor is not None:
        require_role(actor, project.workspace, Role.EDITOR)
    if kind not in Kind.values:
        raise InvalidInput("cycle.kind", "A cycle is a wake, a score or a sleep.")
    frozen, preset_name = checks.clean_recipe(kind, recipe, preset)
    rows = Project.objects.select_for_update(of=("self",)).select_related("current", "workspace")
    locked = rows.get(pk=project.pk)
    sets = list(
        RecordSet.objects.filter(project=locked, replaced_at__isnull=True)
        .select_related("task")
        .order_by("task__position")
    )
    memories = [item for item in sets if item.use == Use.MEMORIES] if kind == Kind.SLEEP else []
    probes = [item for item in sets if item.use == Use.PROBE]
    plan = checks.Plan(
        project=locked, kind=kind, base=base, reference=reference, data=data, init=init, memories=memories,
        probes=probes,
    )  # fmt: skip
    plan.check()
    return _create(
        locked,
        memories,
        probes,
        actor=actor,
        verb="cycle_start",
        kind=kind,
        preset=preset_name,
        recipe=frozen,
        base=plan.base,
        reference=plan.reference,
        data=data,
        init=dict(plan.init) if plan.init else None,
        schedule=schedule,
    )


def _create(
    project: Project,
    memories: Iterable[RecordSet],
    probes: Iterable[RecordSet],
    *,
    actor: User | None,
    verb: str,
    **fields: Any,
) -> Cycle:
    """The row, its links, its first transition and frame, and the ring; `project` is locked by the caller."""
    if Cycle.objects.filter(project=project, state=State.QUEUED).count() >= QUEUE_LIMIT:
        raise Conflict(
            "cycle.queue_full",
            f"{QUEUE_LIMIT} cycles of this project wait already. Cancel some, or wait until they have run.",
        )
    Project.objects.filter(pk=project.pk).update(last_cycle_number=F("last_cycle_number") + 1)
    project.refresh_from_db(fields=["last_cycle_number"])
    cycle = Cycle.objects.create(
        project=project,
        number=project.last_cycle_number,
        state=State.QUEUED,
        protocol=settings.CYCLE_PROTOCOL,
        queued_at=Now(),
        created_by=actor,
        **fields,
    )
    cycle.memories.set(memories)
    cycle.probes.set(probes)
    ring_night()
    return transition_record(cycle.pk, old="", actor=actor, verb=verb)


def cycle_cancel(*, actor: User, cycle: Cycle) -> Cycle:
    """Cancel: at once while it waits, through its worker while it runs (seconds; 30 s at most).

    Asking again while it is being cancelled is fine. Exactly one of cancelling and publishing wins.

    Raises:
        NotFound, Forbidden: the person may not.
        Conflict: `cycle.publishing` or `cycle.ended`: it is too late.
    """
    require_role(actor, cycle.project.workspace, Role.EDITOR)
    while True:
        try:
            return transition(
                cycle.pk, to=State.CANCELLED, expect_from=_CANCEL_AT_ONCE, actor=actor, verb="cycle_cancel"
            )
        except StateChanged as error:
            if error.state == State.CANCELLING:
                return Cycle.objects.select_related("project__workspace", "worker").get(pk=cycle.pk)
            if error.state == State.PUBLISHING:
                raise Conflict(
                    "cycle.publishing",
                    "The cycle has done its work and is publishing the result, so it is too late to cancel.",
                ) from None
            if error.state not in _CANCEL_BY_HOLDER:
                raise Conflict(
                    "cycle.ended", "The cycle has ended; there is nothing left to cancel."
                ) from None
        try:
            return transition(
                cycle.pk,
                to=State.CANCELLING,
                expect_from=_CANCEL_BY_HOLDER,
                actor=actor,
                verb="cycle_cancel",
                cancel_requested_at=Now(),
                cancel_requested_by=actor,
            )
        except StateChanged:
            # It moved between the two looks (a worker took it or gave it back): look again.
            continue


@transaction.atomic
def cycle_retry(*, actor: User, cycle: Cycle) -> Cycle:
    """The same again, as a new cycle with the same recipe, base and record sets.

    Raises:
        NotFound, Forbidden: the person may not.
        Conflict: `cycle.not_retriable`: it has not ended, or it ended well.
    """
    require_role(actor, cycle.project.workspace, Role.EDITOR)
    if cycle.state not in _RETRIABLE:
        raise Conflict(
            "cycle.not_retriable",
            "Only a cycle that failed, was cancelled or was rejected can be tried again. Start a new one.",
        )
    project = Project.objects.select_for_update().get(pk=cycle.project_id)
    return _create(
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
        retry_of=cycle,
    )
