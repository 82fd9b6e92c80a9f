"""Files of the server's own computer: offered folders, their owner, plain files, whole copies."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from tests.support.jobs import eventually
from tests.webapp.conftest import logged_in
from tests.webapp.uploads.conftest import incoming
from webapp.core.errors import NocturneError, NotFound
from webapp.projects.services import project_create
from webapp.uploads import local_copy
from webapp.uploads.local_copy import copy_in
from webapp.uploads.local_files import local_listing, local_open
from webapp.uploads.models import Upload, UploadState
from webapp.uploads.selectors import part_path
from webapp.uploads.services import upload_progress

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.test import Client

    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project

URL = "/api/uploads/local"


@pytest.fixture
def models(tmp_path: Path, settings: LazySettings) -> Path:
    """An offered folder with a secret beside it."""
    folder = tmp_path / "models"
    (folder / "night" / "deep").mkdir(parents=True)
    (folder / "night" / "a.safetensors").write_bytes(b"weights")
    (folder / "b.safetensors").write_bytes(b"12")
    (tmp_path / "secret").write_text("secret")
    settings.LOCAL_FOLDERS = [folder]
    return folder


def take(client: Client, project: Project, path: str, **changes: Any) -> Any:
    body = {"project": str(project.pk), "purpose": "checkpoint", "path": path, "form": {}} | changes
    return client.post(URL, body, content_type="application/json")


def test_what_is_offered_is_listed(models: Path, alice: User, project: Project) -> None:
    client = logged_in(alice)
    assert client.get(URL).json() == {
        "path": "",
        "folders": [{"name": "models", "path": "models"}],
        "files": [],
        "more": False,
    }
    assert client.get(URL, {"folder": "models"}).json() == {
        "path": "models",
        "folders": [{"name": "night", "path": "models/night"}],
        "files": [{"name": "b.safetensors", "path": "models/b.safetensors", "size_bytes": 2}],
        "more": False,
    }


def test_two_folders_of_one_name_are_told_apart(tmp_path: Path, settings: LazySettings) -> None:
    for place in ("x", "y"):
        (tmp_path / place / "models").mkdir(parents=True)
        (tmp_path / place / "models" / place).touch()
    settings.LOCAL_FOLDERS = [tmp_path / place / "models" for place in ("x", "y")]
    labels = [folder["path"] for folder in local_listing("")["folders"]]
    assert labels == ["models", "models (2)"]
    assert [local_listing(label)["files"][0]["name"] for label in labels] == ["x", "y"]


def test_a_long_folder_is_listed_in_part(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.uploads.local_files.LISTED", 3)
    for number in range(5):
        (models / "night" / f"{number}.pt").touch()
    found = local_listing("models/night")
    assert [one["name"] for one in found["files"]] == ["0.pt", "1.pt", "2.pt"]
    assert found["more"] is True


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("who", "status", "code"),
    [("bob", 403, "role.missing"), ("vera", 403, "role.missing"), ("charlie", 403, "role.missing")],
)
def test_only_who_runs_this_computer(
    method: str, who: str, status: int, code: str, models: Path, project: Project, request: Any
) -> None:
    client = logged_in(request.getfixturevalue(who))
    answer = client.get(URL) if method == "get" else take(client, project, "models/b.safetensors")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Upload.objects.exists()


def test_a_project_of_somebody_else_does_not_exist(
    models: Path, alice: User, charlie: User, project: Project
) -> None:
    theirs = project_create(actor=charlie, workspace=charlie.memberships.get().workspace, name="elsewhere")
    answer = take(logged_in(alice), theirs, "models/b.safetensors")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", ""])
def test_not_over_the_network(address: str, models: Path, alice: User, project: Project) -> None:
    client = logged_in(alice)
    client.defaults["REMOTE_ADDR"] = address
    for answer in (client.get(URL), take(client, project, "models/b.safetensors")):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "--files" in answer.json()["message"]


def test_nothing_is_offered_by_itself(alice: User, project: Project) -> None:
    assert django_settings.LOCAL_FOLDERS == []
    assert logged_in(alice).get(URL).status_code == 404


OUTSIDE = [
    "elsewhere", "models/..", "models/../secret", "models/night/../../secret", "models/./b.safetensors",
    "models//b.safetensors", "/etc/passwd", "models//etc/passwd", "models/b.safetensors\0",
    "models/" + "x/" * 4000, "models/%2e%2e/secret", "models/out", "models/out-folder/secret",
    "models/around/b.safetensors", "models/.hidden", "models/hidden", "models/data", "models/data/secret_key",
    "models/night/missing", "models/b.safetensors/x", "models/\ud800",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_a61_nothing_else_is_reached(path: str, models: Path, tmp_path: Path, settings: LazySettings) -> None:
    (models / "out").symlink_to(tmp_path / "secret")
    (models / "out-folder").symlink_to(tmp_path)
    (models / "around").symlink_to(models / "around")
    (models / ".hidden").write_text("hidden")
    (models / "hidden").symlink_to(models / ".hidden")
    settings.DATA_DIR = models / "data"
    settings.DATA_DIR.mkdir()
    (settings.DATA_DIR / "secret_key").write_text("key")
    with pytest.raises(NotFound):
        local_open(path)
    with pytest.raises(NotFound):
        local_listing(path)
    names = {one["name"] for kind in ("folders", "files") for one in local_listing("models")[kind]}
    assert names == {"night", "b.safetensors"}


def test_a_link_inside_of_what_is_offered_is_fine(models: Path) -> None:
    (models / "latest").symlink_to(models / "night" / "a.safetensors")
    (models / "tonight").symlink_to(models / "night")
    assert [one["name"] for one in local_listing("models")["files"]] == ["b.safetensors", "latest"]
    for path in ("models/latest", "models/tonight/a.safetensors"):
        found = local_open(path)
        assert (os.read(found.descriptor, 99), found.name) == (b"weights", path.rsplit("/", 1)[-1])
        os.close(found.descriptor)


def test_a_pipe_is_no_file(models: Path) -> None:
    os.mkfifo(models / "pipe")
    with pytest.raises(NocturneError) as caught:
        local_open("models/pipe")
    assert caught.value.code == "local.special"
    assert "pipe" not in {one["name"] for one in local_listing("models")["files"]}


@pytest.mark.django_db(transaction=True)
def test_a_file_is_taken_in(models: Path, alice: User, project: Project) -> None:
    data = os.urandom(9_000_000)
    (models / "night" / "big.pt").write_bytes(data)
    answer = take(logged_in(alice), project, "models/night/big.pt")
    assert answer.status_code == 201
    told = answer.json()
    assert (told["filename"], told["size_bytes"], told["resumable"]) == ("big.pt", len(data), False)

    def arrived() -> Upload | None:
        return Upload.objects.filter(state=UploadState.VERIFYING).first()

    upload = eventually(arrived, what="the copy")
    assert upload is not None
    assert upload.sha256 == hashlib.sha256(data).hexdigest()
    assert part_path(upload.pk).read_bytes() == data
    part_path(upload.pk).unlink()


def test_an_empty_or_too_large_file_is_refused_first(
    models: Path, alice: User, project: Project, workspace: Workspace
) -> None:
    (models / "empty").touch()
    with (models / "huge").open("wb") as handle:
        handle.truncate(workspace.quota_bytes + 1)
    for name, status, code in (("empty", 422, "file.empty"), ("huge", 413, "upload.quota")):
        answer = take(logged_in(alice), project, f"models/{name}")
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not Upload.objects.exists()


def begun(project: Project, user: User, path: str) -> tuple[Upload, Any]:
    source = local_open(path)
    upload = Upload.objects.create(
        project=project,
        user=user,
        purpose="checkpoint",
        filename="f",
        size_bytes=source.size_bytes,
        local=True,
    )
    return upload, source


@pytest.mark.parametrize("becomes", [b"other w", b"short", b"much longer than before"])
def test_a_file_that_changes_meanwhile_is_not_kept(
    becomes: bytes, models: Path, alice: User, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, source = begun(project, alice, "models/night/a.safetensors")
    monkeypatch.setattr(local_copy, "COMMIT_BYTES", 4)

    def changing(**known: Any) -> None:
        upload_progress(**known)
        (models / "night" / "a.safetensors").write_bytes(becomes)
        os.utime(models / "night" / "a.safetensors", ns=(1, 1))

    monkeypatch.setattr(local_copy, "upload_progress", changing)
    copy_in(alice, upload, source)
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == ("aborted", "local.changed")
    assert incoming() == []


def test_a_copy_that_is_cancelled_ends(
    models: Path, alice: User, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, source = begun(project, alice, "models/night/a.safetensors")
    monkeypatch.setattr(local_copy, "COMMIT_BYTES", 4)
    Upload.objects.filter(pk=upload.pk).update(state=UploadState.ABORTED, finished_at=timezone.now())
    copy_in(alice, upload, source)
    upload.refresh_from_db()
    assert (upload.state, upload.error_code) == ("aborted", "")
    assert incoming() == []


def test_it_is_copied_where_the_system_cannot_do_it_by_itself(
    models: Path, alice: User, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range")
    upload, source = begun(project, alice, "models/night/a.safetensors")
    copy_in(alice, upload, source)
    upload.refresh_from_db()
    assert (upload.state, upload.sha256) == ("verifying", hashlib.sha256(b"weights").hexdigest())
    part_path(upload.pk).unlink()


@pytest.mark.parametrize(
    ("others", "offered"),
    [
        ({}, True),
        ({"NOCTURNE_URL": "https://nocturne.example"}, False),
        ({"DATABASE_URL": "postgresql://d"}, False),
    ],
    ids=["own-computer", "public-address", "database-of-others"],
)
def test_folders_are_offered_on_ones_own_computer_only(
    others: dict[str, str], offered: bool, tmp_path: Path
) -> None:
    ours = ("DATABASE_URL", "NOCTURNE_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    given = {"NOCTURNE_LOCAL_FOLDERS": str(tmp_path), "NOCTURNE_DATA": str(tmp_path / "data")}
    said = subprocess.run(
        [sys.executable, "-c", "from webapp.config.settings import LOCAL_FOLDERS; print(len(LOCAL_FOLDERS))"],
        env=clean | given | others, cwd=django_settings.BASE_DIR, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == str(int(offered))
