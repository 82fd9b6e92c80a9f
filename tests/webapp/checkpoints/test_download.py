"""The download: the stored bytes, under a good name, for members only; whole, or the range asked for."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.numpy
from django.urls import reverse

from tests.consolidation.formats.files import mlp_file
from tests.webapp.checkpoints.test_services import create
from tests.webapp.conftest import logged_in
from tests.webapp.streams import collected
from webapp.checkpoints.services import KeptFiles
from webapp.core.store import store_path
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from pathlib import Path

    from webapp.accounts.models import User
    from webapp.checkpoints.models import Checkpoint
    from webapp.projects.models import Project

DATA = bytes(range(256)) * 12_000


EXTRAS = {"config.json": b'{"model_type": "mlp"}', "tokenizer.json": b"[]" * 40}


def stored(project: Project, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    path = store_path(project.workspace_id, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    StoredFile.objects.create(workspace=project.workspace, sha256=sha256, size_bytes=len(data))
    return sha256


@pytest.fixture
def checkpoint(project: Project) -> Checkpoint:
    return create(project, sha256=stored(project, DATA), size_bytes=len(DATA))


@pytest.fixture
def folder(project: Project, tmp_path: Path) -> Checkpoint:
    """One that came with companion files."""
    weights = mlp_file(tmp_path / "model").read_bytes()
    extras, place = [], 0
    for name, data in EXTRAS.items():
        extras.append({"name": name, "offset": place, "size": len(data), "crc32": zlib.crc32(data)})
        place += len(data)
    kept = KeptFiles(
        format="huggingface",
        extras_sha256=stored(project, b"".join(EXTRAS.values())),
        extras=tuple(extras),
        crc32=zlib.crc32(weights),
    )
    return create(project, sha256=stored(project, weights), size_bytes=len(weights), kept=kept)


def got(user: User, checkpoint: Checkpoint, name: str = "checkpoint_download", **headers: str) -> Any:
    return logged_in(user).get(reverse(name, args=[checkpoint.pk]), headers=headers)


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
    digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    assert response["Repr-Digest"] == f"sha-256=:{digest}:"
    assert response["Digest"] == f"SHA-256={digest}"


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


# ---------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=3000000-", 3_000_000, len(DATA)),
        ("bytes=1048570-1048590", 1_048_570, 1_048_591),
        ("bytes=-3", len(DATA) - 3, len(DATA)),
        ("bytes=-99999999", 0, len(DATA)),
        ("bytes=0-99999999", 0, len(DATA)),
    ],
)
def test_one_range(asked: str, start: int, stop: int, vera: User, checkpoint: Checkpoint) -> None:
    response = got(vera, checkpoint, Range=asked)
    assert response.status_code == 206
    assert collected(response) == DATA[start:stop]
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert response["Content-Length"] == str(stop - start)
    assert response["ETag"] == f'"{checkpoint.sha256}"'


@pytest.mark.parametrize(
    "asked", ["bytes=9-5", "bytes=-", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes=" + "9" * 30 + "-"]
)
def test_what_is_no_single_range_gets_the_whole(asked: str, vera: User, checkpoint: Checkpoint) -> None:
    response = got(vera, checkpoint, Range=asked)
    assert (response.status_code, collected(response)) == (200, DATA)


@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", "bytes=99999999-99999999999", "bytes=-0"])
def test_a_range_behind_the_end_is_416(asked: str, vera: User, checkpoint: Checkpoint) -> None:
    response = got(vera, checkpoint, Range=asked)
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{len(DATA)}")
    assert b"range.unsatisfiable" in response.content


def test_a_range_of_another_file_gets_the_whole(vera: User, checkpoint: Checkpoint) -> None:
    tag = f'"{checkpoint.sha256}"'
    same = got(vera, checkpoint, **{"Range": "bytes=0-4", "If-Range": tag})
    assert (same.status_code, collected(same)) == (206, DATA[:5])
    for other in ('"another"', f"W/{tag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        answer = got(vera, checkpoint, **{"Range": "bytes=0-4", "If-Range": other})
        assert (answer.status_code, collected(answer)) == (200, DATA)


def test_head_takes_no_range(vera: User, checkpoint: Checkpoint) -> None:
    address = reverse("checkpoint_download", args=[checkpoint.pk])
    response = logged_in(vera).head(address, headers={"Range": "bytes=0-4"})
    assert (response.status_code, response["Content-Length"]) == (200, str(len(DATA)))
    assert not response.content


# ---------------------------------------------------------------- folders


def test_a_folder_goes_home_as_a_zip_that_opens(vera: User, folder: Checkpoint, tmp_path: Path) -> None:
    response = got(vera, folder)
    data = collected(response)
    assert response["Content-Length"] == str(len(data))
    assert response["Content-Disposition"] == 'attachment; filename="support-bot-v1.zip"'
    assert response["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["model.safetensors", *EXTRAS]
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in EXTRAS} == EXTRAS
        tensors = safetensors.numpy.load(archive.read("model.safetensors"))
    assert sum(tensor.size for tensor in tensors.values()) == 43


def test_the_weights_alone(vera: User, folder: Checkpoint) -> None:
    response = got(vera, folder, "checkpoint_download_weights")
    assert hashlib.sha256(collected(response)).hexdigest() == folder.sha256
    assert response["Content-Disposition"] == 'attachment; filename="support-bot-v1.safetensors"'


def test_a_zip_is_resumed_where_it_stopped(vera: User, folder: Checkpoint) -> None:
    first = got(vera, folder)
    whole, tag = collected(first), first["ETag"]
    assert collected(got(vera, folder)) == whole
    for place in (1, 40, 300, len(whole) - 30, len(whole) - 1):
        rest = got(vera, folder, **{"Range": f"bytes={place}-", "If-Range": tag})
        assert (rest.status_code, collected(rest)) == (206, whole[place:])
    assert got(vera, folder, **{"If-None-Match": tag}).status_code == 304


def test_a_tag_of_one_parcel_is_none_of_the_other(vera: User, folder: Checkpoint) -> None:
    tags = {
        got(vera, folder, name)["ETag"] for name in ("checkpoint_download", "checkpoint_download_weights")
    }
    assert len(tags) == 2
