"""Versions and record sets whose files are really in the store."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.conf import settings

from tests.webapp.checkpoints.test_services import create
from webapp.checkpoints.services import KeptFiles
from webapp.core.store import file_sha256, store_path, store_put
from webapp.memories.models import RecordSet
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from webapp.checkpoints.models import Checkpoint


def put(project: Project, data: bytes) -> str:
    """The bytes into the store of the project's workspace; their SHA-256."""
    folder = Path(settings.INCOMING_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{uuid4()}.part"
    source.write_bytes(data)
    sha256, size = file_sha256(source)
    store_put(workspace=project.workspace, source=source, sha256=sha256, size_bytes=size)
    return sha256


def keep(
    project: Project, data: bytes, *, extras: bytes = b"", fisher: bytes = b"", **changes: Any
) -> Checkpoint:
    """The next version, with these bytes as weights; `extras` is one companion file."""
    kept_files = None
    if extras:
        one = {"name": "config.json", "offset": 0, "size": len(extras), "crc32": zlib.crc32(extras)}
        kept_files = KeptFiles("huggingface", put(project, extras), (one,), zlib.crc32(data))
    return create(
        project,
        sha256=put(project, data),
        size_bytes=len(data),
        fisher_sha256=put(project, fisher) if fisher else "",
        kept=kept_files,
        **changes,
    )


def keep_set(project: Project, data: bytes, use: str, *, task: Task | None = None) -> RecordSet:
    """A live record set with these bytes as its file."""
    return RecordSet.objects.create(
        project=project,
        task=task or Task.objects.filter(project=project)[0],
        use=use,
        sha256=put(project, data),
        size_bytes=len(data),
        rows=1,
        x_shape=[4],
        x_dtype="uint8",
        classes=3,
    )


def kept(row: Checkpoint | RecordSet) -> bool:
    """Whether its file is in the store."""
    return store_path(row.project.workspace_id, row.sha256).is_file()
