"""A real web process on the test database, and sockets that are logged in."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.test import Client
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from webapp.accounts.models import User

ROOT = Path(__file__).resolve().parents[3]
COOKIE = "nocturne"


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def session_of(user: User) -> str:
    """The session key of a browser in which the person is logged in."""
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client.cookies[COOKIE].value


@dataclass
class Web:
    """A running web process."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start_web(database_url: str, data: Path, port: int | None = None, url: str | None = None) -> Web:
    """The web process as the launcher starts it; returns when it accepts connections.

    Args:
        url: the address that browsers know it by, when something stands in front of it.
    """
    port = port or free_port()
    env = os.environ | {
        "DATABASE_URL": database_url,
        "NOCTURNE_DATA": str(data),
        "SECRET_KEY": settings.SECRET_KEY,
        "NOCTURNE_URL": url or f"http://127.0.0.1:{port}",
        "NOCTURNE_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "workers.web", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=env)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return Web(port, process)
        assert process.poll() is None, "uvicorn ended"
        time.sleep(0.05)
    process.kill()
    raise AssertionError("uvicorn did not accept connections within 60 s")


@contextlib.asynccontextmanager
async def socket_to(
    web: Web, session: str | None, origin: str | None = None
) -> AsyncIterator[ClientConnection]:
    """The live socket, as a browser opens it."""
    headers = {"Cookie": f"{COOKIE}={session}"} if session else {}
    url = f"ws://127.0.0.1:{web.port}/ws/live"
    async with connect(url, origin=Origin(origin or web.url), additional_headers=headers) as found:
        yield found


def running(database_url: str, data: Path) -> Iterator[Web]:
    """For fixtures: a web process that is gone afterwards."""
    web = start_web(database_url, data)
    try:
        yield web
    finally:
        web.stop()
