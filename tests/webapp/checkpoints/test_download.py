"""The download: the stored bytes, under a good name, for members only."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from tests.webapp.checkpoints.test_services import create
from tests.webapp.conftest import logged_in
from tests.webapp.streams import collected
from webapp.core.store import store_path
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.checkpoints.models import Checkpoint
    from webapp.projects.models import Project

DATA = bytes(range(256)) * 12_000


@pytest.fixture
def checkpoint(project: Project) -> Checkpoint:
    sha256 = hashlib.sha256(DATA).hexdigest()
    path = store_path(project.workspace_id, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(DATA)
    StoredFile.objects.create(workspace=project.workspace, sha256=sha256, size_bytes=len(DATA))
    return create(project, sha256=sha256, size_bytes=len(DATA))


def test_the_bytes_and_their_name(vera: User, checkpoint: Checkpoint) -> None:
    response = logged_in(vera).get(reverse("checkpoint_download", args=[checkpoint.pk]))
    assert response.status_code == 200
    assert response.streaming
    assert collected(response) == DATA
    assert response["Content-Disposition"] == 'attachment; filename="support-bot-v1.safetensors"'
    assert response["Content-Length"] == str(len(DATA))
    assert response["ETag"] == f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox"


def test_a_file_that_is_here_already_is_not_sent_again(vera: User, checkpoint: Checkpoint) -> None:
    etag = f'"{checkpoint.sha256}"'
    response = logged_in(vera).get(
        reverse("checkpoint_download", args=[checkpoint.pk]), headers={"If-None-Match": etag}
    )
    assert response.status_code == 304


def test_head_tells_the_size_and_sends_nothing(vera: User, checkpoint: Checkpoint) -> None:
    response = logged_in(vera).head(reverse("checkpoint_download", args=[checkpoint.pk]))
    assert (response.status_code, response["Content-Length"]) == (200, str(len(DATA)))


def test_a_stranger_finds_nothing(charlie: User, checkpoint: Checkpoint) -> None:
    assert logged_in(charlie).get(reverse("checkpoint_download", args=[checkpoint.pk])).status_code == 404


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ('a/../b"; x=y', "a-..-b-x-y-v1.safetensors"),
        ("Müller\r\nX: 1", "M-ller-X-1-v1.safetensors"),
        ("日本", "checkpoint-v1.safetensors"),
    ],
)
def test_a61_a_project_name_cannot_break_out(
    name: str, file: str, vera: User, checkpoint: Checkpoint, project: Project
) -> None:
    project.name = name
    project.save()
    response = logged_in(vera).get(reverse("checkpoint_download", args=[checkpoint.pk]))
    assert response["Content-Disposition"] == f'attachment; filename="{file}"'


def test_a_file_that_is_missing_from_the_store_says_so(vera: User, checkpoint: Checkpoint) -> None:
    store_path(checkpoint.project.workspace_id, checkpoint.sha256).unlink()
    response = logged_in(vera).get(
        reverse("checkpoint_download", args=[checkpoint.pk]), headers={"Accept": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (500, "store.missing")
