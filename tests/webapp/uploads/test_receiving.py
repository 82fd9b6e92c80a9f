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
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings

from tests.webapp.uploads.conftest import announcement
from tests.webapp.uploads.wire import Browser, run
from webapp.core.errors import Conflict
from webapp.core.store import NoRoom
from webapp.uploads.models import Upload
from webapp.uploads.receiving import PartFile

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project

ROOT = Path(__file__).resolve().parents[3]


def test_what_was_written_is_there_and_digested(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "p", 6)
    assert (tmp_path / "p").stat().st_size == 6, "allocated before the first byte"
    part.write(b"abc")
    part.write(bytearray(b"def"))
    assert part.finish() == hashlib.sha256(b"abcdef").hexdigest()
    assert (tmp_path / "p").read_bytes() == b"abcdef"
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o600


def test_a_second_writer_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "p", 3)
    with pytest.raises(Conflict, match="another request"):
        PartFile(tmp_path / "p", 3)
    part.write(b"abc")
    part.finish()
    assert (tmp_path / "p").read_bytes() == b"abc"


def test_a_link_in_the_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "p").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        PartFile(tmp_path / "p", 3)
    assert not (tmp_path / "elsewhere").exists()


def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="disk is full") as caught:
        PartFile(tmp_path / "p", 2**50)
    assert (caught.value.code, caught.value.status) == ("store.disk_full", 507)
    assert not (tmp_path / "p").exists()


def test_a_disk_that_becomes_full_in_the_middle(tmp_path: Path) -> None:
    """/dev/full answers every write as a full disk does."""
    part = PartFile(tmp_path / "p", 100)
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

    def ask(method: str, path: str, body: bytes) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders()
            # The server may answer and close before it has read all of it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    status, made = ask("POST", "/upload/", json.dumps(announcement(project, size)).encode())
    assert status == 201, made
    small = settings.INCOMING_DIR / f"{made['id']}.part"
    status, said = ask("PUT", f"/upload/{made['id']}", bytes(size))
    assert (status, said["code"]) == (507, "store.disk_full")
    assert "3.0 MB" in said["message"]
    upload = Upload.objects.get(pk=made["id"])
    assert (upload.state, upload.error_code) == ("aborted", "store.disk_full")
    assert not small.exists()


def test_a_server_that_cannot_write_says_so_and_keeps_nothing(
    alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way of the folder")
    monkeypatch.setattr(settings, "INCOMING_DIR", tmp_path / "file")

    async def story() -> Any:
        made = await alice_at_work.post(announcement(project, 4))
        return await alice_at_work.put(made.json()["id"], b"1234")

    answer = run(story())
    assert (answer.status, answer.json()["code"]) == (500, "server.error")
    assert str(tmp_path) not in answer.body.decode()
    assert Upload.objects.get().state == "aborted"
