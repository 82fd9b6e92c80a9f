"""What can be taken home of a checkpoint: its weights alone, and the folder that it came as."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from webapp.checkpoints.folder_zip import Member, folder_zip
from webapp.core.errors import NocturneError, NotFound
from webapp.core.segments import Segments, Stretch, size_of
from webapp.core.store import store_path

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.checkpoints.models import Checkpoint

WEIGHTS: Final = "weights"
FOLDER: Final = "folder"
WEIGHTS_NAME: Final = "model.safetensors"
# Goes into the tag of a folder: another way of packing makes other bytes.
_PACKING: Final = 1


@dataclass(frozen=True)
class Parcel:
    """One download.

    Attributes:
        what: "weights" (one safetensors file) or "folder" (a zip of it and its companions).
        name: under which it is saved.
        size_bytes: exactly what comes.
        etag: of exactly these bytes.
        sha256: of them, where it is known ("" for a folder).
        pieces: what they are made of; a stretch's path is only the name of a content yet.
    """

    what: str
    name: str
    size_bytes: int
    etag: str
    sha256: str
    pieces: tuple[bytes | Stretch, ...]

    @property
    def kind(self) -> str:
        """The content type."""
        return "application/zip" if self.what == FOLDER else "application/octet-stream"


def parcels_of(checkpoint: Checkpoint) -> list[Parcel]:
    """What there is, the one in which it goes home first; none of one whose files are deleted. Asks nothing
    of the disk. Reads `checkpoint.project`."""
    if checkpoint.purged_at is not None:
        return []
    weights = _weights(checkpoint)
    if not checkpoint.extras or checkpoint.crc32 is None:
        return [weights]
    return [_folder(checkpoint, weights.pieces[0]), weights]


def parcel_of(checkpoint: Checkpoint, what: str = "") -> Parcel:
    """The one that was asked for; "" is the one in which it goes home.

    Raises:
        NotFound: there is none of that kind.
    """
    for parcel in parcels_of(checkpoint):
        if what in {"", parcel.what}:
            return parcel
    raise NotFound


def parcel_open(parcel: Parcel, checkpoint: Checkpoint) -> Segments:
    """Its bytes, ready to be read.

    Raises:
        NocturneError: `store.missing` (500).
    """
    workspace_id = checkpoint.project.workspace_id
    try:
        try:
            return Segments(_located(parcel, workspace_id))
        except FileNotFoundError:
            # It may have been moved between asking where it lies and opening it.
            return Segments(_located(parcel, workspace_id))
    except (OSError, EOFError):
        raise NocturneError(
            "store.missing",
            f"The file of checkpoint {checkpoint} is not in the store. Restore the store from a backup.",
            status=500,
        ) from None


def _located(parcel: Parcel, workspace_id: UUID) -> list[bytes | Stretch]:
    """The pieces, with the paths of their files."""
    return [
        one if isinstance(one, bytes) else replace(one, path=store_path(workspace_id, one.path.name))
        for one in parcel.pieces
    ]


def download_name(checkpoint: Checkpoint, suffix: str = ".safetensors") -> str:
    """ "support-bot-v3.safetensors": the project's name in plain letters, and the version."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", checkpoint.project.name).strip("-.") or "checkpoint"
    return f"{plain[:80]}-v{checkpoint.number}{suffix}"


def _weights(checkpoint: Checkpoint) -> Parcel:
    stretch = Stretch(Path(checkpoint.sha256), 0, checkpoint.size_bytes)
    return Parcel(
        what=WEIGHTS,
        name=download_name(checkpoint),
        size_bytes=checkpoint.size_bytes,
        etag=checkpoint.sha256,
        sha256=checkpoint.sha256,
        pieces=(stretch,),
    )


def _folder(checkpoint: Checkpoint, weights: bytes | Stretch) -> Parcel:
    path = Path(checkpoint.extras_sha256)
    assert isinstance(weights, Stretch) and checkpoint.crc32 is not None  # noqa: S101 - asked by the caller
    members = [Member(WEIGHTS_NAME, weights, checkpoint.crc32)]
    for extra in checkpoint.extras:
        content = Stretch(path, int(extra["offset"]), int(extra["size"]))
        members.append(Member(str(extra["name"]), content, int(extra["crc32"])))
    pieces = folder_zip(members)
    told = [_PACKING, checkpoint.sha256, checkpoint.extras_sha256, checkpoint.extras]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return Parcel(
        what=FOLDER,
        name=download_name(checkpoint, ".zip"),
        size_bytes=size_of(pieces),
        etag=f"folder-{digest}",
        sha256="",
        pieces=tuple(pieces),
    )
