"""A version on its way out: into the trash, back from it, or gone for good. For admins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.checkpoints.models import Alias, Checkpoint
from webapp.core import audit
from webapp.core.errors import Conflict
from webapp.core.store_release import contents_release
from webapp.core.trash import ensure_in_trash, ensure_not_trashed
from webapp.cycles.choices import UNFINISHED
from webapp.cycles.models import Cycle
from webapp.projects.models import Project

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from webapp.accounts.models import User, Workspace

ADAPTERS_NAMED: Final = 5


@transaction.atomic
def checkpoint_trash(*, actor: User, checkpoint: Checkpoint) -> Checkpoint:
    """Out of every list; its files stay for seven days, and until then it can be restored.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        Conflict: `trash.current`, `trash.aliased`, `trash.base`, `trash.in_use`: it is needed; `trash.there`,
            `trash.deleted`: it is on its way already.
    """
    require_role(actor, checkpoint.project.workspace, Role.ADMIN)
    locked = _locked(checkpoint)
    ensure_not_trashed(locked, str(locked))
    needed = checkpoint_needed(locked)
    if needed is not None:
        raise needed
    _marked(locked, trashed_at=Now(), trashed_by=actor)
    _audit(locked, actor, "checkpoint_trash", size_bytes=locked.size_bytes)
    return locked


@transaction.atomic
def checkpoint_restore(*, actor: User, checkpoint: Checkpoint) -> Checkpoint:
    """Back from the trash, as it was.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        Conflict: `trash.not_there`, `trash.deleted`.
    """
    require_role(actor, checkpoint.project.workspace, Role.ADMIN)
    locked = _locked(checkpoint)
    ensure_in_trash(locked, str(locked))
    _marked(locked, trashed_at=None, trashed_by=None)
    _audit(locked, actor, "checkpoint_restore")
    return locked


def checkpoint_delete(*, actor: User, checkpoint: Checkpoint) -> int:
    """For good, now: what is in the trash loses its files, as far as nothing else needs them.

    Returns:
        How many bytes the workspace has more.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        Conflict: `trash.not_there`, `trash.deleted`.
    """
    require_role(actor, checkpoint.project.workspace, Role.ADMIN)
    with transaction.atomic():
        locked = _locked(checkpoint)
        ensure_in_trash(locked, str(locked))
        purge(locked, actor=actor)
    return contents_release(workspace=locked.project.workspace, digests=contents_of(locked))


def purge(checkpoint: Checkpoint, *, actor: User | None) -> None:
    """The row, locked by the caller, says from now on that its files are gone; the caller releases them
    after its transaction. `actor` None: its seven days are over."""
    _marked(checkpoint, purged_at=Now())
    _audit(checkpoint, actor, "checkpoint_delete", size_bytes=checkpoint.size_bytes, sha256=checkpoint.sha256)


def contents_of(checkpoint: Checkpoint) -> list[str]:
    """The stored contents that it names."""
    found = (checkpoint.sha256, checkpoint.extras_sha256, checkpoint.fisher_sha256)
    return [sha256 for sha256 in found if sha256]


def checkpoint_needed(
    checkpoint: Checkpoint,
    *,
    aliases: Iterable[Alias] | None = None,
    unfinished: Collection[Cycle] | None = None,
) -> Conflict | None:
    """Why it cannot go, as the sentence that says so; None: it can.

    Args:
        aliases: those that point to it, where the caller has read them.
        unfinished: its project's cycles that have not ended, likewise.
    """
    if checkpoint.project.current_id == checkpoint.pk:
        return Conflict(
            "trash.current",
            _("%(version)s is the current checkpoint of its project, so it stays. Promote another one first.")
            % {"version": checkpoint},
        )
    names = Alias.objects.filter(checkpoint=checkpoint) if aliases is None else aliases
    pointing = sorted(alias.name for alias in names)
    if pointing:
        text = ngettext(
            "The alias “%(names)s” points to %(version)s, so it stays. Move or delete the alias first.",
            "The aliases “%(names)s” point to %(version)s, so it stays. Move or delete them first.",
            len(pointing),
        )
        values = {"names": ", ".join(pointing), "version": checkpoint}
        return Conflict("trash.aliased", text % values, aliases=pointing)
    over = Checkpoint.everything.filter(base=checkpoint, purged_at__isnull=True).order_by("number")
    adapters = [str(row) for row in over.only("number")[:ADAPTERS_NAMED]]
    if adapters:
        text = ngettext(
            "The adapter %(adapters)s lies over %(version)s, so it stays. Delete the adapter for good first.",
            "The adapters %(adapters)s lie over %(version)s, so it stays. Delete them for good first.",
            len(adapters),
        )
        return Conflict("trash.base", text % {"adapters": ", ".join(adapters), "version": checkpoint})
    if unfinished is None:
        unfinished = Cycle.objects.filter(project=checkpoint.project_id, state__in=UNFINISHED)
    using = next((c for c in unfinished if checkpoint.pk in {c.base_id, c.reference_id}), None)
    if using is not None:
        return Conflict(
            "trash.in_use",
            _("%(cycle)s works on %(version)s and has not ended, so it stays. Wait for it, or cancel it.")
            % {"cycle": using, "version": checkpoint},
            cycle=str(using.pk),
        )
    return None


def ensure_live(checkpoints: Iterable[Checkpoint | None]) -> None:
    """For whoever is about to use them, under the project's lock: somebody may just have put one away.

    Raises:
        Conflict: `checkpoint.trashed`.
    """
    wanted = {row.pk: row for row in checkpoints if row is not None}
    live = set(Checkpoint.objects.filter(pk__in=wanted).values_list("pk", flat=True)) if wanted else set()
    for pk, row in wanted.items():
        if pk not in live:
            raise Conflict(
                "checkpoint.trashed",
                _("Checkpoint %(version)s is in the trash or deleted, so it cannot be used. Restore it from "
                  "the trash, or choose another.") % {"version": row},
            )  # fmt: skip


def _locked(checkpoint: Checkpoint) -> Checkpoint:
    """Its row, safe from everything that could begin to need it: all of that locks the project first."""
    rows = Project.objects.select_for_update(of=("self",)).select_related("workspace")
    project = rows.get(pk=checkpoint.project_id)
    row = Checkpoint.everything.select_for_update().get(pk=checkpoint.pk)
    row.project = project
    return row


def _marked(checkpoint: Checkpoint, **fields: object) -> None:
    Checkpoint.everything.filter(pk=checkpoint.pk).update(**fields)
    checkpoint.refresh_from_db(fields=list(fields), from_queryset=Checkpoint.everything.all())


def _audit(checkpoint: Checkpoint, actor: User | None, verb: str, **detail: object) -> None:
    workspace: Workspace = checkpoint.project.workspace
    audit.record(
        workspace=workspace, actor=actor, verb=verb, target=checkpoint, number=checkpoint.number, **detail
    )
