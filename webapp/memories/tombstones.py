"""What was erased and may not come back: ids, and subjects as keyed digests."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

import numpy as np
from django.conf import settings
from django.db.models import Q
from django.utils.crypto import salted_hmac

from consolidation.memory.finding import as_ids, owners_of, rows_with
from webapp.core.errors import InvalidInput
from webapp.core.store import store_path
from webapp.memories.models import Erasure, Scope, Tombstone

if TYPE_CHECKING:
    from uuid import UUID

    from consolidation.memory.finding import Ids
    from webapp.projects.models import Project

_SALT: Final = "nocturne.erased-subject"
_SHOWN: Final = 5


def subject_key(name: str) -> str:
    """A subject's name as it is compared: capitals, spaces and Unicode forms do not count."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def subject_digests(workspace_id: UUID, name: str) -> list[str]:
    """The name under the server's key, and under the keys before it: without one nobody can try names.

    The first is what is stored.
    """
    text = f"{workspace_id}/{subject_key(name)}"
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [salted_hmac(_SALT, text, secret=key, algorithm="sha256").hexdigest() for key in keys]


def erased_ids(workspace_id: UUID, project_id: UUID) -> Ids:
    """The ids that no set of the project may hold, as `finding.as_ids` gives them."""
    rows = Tombstone.objects.filter(_here(project_id), workspace=workspace_id)
    return as_ids(bytes(record) for record in rows.values_list("record", flat=True).iterator())


def ensure_none_erased(project: Project, sha256: str) -> None:
    """For a record file that is about to become a set, under the project's lock, which an erasure takes too.

    Raises:
        InvalidInput: `replay.subject_erased` with counts.
    """
    ids = erased_ids(project.workspace_id, project.pk)
    # Told by its scope: an erasure outlives its project and names none then.
    here = Q(scope=Scope.WORKSPACE) | Q(project=project.pk)
    asked = Erasure.objects.filter(here, workspace=project.workspace_id)
    subjects = set(asked.exclude(subject_digest="").values_list("subject_digest", flat=True))
    if not len(ids) and not subjects:
        return
    path = store_path(project.workspace_id, sha256)
    told = owners_of(path) if subjects else ()
    owners = {name for name in told if subjects.intersection(subject_digests(project.workspace_id, name))}
    by_id, by_subject = rows_with(path, ids=ids), rows_with(path, ids=as_ids(()), owners=owners)
    back = np.flatnonzero(by_id | by_subject)
    if not len(back):
        return
    first = ", ".join(f"{row + 1:,}" for row in back[:_SHOWN].tolist())
    more = ", …" if len(back) > _SHOWN else ""
    raise InvalidInput(
        "replay.subject_erased",
        f"{len(back):,} of {len(by_id):,} records were erased here before ({int(by_id.sum()):,} by their "
        f"content, {int(by_subject.sum()):,} by their owner), and must not come back: record {first}{more}. "
        "Nothing was kept. Remove them from the file, then upload it again.",
        records=len(back),
        by_id=int(by_id.sum()),
        by_subject=int(by_subject.sum()),
        rows=len(by_id),
    )


def _here(project_id: UUID) -> Q:
    return Q(project__isnull=True) | Q(project=project_id)
