"""Takes erased and expired records out of the files: at each tick, and before a cycle opens a set."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef

from consolidation.errors import NocturneInputError
from consolidation.formats.erase import erase_rows
from consolidation.memory.finding import rows_with
from consolidation.memory.store import Records
from webapp.core.faults import fault
from webapp.core.store import PUBLISH_PREFIX, store_discard, store_path
from webapp.core.store_identity import store_ensure
from webapp.core.store_release import contents_release
from webapp.cycles.choices import ACTIVE
from webapp.memories.models import ErasedSet, RecordSet
from webapp.memories.purging import erasures_finish, erasures_settle, erasures_waiting, record_set_rewrite
from webapp.memories.retention import rows_due
from webapp.memories.tombstones import erased_ids
from webapp.memories.trash import used_by

if TYPE_CHECKING:
    from uuid import UUID

    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)
# So many files at a tick; the next one goes on.
AT_ONCE: Final = 20


def records_purge() -> int:
    """For the clock: write the files again of which records were erased or have expired. How many there were.

    Records that expire by their own date wait for the end of a cycle that has begun with them.
    """
    waiting = Exists(ErasedSet.objects.filter(record_set=OuterRef("pk"), purged_at__isnull=True))
    done = 0
    for item in RecordSet.everything.filter(waiting)[:AT_ONCE]:
        done += _try(item)
    for item in RecordSet.everything.filter(rows_due()).exclude(waiting)[:AT_ONCE]:
        if used_by(item, ACTIVE) is None:
            done += _try(item)
    with transaction.atomic():
        erasures_finish()
    return done


def _try(item: RecordSet) -> bool:
    """One that cannot be written must not keep the others waiting."""
    try:
        return records_take_out(item.pk)
    except (OSError, NocturneInputError):
        logger.exception("record set %s: its erased records could not be taken out; again later", item.pk)
        return False


def records_take_out(record_set_id: UUID) -> bool:
    """Write one set's file again without the records that were erased, and without expired ones.

    Any number of processes may do so at once: one of them moves the set to its file.

    Returns:
        Whether this one did.

    Raises:
        NocturneInputError: the file is damaged.
        OSError: it is missing, or the disk refused.
        StoreAway: the store is not here.
    """
    item = RecordSet.everything.select_related("project__workspace").get(pk=record_set_id)
    if item.purged_at is not None:
        erasures_settle(item)
        return False
    # Which erasures this is about comes before what they erased, so that none is taken for done unread.
    erased = erasures_waiting(item)
    workspace = item.project.workspace
    store_ensure()
    path = store_path(workspace.pk, item.sha256)
    doomed = rows_with(path, ids=erased_ids(workspace.pk, item.project_id)) | _expired(path)
    folder = Path(settings.INCOMING_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{PUBLISH_PREFIX}{uuid4()}"
    try:
        info = erase_rows(path, doomed, fresh)
        fault("records_take_out.before_commit")
        try:
            moved = record_set_rewrite(item, fresh=fresh, info=info, erased=erased)
        except BaseException:
            if info is not None:
                with suppress(DatabaseError):
                    store_discard(workspace=workspace, sha256=info["sha256"])
            raise
    finally:
        fresh.unlink(missing_ok=True)
    fault("records_take_out.after_commit")
    if moved:
        contents_release(workspace=workspace, digests=[item.sha256])
    return moved


def _expired(path: Path) -> NDArray[np.bool_]:
    records = Records.open(path)
    return ~records.rights.alive(len(records), time.time())
