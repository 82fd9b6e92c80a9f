"""Who needs which content of the store: the one list of all columns that name a stored file.

A content may be deleted when no row refers to it. What is in the trash still does; what was deleted keeps the
SHA-256 as a fact about the past, and needs no file. Snapshots lie in the work folders of cycles and reports
in the database, so they are not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Exists, OuterRef, Q, Sum
from django.db.models.functions import Now

from webapp.checkpoints.models import Checkpoint
from webapp.memories.models import RecordSet
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet


@dataclass(frozen=True)
class Reference:
    """A column that holds a content's SHA-256, "" for none; its model belongs to a project."""

    model: Any
    column: str

    def rows(self) -> QuerySet[Any]:
        """Those that need one."""
        kept = self.model.everything.filter(purged_at__isnull=True)
        rows: QuerySet[Any] = kept.exclude(**{self.column: ""}).order_by()
        return rows


REFERENCES: Final = (
    Reference(Checkpoint, "sha256"),
    Reference(Checkpoint, "extras_sha256"),
    Reference(Checkpoint, "fisher_sha256"),
    Reference(RecordSet, "sha256"),
)


def referred(workspace_id: UUID, sha256: str) -> bool:
    """Whether a row of the workspace refers to a content, in the trash or not. At most four queries."""
    own = {"project__workspace": workspace_id}
    return any(one.rows().filter(**own, **{one.column: sha256}).exists() for one in REFERENCES)


def trash_frees(workspace_id: UUID) -> int:
    """Bytes that emptying the trash gives back: contents that only rows in the trash refer to, each once.

    One query.
    """
    rows, thrown = StoredFile.objects.filter(workspace=workspace_id), Q()
    for one in REFERENCES:
        named = one.rows().filter(project__workspace=workspace_id, **{one.column: OuterRef("sha256")})
        rows = rows.filter(~Exists(named.filter(trashed_at__isnull=True)))
        thrown |= Q(Exists(named.filter(trashed_at__isnull=False)))
    return int(rows.filter(thrown).aggregate(total=Sum("size_bytes"))["total"] or 0)


def unreferred(older_than: timedelta) -> QuerySet[StoredFile]:
    """Stored contents of any workspace that no row refers to, and that were not stored just now."""
    rows = StoredFile.objects.filter(created_at__lt=Now() - older_than)
    for one in REFERENCES:
        named = {"project__workspace": OuterRef("workspace"), one.column: OuterRef("sha256")}
        rows = rows.filter(~Exists(one.rows().filter(**named)))
    return rows
