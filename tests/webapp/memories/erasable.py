"""A project with record sets whose files are real and small, for tests of what is erased of them."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from django.conf import settings

from consolidation.formats.records import recheck_records
from consolidation.memory.rights import Rights, Words
from consolidation.memory.store import Records
from webapp.core.store import store_path, store_put
from webapp.memories.models import RecordSet
from webapp.memories.services import record_set_accept
from webapp.projects.models import Project, Task

if TYPE_CHECKING:
    from webapp.accounts.models import Workspace

OWNERS = ("Anna Ek", "Bo", "Cy")
ROWS = 12


def records(first: int = 0, *, owners: bool = True, expiry: list[int] | None = None) -> Records:
    """Twelve records from number `first` on, each of an own content, which names it: b"record 7"."""
    texts = [f"record {number:02d}".encode() for number in range(first, first + ROWS)]
    x = np.array([list(text) for text in texts], np.uint8)
    rights = Rights(
        owner=Words.of("owner", [OWNERS[row % 3] for row in range(ROWS)], ROWS) if owners else None,
        expiry=np.array(expiry, np.int64) if expiry else None,
    )
    return Records(task="returns", x=x, y=np.arange(ROWS) % 3, classes=3, rights=rights)


def content(number: int) -> bytes:
    return f"record {number:02d}".encode()


@dataclass
class Shelf:
    """Puts sets into a project and looks at their files."""

    project: Project

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    def put(self, use: str, made: Records, task: Task | None = None, **fields: Any) -> RecordSet:
        with tempfile.TemporaryDirectory() as folder:
            path, clean = Path(folder) / "records", Path(folder) / "clean"
            made.save(path)
            info = recheck_records(path, task="returns", out=clean)
            incoming = Path(settings.INCOMING_DIR)
            incoming.mkdir(parents=True, exist_ok=True)
            copy = incoming / f"{uuid4()}.part"
            shutil.copyfile(clean, copy)
        store_put(workspace=self.workspace, source=copy, sha256=info["sha256"], size_bytes=info["size"])
        return record_set_accept(
            project=self.project,
            task=task or Task.objects.filter(project=self.project)[0],
            use=use,
            sha256=info["sha256"],
            info=info,
            **fields,
        )

    def path(self, item: RecordSet) -> Path:
        item.refresh_from_db(from_queryset=RecordSet.everything.all())
        return store_path(self.workspace.pk, item.sha256)

    def read(self, item: RecordSet) -> bytes:
        return self.path(item).read_bytes()

    def holds(self, needle: bytes) -> list[str]:
        """Every file of the workspace's store, and on the way into it, that holds these bytes."""
        folders = {self.path(item).parents[1] for item in RecordSet.everything.all()}
        files = [path for folder in (*folders, Path(settings.INCOMING_DIR)) for path in folder.rglob("*")]
        return [path.name for path in files if path.is_file() and needle in path.read_bytes()]


def ids_of(made: Records, *rows: int) -> str:
    return "\n".join(made.ids[row].tobytes().hex() for row in rows)


def digest_of(made: Records, *rows: int) -> str:
    return hashlib.sha256(b"".join(sorted(made.ids[row].tobytes() for row in rows))).hexdigest()
