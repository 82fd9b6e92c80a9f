"""Notes on a cycle: written beside a moment of its charts, told through its stream like all the rest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.errors import Conflict, Forbidden, InvalidInput
from webapp.live.frames import NOTE, frame_write
from webapp.live.models import Note

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace
    from webapp.cycles.models import Cycle

LONGEST: Final = 500
MOST: Final = 200


@transaction.atomic
def note_create(*, actor: User, cycle: Cycle, t: float, step: int, text: str) -> Note:
    """Write a note at `t` seconds of the page's clock, which is step `step`.

    Raises:
        NotFound, Forbidden: the person may not (the role editor is needed).
        InvalidInput: `note.text`: empty, too long or unprintable; `note.place`: no moment of a cycle.
        Conflict: `note.too_many`.
    """
    require_role(actor, cycle.project.workspace, Role.EDITOR)
    words = " ".join(text.split())
    if not words or len(words) > LONGEST or not words.isprintable():
        raise InvalidInput(
            "note.text", _("A note is one to 500 printable characters. Change it, then try again.")
        )
    if not (math.isfinite(t) and 0 <= t < 1e9 and 0 <= step < 2**53):
        raise InvalidInput("note.place", _("A note stands beside a moment of the cycle; this is none."))
    if Note.objects.filter(cycle=cycle, removed_at=None).count() >= MOST:
        raise Conflict("note.too_many", _("This cycle has 200 notes. Remove some first."))
    note = Note.objects.create(cycle=cycle, author=actor, t=t, step=step, text=words)
    _tell(note)
    audit.record(workspace=cycle.project.workspace, actor=actor, verb="note_create", target=note)
    return note


@transaction.atomic
def note_remove(*, actor: User, note: Note) -> None:
    """Take a note away; doing it again changes nothing.

    Raises:
        NotFound, Forbidden: only its author (as an editor) or an admin may.
    """
    workspace = _may_remove(actor, note)
    if Note.objects.filter(pk=note.pk, removed_at=None).update(removed_at=Now()):
        told = {"id": str(note.pk), "removed": True}
        frame_write(cycle_id=note.cycle_id, epoch=None, kind=NOTE, payload={"note": told})
        audit.record(workspace=workspace, actor=actor, verb="note_remove", target=note)


@transaction.atomic
def note_restore(*, actor: User, note: Note) -> None:
    """Bring back a note that was taken away, as it was; doing it again changes nothing.

    Raises:
        NotFound, Forbidden: only its author (as an editor) or an admin may.
    """
    workspace = _may_remove(actor, note)
    if Note.objects.filter(pk=note.pk, removed_at__isnull=False).update(removed_at=None):
        _tell(note)
        audit.record(workspace=workspace, actor=actor, verb="note_restore", target=note)


def _may_remove(actor: User, note: Note) -> Workspace:
    workspace = note.cycle.project.workspace
    membership = require_role(actor, workspace, Role.EDITOR)
    if note.author_id != actor.pk and Role(membership.role).rank < Role.ADMIN.rank:
        raise Forbidden(_("Only its author or an admin can remove a note."))
    return workspace


def _tell(note: Note) -> None:
    """The note, as a frame of the cycle's stream."""
    by = (note.author.name or note.author.email) if note.author else ""
    told = {"id": str(note.pk), "t": note.t, "step": note.step, "text": note.text, "by": by}
    frame_write(cycle_id=note.cycle_id, epoch=None, kind=NOTE, payload={"note": told})
