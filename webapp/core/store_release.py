"""Lets go of contents that no row refers to any more: first the row of the store, then the file.

Both steps hold the lock of `store_put`, so an upload or a night that brings the same content at the same
moment either comes first, and the content stays, or comes after, and stores it anew. Between the two steps
nobody has to wait: `store_discard` looks again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from webapp.core.faults import fault
from webapp.core.references import referred, unreferred
from webapp.core.store import store_discard, store_lock
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webapp.accounts.models import Workspace

logger = logging.getLogger(__name__)


def contents_release(*, workspace: Workspace, digests: Iterable[str]) -> int:
    """Delete those that nothing refers to. Call it after the transaction that gave up the references.

    Returns:
        How many bytes the workspace has more.
    """
    freed = 0
    for sha256 in sorted({digest for digest in digests if digest}):
        # One content at a time: whoever publishes several holds their locks until it commits.
        with transaction.atomic():
            store_lock(workspace.pk, sha256)
            if referred(workspace.pk, sha256):
                continue
            rows = StoredFile.objects.filter(workspace=workspace, sha256=sha256)
            freed += sum(rows.values_list("size_bytes", flat=True))
            rows.delete()
        fault("contents_release.before_unlink")
        store_discard(workspace=workspace, sha256=sha256)
    return freed


def contents_release_forgotten(*, older_than: float, at_once: int) -> int:
    """What a crash between giving up the last reference and `contents_release` left: it would count against
    the quota for ever.

    Args:
        older_than: seconds; what was stored later than that may be about to get its row.
        at_once: the most that are looked at.

    Returns:
        How many contents were let go.
    """
    found = unreferred(timedelta(seconds=older_than)).select_related("workspace")[:at_once]
    for stored in found:
        contents_release(workspace=stored.workspace, digests=[stored.sha256])
        logger.info("released %s of workspace %s: no row refers to it", stored.sha256, stored.workspace_id)
    return len(found)
