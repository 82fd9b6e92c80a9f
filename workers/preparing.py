"""From a claimed cycle to job.json: inputs checked, the past collected, a snapshot brought along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import transaction

from consolidation.errors import NocturneInputError
from consolidation.families.registry import parameter_count
from webapp.core.errors import Conflict
from webapp.core.store import file_sha256, store_path
from webapp.core.store_identity import store_check
from webapp.cycles.choices import Kind
from webapp.cycles.inputs import ensure_inputs
from webapp.cycles.models import Cycle, Snapshot
from webapp.cycles.selectors import lineage_history
from webapp.live.frames import LeaseLost
from webapp.memories.models import RecordSet, unexpired
from webapp.memories.purging import erasures_waiting
from webapp.projects.models import Project
from workers.devices import ONE_THREAD_PARAMETERS, trainer_threads
from workers.erasing import records_take_out
from workers.job import JOB_FILE, OUT_DIR, WORK_DIR, Job
from workers.scratch import resume_into

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from uuid import UUID

    from workers.devices import Device


# No file of an attempt is larger than twice what all of them were foretold to take, or than this.
_SMALLEST_LIMIT: Final = 2**30
_MISSING: Final = (
    "The stored file of %s is missing or cannot be read, so the cycle cannot start. Upload it again."
)


class CannotStart(Exception):
    """The cycle cannot run at all; trying again would not help."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def prepare(cycle: Cycle, folder: Path, *, device: Device) -> bool:
    """Write `folder`/job.json; True when the attempt resumes from a snapshot.

    Raises:
        CannotStart: an input is missing, erased or damaged, or there is no model to begin from.
        LeaseLost: the cycle is not ours any more.
        StoreAway: the store is not here.
    """
    _recall_reading(cycle)
    _ensure(cycle)
    _choose_base(cycle)
    sets = _sets_to_read(cycle)
    _ensure(cycle)  # the last record of a set may just have been taken out of it
    workspace = cycle.project.workspace_id
    checked: dict[str, str] = {}

    def content(sha256: str, what: str) -> str:
        if sha256 not in checked:
            checked[sha256] = str(_verified(workspace, sha256, what))
        return checked[sha256]

    def records(sets: Iterable[RecordSet]) -> list[str]:
        return [content(item.sha256, _what(item)) for item in sets]

    base, reference = cycle.base, cycle.reference
    under = base.base if base else None
    work = folder / WORK_DIR
    job = Job(
        cycle=str(cycle.pk),
        epoch=cycle.epoch,
        kind=cycle.kind,
        recipe=cycle.recipe,
        checkpoint=content(base.sha256, f"checkpoint {base}") if base else None,
        init=None if base else cycle.init,
        base=content(under.sha256, f"checkpoint {under}") if under else None,
        reference=content(reference.sha256, f"checkpoint {reference}") if reference else None,
        reference_fisher=_fisher(cycle),
        memories=records(sets.memories),
        probes=records(sets.probes),
        data=records([sets.data])[0] if sets.data else None,
        awake=_stored(workspace, sets.awake) if sets.awake else None,
        history=lineage_history(base) if base else [],
        work=str(work),
        out=str(folder / OUT_DIR),
        device=device.name,
        threads=trainer_threads(model_parameters(cycle)),
        extended=cycle.extended,
        micro_batch=int(cycle.adapted.get("micro_batch", 0)),
        memory_bytes=settings.TRAINER_MEMORY_BYTES,
        file_bytes=max(_SMALLEST_LIMIT, 2 * cycle.disk_bytes) if cycle.disk_bytes else 0,
    )
    resumed = resume_into(cycle, work)
    job.save(folder / JOB_FILE)
    return resumed


def model_parameters(cycle: Cycle) -> int:
    """How many weights the cycle's model has; its base must have been chosen."""
    if cycle.base is not None:
        return cycle.base.parameters
    init = cycle.init or {}
    count = parameter_count(init.get("family"), init.get("config") or {})
    # a size that only the family's library knows is that of a net worth several threads
    return ONE_THREAD_PARAMETERS if count is None else count


def _choose_base(cycle: Cycle) -> None:
    """A wake without a base begins from whatever is current now; it is written down, for attempts to come."""
    if cycle.kind != Kind.WAKE or cycle.base is not None:
        return
    with transaction.atomic():
        # Under the project's lock, or what is current might be left and put into the trash meanwhile.
        rows = Project.objects.select_for_update(of=("self",)).select_related("current")
        current = rows.get(pk=cycle.project_id).current
        if current is None:
            if cycle.init is None:
                raise CannotStart(
                    "cycle.no_checkpoint",
                    "The project has no checkpoint to begin from, because the wake before this one did not "
                    "end well. Start that one again, or upload a checkpoint.",
                )
            return
        if not Cycle.objects.filter(pk=cycle.pk, epoch=cycle.epoch).update(base=current):
            raise LeaseLost
    cycle.base = current


def _fisher(cycle: Cycle) -> str | None:
    reference = cycle.reference
    if reference is None or not reference.fisher_sha256:
        return None
    path = store_path(cycle.project.workspace_id, reference.fisher_sha256)
    # Significance only weighs the merge; without it the engine estimates its own.
    return str(path) if path.is_file() else None


@dataclass(frozen=True)
class _Sets:
    """The record sets that an attempt opens."""

    memories: list[RecordSet]
    probes: list[RecordSet]
    data: RecordSet | None
    awake: RecordSet | None

    def all(self) -> list[RecordSet]:
        more = [item for item in (self.data, self.awake) if item is not None]
        return [*self.memories, *self.probes, *more]


def _ensure(cycle: Cycle) -> None:
    try:
        ensure_inputs(cycle, beginning=True)
    except Conflict as error:
        raise CannotStart(error.code, error.message) from None


def _recall_reading(cycle: Cycle) -> None:
    """What is in the snapshot that it goes on from: without one, nothing of what it had read is left."""
    if not Snapshot.objects.filter(cycle=cycle).exists():
        cycle.read_sets = {}
    elif not cycle.read_sets:
        # Begun by a version that did not write it down; until then nothing was ever erased.
        cycle.read_sets = dict.fromkeys(cycle.used_sets, 0)


def _sets_to_read(cycle: Cycle) -> _Sets:
    """The sets as they are now, without what was erased of them; and the cycle says that it reads them.

    The counts of erasures are read before the look for tombstones that wait. So a file is either free of what
    was erased, or its count has moved on, and the keeper of the lease sees that.
    """
    while True:
        sets = _sets(cycle)
        waiting = [item for item in sets.all() if erasures_waiting(item)]
        if not waiting:
            break
        for item in waiting:
            try:
                records_take_out(item.pk)
            except (OSError, NocturneInputError):
                store_check()
                raise CannotStart("cycle.input_missing", _MISSING % _what(item)) from None
    read = {str(item.pk): item.erasures for item in sets.all()}
    # What an earlier attempt has read is in the snapshot that this one goes on from.
    cycle.read_sets = read | cycle.read_sets
    if not Cycle.objects.filter(pk=cycle.pk, epoch=cycle.epoch).update(read_sets=cycle.read_sets):
        raise LeaseLost
    return sets


def _sets(cycle: Cycle) -> _Sets:
    return _Sets(
        list(cycle.memories.order_by("task__position")),
        list(cycle.probes.filter(unexpired()).order_by("task__position")),
        RecordSet.everything.filter(pk=cycle.data_id).first() if cycle.data_id else None,
        _awake(cycle),
    )


def _awake(cycle: Cycle) -> RecordSet | None:
    """The training set that the base has just learned from, while it is here: a night is better for it.

    One that was replaced since, or put into the trash, is left alone: whoever did it may have had a reason
    against these records.
    """
    if cycle.kind != Kind.SLEEP or cycle.base is None or cycle.base.cycle is None:
        return None
    woke = cycle.base.cycle
    rows = RecordSet.objects.filter(unexpired(), cycles_as_data=woke)  # only a wake has any
    return rows.filter(replaced_at__isnull=True).first()


def _stored(workspace: UUID, item: RecordSet) -> str | None:
    try:
        return str(_verified(workspace, item.sha256, _what(item)))
    except CannotStart:
        return None


def _what(item: RecordSet) -> str:
    return f"the {item.get_use_display().lower()} of a task"


def _verified(workspace: UUID, sha256: str, what: str) -> Path:
    path = store_path(workspace, sha256)
    try:
        found, _size = file_sha256(path)
    except OSError:
        store_check()  # a store that went away is no reason to upload anything again
        raise CannotStart("cycle.input_missing", _MISSING % what) from None
    if found != sha256:
        raise CannotStart(
            "cycle.input_damaged",
            f"The stored file of {what} has changed on disk since it was verified, so it is not used. "
            "Upload it again.",
        )
    return path
