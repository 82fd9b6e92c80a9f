"""A tus client that others wrote, against a real web process: what we speak is tus."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from tests.webapp.live.people import Web, running
from tests.webapp.uploads.over_http import Sender
from webapp.uploads.models import Upload
from webapp.uploads.selectors import part_path

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project


@pytest.fixture
def web(database_url: str) -> Iterator[Web]:
    yield from running(database_url, settings.DATA_DIR)


def test_tuspy_uploads_stops_and_goes_on(web: Web, alice: User, project: Project, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "model").write_bytes(data)
    headers = Sender(web, alice).headers
    client = TusClient(f"{web.url}/upload/", headers=headers)
    about = {"project": str(project.pk), "purpose": "checkpoint", "filename": "model.safetensors"}

    first = client.uploader(str(tmp_path / "model"), chunk_size=700_000, metadata=about)
    first.upload(stop_at=1_400_000)
    upload = Upload.objects.get()
    assert (upload.state, upload.received_bytes) == ("receiving", 1_400_000)
    assert first.url == f"{web.url}/upload/{upload.pk}"

    rest = client.uploader(str(tmp_path / "model"), chunk_size=700_000, url=first.url)
    assert rest.offset == 1_400_000, "it asked where to go on"
    rest.upload()
    upload.refresh_from_db()
    assert (upload.state, upload.sha256) == ("verifying", hashlib.sha256(data).hexdigest())
    assert part_path(upload.pk).read_bytes() == data
    part_path(upload.pk).unlink()

    with pytest.raises(TusUploadFailed) as refused:
        first.upload()  # from where it stopped, although the file is complete
    assert refused.value.status_code == 409
    over = client.uploader(str(tmp_path / "model"), metadata=about | {"purpose": "mischief"})
    with pytest.raises(TusCommunicationError) as wrong:
        over.upload()
    assert wrong.value.status_code == 422
