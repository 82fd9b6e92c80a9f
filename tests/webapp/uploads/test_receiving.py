"""The part file, and a disk that really has no room."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from tests.webapp.uploads.wire import BYTES, Browser, metadata
from webapp.core.errors import Conflict
from webapp.core.store import NoRoom
from webapp.uploads.models import Upload
from webapp.uploads.receiving import Lost, PartFile
from webapp.uploads.selectors import part_path

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project

ROOT = Path(__file__).resolve().parents[3]


def opened(path: Path, size: int, offset: int = 0) -> PartFile:
    part = PartFile(path, size, offset)
    part.prepare()
    return part


def test_what_was_written_is_there_and_digested(tmp_path: Path) -> None:
    part = opened(tmp_path / "p", 6)
    assert (tmp_path / "p").stat().st_size == 6, "allocated before the first byte"
    part.write(b"abc")
    part.write(bytearray(b"def"))
    assert part.sync() == 6
    assert part.sha256() == hashlib.sha256(b"abcdef").hexdigest()
    part.close()
    assert (tmp_path / "p").read_bytes() == b"abcdef"
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("keeps", [True, False], ids=["digest-goes-on", "read-again"])
def test_a_second_request_goes_on(keeps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest that was kept is used: damage to what it has seen goes unnoticed by it."""
    part = opened(tmp_path / "p", 6)
    part.write(b"abc")
    part.close(go_on=keeps)
    with (tmp_path / "p").open("r+b") as handle:
        handle.write(b"X")
    rest = opened(tmp_path / "p", 6, 3)
    rest.write(b"def")
    seen = b"abcdef" if keeps else b"Xbcdef"
    assert rest.sha256() == hashlib.sha256(seen).hexdigest()
    rest.close()


def test_a_digest_of_other_bytes_is_not_used(tmp_path: Path) -> None:
    part = opened(tmp_path / "p", 6)
    part.write(b"abcd")
    part.close(go_on=True)
    rest = opened(tmp_path / "p", 6, 3)
    rest.write(b"DEF")
    assert rest.sha256() == hashlib.sha256(b"abcDEF").hexdigest()
    rest.close()


def test_a_second_writer_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    part = opened(tmp_path / "p", 3)
    with pytest.raises(Conflict, match="another request"):
        PartFile(tmp_path / "p", 3, 0)
    part.write(b"abc")
    part.close()
    assert (tmp_path / "p").read_bytes() == b"abc"
    PartFile(tmp_path / "p", 3, 0).close()


def test_a_link_in_the_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "p").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        PartFile(tmp_path / "p", 3, 0)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("left", [None, b"ab"], ids=["missing", "too-short"])
def test_bytes_that_should_be_there_and_are_not(left: bytes | None, tmp_path: Path) -> None:
    if left is not None:
        (tmp_path / "p").write_bytes(left)
    with pytest.raises(Lost) as caught:
        opened(tmp_path / "p", 4, 3)
    assert (caught.value.code, caught.value.status) == ("upload.lost", 410)


def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="disk is full") as caught:
        opened(tmp_path / "p", 2**50)
    assert (caught.value.code, caught.value.status) == ("store.disk_full", 507)
    assert not (tmp_path / "p").exists()


def test_a_disk_that_becomes_full_in_the_middle(tmp_path: Path) -> None:
    """/dev/full answers every write as a full disk does."""
    part = opened(tmp_path / "p", 100)
    part.write(b"abc")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, part._open())
    os.close(full)
    with pytest.raises(NoRoom) as caught:
        part.write(b"def")
    assert caught.value.code == "store.disk_full"
    assert not (tmp_path / "p").exists()


@pytest.fixture
def small_disk_server(database_url: str) -> Iterator[int]:
    """A real uvicorn that may write no file over 1 MB: the system's own refusal, as of a full disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    code = (
        "import resource, uvicorn; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
        f"uvicorn.run('webapp.config.asgi:application', port={port}, lifespan='off', log_level='warning')"
    )
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "NOCTURNE_DATA": str(settings.DATA_DIR),
        "SECRET_KEY": settings.SECRET_KEY,
        "NOCTURNE_URL": f"http://127.0.0.1:{port}",
    }
    server = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(20)


def test_a_full_disk_is_a_sentence_over_real_http(
    alice: User, project: Project, small_disk_server: int
) -> None:
    port = small_disk_server
    headers = Browser(alice).headers | {"host": f"127.0.0.1:{port}", "origin": f"http://127.0.0.1:{port}"}
    size = 3_000_000

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    about = metadata({"project": str(project.pk), "purpose": "checkpoint", "filename": "model.bin"})
    told = {"tus-resumable": "1.0.0", "upload-length": str(size), "upload-metadata": about}
    connection.putrequest("POST", "/upload/", skip_host=True, skip_accept_encoding=True)
    for name, value in (headers | told | {"content-type": BYTES, "content-length": str(size)}).items():
        connection.putheader(name, value)
    connection.endheaders()
    # The server may answer and close before it has read all of it.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(bytes(size))
    answer = connection.getresponse()
    status, said = answer.status, json.loads(answer.read())
    connection.close()
    assert (status, said["code"]) == (507, "store.disk_full")
    assert "3.0 MB" in said["message"]
    upload = Upload.objects.get()
    assert (upload.state, upload.error_code) == ("aborted", "store.disk_full")
    assert not part_path(upload.pk).exists()
