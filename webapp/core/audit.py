"""The audit log: one call beside each change, in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webapp.core.models import AuditEntry

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace
    from webapp.core.models import Row


def record(*, workspace: Workspace, actor: User | None, verb: str, target: Row, **detail: Any) -> None:
    """Write who (None: the system) did `verb` (the service's own name) to `target`."""
    AuditEntry.objects.create(
        workspace=workspace,
        actor=actor,
        verb=verb,
        object_type=target._meta.model_name or "",
        object_id=target.pk,
        detail=detail,
    )
