"""Uploads over real connections to a real web process."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

from tests.webapp.uploads.wire import BYTES, Browser, metadata

if TYPE_CHECKING:
    from tests.webapp.live.people import Web
    from webapp.accounts.models import User
    from webapp.projects.models import Project


class Sender:
    """A person's browser that speaks tus to one web process, piece by piece."""

    def __init__(self, web: Web, user: User) -> None:
        self.port = web.port
        self.headers = Browser(user).headers | {
            "host": f"127.0.0.1:{web.port}",
            "origin": web.url,
            "tus-resumable": "1.0.0",
        }

    def announce(self, project: Project, size: int) -> str:
        """The path of a new upload."""
        about = {"project": str(project.pk), "purpose": "checkpoint", "filename": "model.safetensors"}
        told = {"upload-length": str(size), "upload-metadata": metadata(about)}
        answer = self.begin("POST", "/upload/", **told).getresponse()
        assert answer.status == 201, answer.read()
        return answer.headers["location"]

    def offset(self, path: str) -> int:
        """How many bytes the server has."""
        answer = self.begin("HEAD", path).getresponse()
        assert answer.status == 200
        return int(answer.headers["upload-offset"])

    def patch(self, path: str, offset: int, length: int) -> http.client.HTTPConnection:
        """A request whose body of `length` bytes is still to be sent."""
        told = {"upload-offset": str(offset), "content-length": str(length), "content-type": BYTES}
        return self.begin("PATCH", path, **told)

    def begin(self, method: str, path: str, **headers: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in (self.headers | headers).items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection
