"""A person who sends one big file to a web process of ours, and the same work done by coreutils."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.bench.database import prepared

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator

    from tests.webapp.live.people import Web
    from tests.webapp.uploads.over_http import Sender
    from webapp.accounts.models import User
    from webapp.projects.models import Project

REQUEST_BYTES = 64 * 2**20
_BLOCK = 4 * 2**20


@dataclass
class Disk:
    """Where everything lies: the data folder with the store, and the file to send beside it."""

    data: Path
    user: User
    project: Project

    def source(self, size: int) -> tuple[Path, str]:
        """The file, neither sparse nor compressible, made anew; and its digest."""
        path, digest = self.data / "source", hashlib.sha256()
        with path.open("wb") as handle:
            for start in range(0, size, _BLOCK):
                block = secrets.token_bytes(min(_BLOCK, size - start))
                digest.update(block)
                handle.write(block)
            handle.flush()
            os.fsync(handle.fileno())
        return path, digest.hexdigest()

    def web(self) -> Web:
        from tests.webapp.live.people import start_web

        return start_web(os.environ["DATABASE_URL"], self.data)

    def sender(self, web: Web) -> Sender:
        from tests.webapp.uploads.over_http import Sender

        return Sender(web, self.user)

    def arrived(self, path: str) -> tuple[str, str]:
        """State and digest of an upload, whose bytes are removed."""
        from webapp.uploads.models import Upload
        from webapp.uploads.selectors import part_path

        upload = Upload.objects.get(pk=path.removeprefix("/upload/"))
        part_path(upload.pk).unlink()
        return upload.state, upload.sha256


@contextmanager
def disk() -> Iterator[Disk]:
    """Everything started, and everything stopped and removed afterwards."""
    with prepared() as data:
        from django.core.management import call_command

        from webapp.accounts.choices import Role
        from webapp.accounts.models import Membership, User, Workspace
        from webapp.projects.services import project_create

        call_command("migrate", verbosity=0)
        workspace = Workspace.objects.create(name="Bench", quota_bytes=10**12)
        user = User.objects.create_user(f"{secrets.token_hex(4)}@example.org", None)
        Membership.objects.create(workspace=workspace, user=user, role=Role.OWNER)
        yield Disk(data, user, project_create(actor=user, workspace=workspace, name="bench"))


def send(request: http.client.HTTPConnection, source: Path, offset: int, length: int) -> None:
    """A stretch of the file as the body, or part of it, straight from the kernel's cache."""
    with source.open("rb") as handle:
        request.sock.sendfile(handle, offset, length)


def upload(sender: Sender, project: Project, source: Path) -> tuple[str, float]:
    """The whole file as the page sends it: the upload's path, and seconds from the first byte to the answer
    that says that all of it is on disk and digested."""
    size = source.stat().st_size
    path = sender.announce(project, size)
    began = time.perf_counter()
    for offset in range(0, size, REQUEST_BYTES):
        length = min(REQUEST_BYTES, size - offset)
        request = sender.patch(path, offset, length)
        send(request, source, offset, length)
        answer = request.getresponse()
        if answer.status != 204:
            raise SystemExit(f"{answer.status}: {answer.read()!r}")
        request.close()
    return path, time.perf_counter() - began


def baseline(source: Path) -> tuple[float, str]:
    """Seconds of cp, sha256sum and sync, one after the other, and the digest."""
    copy = source.with_name("copy")
    began = time.perf_counter()
    subprocess.run(["cp", "--reflink=never", str(source), str(copy)], check=True)
    done = subprocess.run(["sha256sum", str(copy)], check=True, capture_output=True, text=True)
    subprocess.run(["sync", str(copy)], check=True)
    seconds = time.perf_counter() - began
    copy.unlink()
    return seconds, done.stdout.split()[0]


class Peak:
    """Watches a process's resident memory from a thread."""

    def __init__(self, pid: int) -> None:
        self._process, self._over = psutil.Process(pid), threading.Event()
        self.before = self.most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            with suppress(psutil.Error):
                self.most = max(self.most, self._process.memory_info().rss)

    def stop(self) -> int:
        """Bytes by which it grew at its highest."""
        self._over.set()
        self._thread.join()
        return int(self.most - self.before)
