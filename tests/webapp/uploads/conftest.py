"""Projects with room, files to send, and what must be empty afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import channels.db
import pytest
from django.conf import settings

from tests.consolidation.formats.files import mlp_file
from tests.webapp.uploads.wire import Browser
from webapp.projects.models import Project, Task
from webapp.uploads.models import Upload
from webapp.uploads.selectors import part_path


@pytest.fixture(autouse=True)
def _one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels closes old connections around each call, and would end the test's own transaction."""
    monkeypatch.setattr(channels.db, "close_old_connections", lambda: None)


@pytest.fixture(autouse=True)
def _nothing_waits() -> Iterator[None]:
    """Files that were refused for some of their rows wait for a day, longer than their rows here do."""
    yield
    folder = Path(settings.INCOMING_DIR)
    for path in folder.glob("*.part") if folder.is_dir() else ():
        path.unlink(missing_ok=True)


@pytest.fixture
def model(tmp_path: Path) -> bytes:
    """A described checkpoint, 4-5-3."""
    return mlp_file(tmp_path / "model").read_bytes()


@pytest.fixture
def task(project: Project) -> Task:
    return Task.objects.get(project=project)


def incoming() -> list[str]:
    """What lies among the incoming files."""
    folder = Path(settings.INCOMING_DIR)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def announcement(project_: Project, size_: int, **changes: Any) -> dict[str, Any]:
    """What the page says before it sends a checkpoint."""
    fields = {
        "project": str(project_.pk),
        "purpose": "checkpoint",
        "filename": "model.safetensors",
        "size": size_,
        "form": {},
    }
    return fields | changes


def received(project: Project, user: Any, data: bytes, *, purpose: str = "checkpoint", **form: Any) -> Upload:
    """An upload whose bytes are there and wait for their check."""
    upload = Upload.objects.create(
        project=project,
        user=user,
        purpose=purpose,
        filename="file.bin",
        size_bytes=len(data),
        received_bytes=len(data),
        state="verifying",
        form=form,
    )
    path = part_path(upload.pk)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return upload


@pytest.fixture
def no_leftovers(db: None) -> Iterator[None]:
    """Removes the part files of all uploads at the end; nothing else may lie beside them."""
    yield
    for upload in Upload.objects.all():
        part_path(upload.pk).unlink(missing_ok=True)
    assert incoming() == []


@pytest.fixture
def alice_at_work(alice: Any) -> Browser:
    return Browser(alice)
