"""What can be put into the trash: for seven days it can be restored, then its files are deleted.

The row stays for good, without its files: a number is never used twice, and whoever reads a lineage or a
report finds out what there was, by its SHA-256.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext as _

from webapp.core.errors import Conflict
from webapp.core.visibility import VisibleThroughProject

if TYPE_CHECKING:
    from django.db.models import QuerySet

TRASH_DAYS: Final = 7
T = TypeVar("T", bound=models.Model)
Visible = models.Manager.from_queryset(VisibleThroughProject)


class LiveManager(Visible[T], Generic[T]):
    """Rows that are neither in the trash nor deleted; those are seen by `everything` alone."""

    def get_queryset(self) -> QuerySet[T]:
        return super().get_queryset().filter(trashed_at__isnull=True)


class Trashable(models.Model):
    """A row whose files can go: `trashed_at` since when it is in the trash, `purged_at` when they went."""

    trashed_at = models.DateTimeField(null=True, blank=True)
    trashed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    purged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def in_trash(self) -> bool:
        """It can still be restored."""
        return self.trashed_at is not None and self.purged_at is None

    @property
    def goes_at(self) -> dt.datetime | None:
        """When the trash lets go of it; None of what is not in it."""
        if self.trashed_at is None or self.purged_at is not None:
            return None
        return self.trashed_at + dt.timedelta(days=TRASH_DAYS)

    @property
    def days_left(self) -> int:
        """Whole days until then, rounded up; 0 when it is due."""
        left = (self.goes_at - timezone.now()) / dt.timedelta(days=1) if self.goes_at else 0.0
        return max(0, -int(-left // 1))


def ensure_not_trashed(row: Trashable, name: str) -> None:
    """Raises Conflict: `trash.there`: it is in the trash already, or deleted."""
    if row.purged_at is not None:
        raise deleted(name)
    if row.trashed_at is not None:
        raise Conflict("trash.there", _("%(name)s is in the trash already.") % {"name": name})


def ensure_in_trash(row: Trashable, name: str) -> None:
    """Raises Conflict: `trash.deleted`: its files are gone; `trash.not_there`: it is not in the trash."""
    if row.purged_at is not None:
        raise deleted(name)
    if row.trashed_at is None:
        raise Conflict(
            "trash.not_there",
            _("%(name)s is not in the trash, so nothing was changed. Look again, then decide.")
            % {"name": name},
        )


def deleted(name: str) -> Conflict:
    """The sentence for what is gone for good."""
    return Conflict(
        "trash.deleted",
        _("The files of %(name)s were deleted, so it cannot be used or brought back.") % {"name": name},
    )
