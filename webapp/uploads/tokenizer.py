"""A tokenizer that comes after its checkpoint: it joins the companion files, and texts can be read from then.

The bytes of the weights, and of the files that were there, stay as they are; the row's list of companions is
the one thing that changes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from consolidation.families.text_model import text_model
from webapp.checkpoints.models import Checkpoint
from webapp.core import audit
from webapp.core.checksums import file_crc32
from webapp.core.errors import Conflict, InvalidInput
from webapp.core.store import file_sha256, store_path

if TYPE_CHECKING:
    from pathlib import Path

    from webapp.uploads.models import Upload

NAME: Final = "tokenizer.json"
_CHUNK: Final = 2**20


def wants_tokenizer(checkpoint: Checkpoint) -> bool:
    """Whether it reads texts, and came without what they are read with."""
    model = text_model(checkpoint.family, checkpoint.config)
    return model is not None and all(extra["name"] != NAME for extra in checkpoint.extras)


def check_attach(checkpoint: Checkpoint) -> None:
    """Raises InvalidInput (`tokenizer.unwanted`), Conflict (`tokenizer.exists`, `checkpoint.trashed`)."""
    if checkpoint.trashed_at is not None:
        raise Conflict("checkpoint.trashed", f"{checkpoint} is in the trash. Restore it first.")
    if text_model(checkpoint.family, checkpoint.config) is None:
        raise InvalidInput(
            "tokenizer.unwanted", f"{checkpoint} reads numbers, not texts, so it needs no tokenizer."
        )
    if not wants_tokenizer(checkpoint):
        raise Conflict(
            "tokenizer.exists",
            f"{checkpoint} has a tokenizer already, and records may have been read with it. Upload the model "
            "again with the other one.",
        )


def companions_joined(checkpoint: Checkpoint, tokenizer: Path, target: Path) -> dict[str, Any]:
    """Write the companions that are there and the tokenizer behind them into one new file.

    Returns:
        What changes in the row: {"extras_sha256", "extras", "crc32"}.
    """
    workspace_id = checkpoint.project.workspace_id
    with target.open("xb") as joined:
        parts = [tokenizer]
        if checkpoint.extras_sha256:
            parts.insert(0, store_path(workspace_id, checkpoint.extras_sha256))
        for part in parts:
            with part.open("rb") as handle:
                while piece := handle.read(_CHUNK):
                    joined.write(piece)
        joined.flush()
        os.fsync(joined.fileno())
    sha256, size = file_sha256(target)
    place, length = size - tokenizer.stat().st_size, tokenizer.stat().st_size
    entry = {"name": NAME, "offset": place, "size": length, "crc32": file_crc32(target, place, length)}
    crc32 = checkpoint.crc32
    if crc32 is None:
        crc32 = file_crc32(store_path(workspace_id, checkpoint.sha256))
    return {"extras_sha256": sha256, "extras": [*checkpoint.extras, entry], "crc32": crc32}


def tokenizer_attach(*, upload: Upload, seen: Checkpoint, changes: dict[str, Any]) -> Checkpoint:
    """Give the checkpoint its new companions. Call it in the transaction that ends the upload.

    Args:
        seen: the checkpoint as it was when `changes` were made.

    Raises:
        Conflict: `tokenizer.exists`, `checkpoint.trashed`: something else came first.
    """
    locked = Checkpoint.everything.select_for_update().get(pk=seen.pk)
    check_attach(locked)
    if locked.extras_sha256 != seen.extras_sha256:
        raise Conflict("tokenizer.exists", f"The files of {locked} have changed meanwhile. Try again.")
    for name, value in changes.items():
        setattr(locked, name, value)
    locked.save(update_fields=list(changes))
    audit.record(
        workspace=seen.project.workspace,
        actor=upload.user,
        verb="tokenizer_attach",
        target=locked,
        number=locked.number,
        filename=upload.filename,
        sha256=changes["extras_sha256"],
    )
    return locked
