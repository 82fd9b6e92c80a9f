"""The certificate of an erasure: what was erased from where, what it had shaped, and what it cannot promise.

It holds counts and digests, never content. The signature is under the server's key, so this server can say
later whether a copy that somebody shows is the one that it gave.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from webapp.memories.shaped import with_descendants

if TYPE_CHECKING:
    from webapp.memories.models import Erasure
    from webapp.memories.shaped import Shaped

_SALT: Final = "nocturne.erasure"
METHOD: Final = (
    "Since the erasure nothing samples these records. Every stored record file that held them was written "
    "again without their content, or deleted with the last of them; their ids stay, so that they are not "
    "taken in again. Cycles that had read them and had not ended published nothing."
)
CHECKPOINTS: Final = (
    "These checkpoints were made from the records before. Their weights were not changed and are not "
    "retrained; whether they still tell something about the records was not measured. They can be deleted."
)
NOT_COVERED: Final = (
    "Backups of the database and of the store; they end when whoever runs this server deletes them.",
    "Files that somebody downloaded before.",
    "Uploads that wait, for a day at most, because some of their rows were bad: they become no set with "
    "these records.",
    "Sets whose files were deleted before: what they held cannot be searched any more (see `unsearched`).",
)


def shaped_by(erasure: Erasure) -> list[Shaped]:
    """The checkpoints that the erased records had shaped, and what was made from those until now."""
    direct = {UUID(item["checkpoint"]): item["how"] for item in erasure.shaped}
    return with_descendants(direct)


def certificate(erasure: Erasure) -> dict[str, Any]:
    """The certificate as it is now, signed. Before `finished_at` it is a receipt: files still hold them."""
    body = _body(erasure)
    return {**body, "signature": _signature(body, settings.SECRET_KEY)}


def certificate_verify(given: dict[str, Any]) -> bool:
    """Whether this server signed exactly this, with its key or one before it."""
    body = {key: value for key, value in given.items() if key != "signature"}
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(str(given.get("signature")), _signature(body, key)) for key in keys)


def _signature(body: dict[str, Any], key: str) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return salted_hmac(_SALT, text, secret=key, algorithm="sha256").hexdigest()


def _body(erasure: Erasure) -> dict[str, Any]:
    sets = erasure.sets.select_related("record_set__task", "record_set__project")
    project = erasure.project
    return {
        "kind": "nocturne.erasure",
        "version": 1,
        "id": str(erasure.pk),
        "workspace": {"id": str(erasure.workspace_id), "name": erasure.workspace.name},
        "project": {"id": str(project.pk), "name": project.name} if project else None,
        "scope": erasure.scope,
        "erased_at": erasure.created_at.isoformat(),
        "erased_by": erasure.actor_name,
        "finished_at": erasure.finished_at.isoformat() if erasure.finished_at else None,
        "asked": {"by": erasure.by, "ids": erasure.asked, "subject_digest": erasure.subject_digest},
        "records": erasure.records,
        "records_sha256": erasure.digest,
        "sets": [
            {
                "id": str(item.record_set_id),
                "project": item.record_set.project.name,
                "task": item.record_set.task.name,
                "use": item.record_set.use,
                "rows": item.rows,
                "sha256_before": item.sha256_before,
                "sha256_after": item.sha256_after,
                "purged_at": item.purged_at.isoformat() if item.purged_at else None,
            }
            for item in sets
        ],
        "checkpoints": [
            {
                "id": str(item.checkpoint.pk),
                "project": item.checkpoint.project.name,
                "number": item.checkpoint.number,
                "sha256": item.checkpoint.sha256,
                "how": item.how,
                "deleted": item.checkpoint.purged_at is not None,
            }
            for item in shaped_by(erasure)
        ],
        "unsearched": erasure.unsearched,
        "method": METHOD,
        "about_checkpoints": CHECKPOINTS,
        "not_covered": list(NOT_COVERED),
    }
