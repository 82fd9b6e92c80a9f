"""Taking in records, and saying no to those that the model could not use."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils import timezone

from webapp.core import audit
from webapp.core.bad_lines import bad_lines
from webapp.core.errors import InvalidInput, cut
from webapp.memories.models import RecordSet
from webapp.memories.selectors import project_fit, task_head
from webapp.memories.tombstones import ensure_none_erased
from webapp.projects.models import Project, Task

MOST_NOTES: Final = 8
# What models do whose records have no classes.
PLACES: Final = {"language": "goes on with texts", "extractive-qa": "finds answers in texts"}
MOST_LABEL_NAMES: Final = 10_000

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle


@transaction.atomic
def record_set_accept(
    *,
    project: Project,
    task: Task,
    use: str,
    sha256: str,
    info: dict[str, Any],
    filename: str = "",
    cycle: Cycle | None = None,
    actor: User | None = None,
    retention_days: int | None = None,
) -> RecordSet:
    """A verified record file becomes the task's live set for this use; the one before stays for its cycles.

    Args:
        sha256: of the canonical file, in the store already.
        info: what `consolidation.formats.records.convert_records` gave.
        retention_days: how long the records may be used; None: as long as each says itself.

    Raises:
        InvalidInput: `records.width`, `records.label_range`, `records.head`: it does not fit the project;
            `replay.subject_erased`: it brings back what was erased here.
    """
    # The project's lock lets sets that come at the same time be compared with each other.
    locked = Project.objects.select_for_update().get(pk=project.pk)
    check_fit(locked, info, besides=(task, use))
    head = check_head(task, use, list(info.get("head") or []))
    ensure_none_erased(locked, sha256)
    RecordSet.objects.filter(task=task, use=use, replaced_at__isnull=True).update(replaced_at=timezone.now())
    made = RecordSet.objects.create(
        project=locked,
        task=task,
        use=use,
        filename=filename,
        sha256=sha256,
        size_bytes=int(info["size"]),
        rows=int(info["rows"]),
        x_shape=list(info["x_shape"]),
        x_dtype=str(info["x_dtype"]),
        classes=int(info["classes"]),
        label_histogram=list(info["label_histogram"]),
        transform=dict(info["transform"]),
        has_logits=bool(info["has_logits"]),
        notes=_notes(info, cycle),
        label_names=_label_names(info, cycle),
        head=head,
        duplicates=int(info.get("duplicates") or 0),
        left_out=bad_lines(info.get("left_out")),
        kept=_kept(info.get("kept")),
        rights=[cut(name, 20) for name in list(info.get("rights") or [])[:MOST_NOTES]],
        cycle=cycle,
        next_expiry_at=next_expiry(info),
        **_retention(cycle, retention_days),
    )
    audit.record(
        workspace=locked.workspace,
        actor=actor,
        verb="record_set_accept",
        target=made,
        task=task.name,
        use=use,
        rows=made.rows,
        sha256=sha256,
    )
    return made


def next_expiry(info: dict[str, Any]) -> dt.datetime | None:
    """When the first record of a checked file expires by its own date."""
    seconds = int(info.get("next_expiry") or 0)
    return dt.datetime.fromtimestamp(seconds, dt.UTC) if seconds else None


def _retention(cycle: Cycle | None, days: int | None) -> dict[str, Any]:
    """Copies that a wake kept of a set expire with it: they are the same records."""
    if cycle is not None and cycle.data is not None:
        return {"retention_days": cycle.data.retention_days, "expires_at": cycle.data.expires_at}
    until = timezone.now() + dt.timedelta(days=days) if days else None
    return {"retention_days": days, "expires_at": until}


def _notes(info: dict[str, Any], cycle: Cycle | None) -> list[dict[str, str]]:
    """What the checker noted; what a wake kept of noted records has their notes too."""
    found = [note for note in list(info.get("notes") or [])[:MOST_NOTES] if isinstance(note, dict)]
    kept = [{"code": cut(note.get("code"), 64), "text": cut(note.get("text"), 400)} for note in found]
    if cycle is not None and cycle.data is not None:
        kept += [note for note in cycle.data.notes if note not in kept]
    return kept[:MOST_NOTES]


def _label_names(info: dict[str, Any], cycle: Cycle | None) -> list[str]:
    """The names as they can be shown; none, rather than a part of them that would shift the numbers. What a
    wake kept of records has their names."""
    names = info.get("label_names")
    if cycle is not None and cycle.data is not None and not names:
        return list(cycle.data.label_names)
    if not isinstance(names, list) or len(names) > MOST_LABEL_NAMES:
        return []
    clean = [cut(name, 200) for name in names]
    return clean if len(set(clean)) == len(clean) else []


def _kept(said: Any) -> dict[str, Any]:
    """{"offered", "budget", "bytes", "rule"} with nothing else in it; {} where nothing was chosen."""
    if not isinstance(said, dict) or not said:
        return {}
    return {key: int(said[key]) for key in ("offered", "budget", "bytes")} | {"rule": cut(said["rule"], 20)}


def check_head(task: Task, use: str, head: list[int]) -> list[int]:
    """The columns of these records, when they are those of the task's other sets.

    Raises:
        InvalidInput: `records.head`, with both.
    """
    other = task_head(task, besides=use)
    if other is None or other == head:
        return head
    raise InvalidInput(
        "records.head",
        f"These records are for {columns(head)}, and the task's other records for {columns(other)}. Say the "
        "same for all, or put the other records into the trash first.",
    )


def columns(head: list[int]) -> str:
    """ "columns 4 to 5 of the model's outputs"."""
    return (
        f"columns {head[0]} to {head[1] - 1} of the model's outputs" if head else "all of the model's outputs"
    )


def check_fit(project: Project, info: dict[str, Any], *, besides: tuple[Task, str] | None = None) -> None:
    """Whether records fit the project's current checkpoint, or its other sets while it has none.

    Args:
        info: "x_shape" and "classes" count.
        besides: (task, use) of the set that these would replace.

    Raises:
        InvalidInput: `records.width` or `records.label_range`, with both numbers.
    """
    fit = project_fit(project, besides=besides)
    width = math.prod(info["x_shape"])
    if fit.width is not None and fit.tokens and width > fit.width:
        raise InvalidInput(
            "records.width",
            f"Each of these records has {width:,} tokens; {cut(fit.because, 160)} reads at most "
            f"{fit.width:,}. Cut the texts to that length, then upload them again.",
            width=width,
            expected=fit.width,
        )
    if fit.width is not None and not fit.tokens and width != fit.width:
        raise InvalidInput(
            "records.width",
            f"Each of these records has {width:,} numbers; to fit {cut(fit.because, 160)} it needs "
            f"{fit.width:,}. Cut or reshape the records to that width, then upload them again.",
            width=width,
            expected=fit.width,
        )
    if fit.classes is not None and info["classes"] != fit.classes and fit.objective in PLACES:
        raise InvalidInput(
            "records.objective",
            f"These are records with classes; {cut(fit.because, 160)} {PLACES[fit.objective]}. Upload texts, "
            "or records that were made for such a model.",
        )
    if fit.classes is not None and info["classes"] != fit.classes:
        raise InvalidInput(
            "records.label_range",
            f"These records have {info['classes']:,} classes; to fit {cut(fit.because, 160)} they need "
            f"{fit.classes:,}. Use the same labels everywhere in a project.",
            classes=info["classes"],
            expected=fit.classes,
        )
