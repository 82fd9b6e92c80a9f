"""Speaks to the whole ASGI application byte by byte, as a browser's connection would."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import async_to_sync
from django.test import Client

from webapp.config.asgi import application

if TYPE_CHECKING:
    from webapp.accounts.models import User

T = TypeVar("T")

ORIGIN = "http://127.0.0.1:8000"
TOKEN = "a" * 32
BYTES = "application/offset+octet-stream"


@dataclass
class Answer:
    """What came back; `status` is 0 when the connection was simply closed."""

    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        """Of the upload that was made."""
        return self.headers["location"].removeprefix("/upload/")


class Browser:
    """A person's cookies, with the headers that a page of ours sends."""

    def __init__(self, user: User | None) -> None:
        client = Client()
        if user is not None:
            client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        cookies = {name: morsel.value for name, morsel in client.cookies.items()} | {"nocturne-csrf": TOKEN}
        self.headers = {
            "host": "127.0.0.1:8000",
            "origin": ORIGIN,
            "x-csrftoken": TOKEN,
            "cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        }

    async def send(
        self,
        method: str,
        path: str,
        pieces: Iterable[bytes] = (),
        *,
        hang_up: bool = False,
        fall_asleep: bool = False,
        **headers: Any,
    ) -> Answer:
        """One request.

        Args:
            pieces: the body as it arrives.
            hang_up: break the connection after the last piece instead of ending the body.
            fall_asleep: send nothing more after the last piece.
            **headers: added or, with None, left out; underscores stand for dashes.
        """
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in {**self.headers, **changed}.items() if value is not None}
        body = list(pieces)
        answer = Answer()

        async def receive() -> dict[str, Any]:
            if body:
                piece = body.pop(0)
                return {
                    "type": "http.request",
                    "body": piece,
                    "more_body": bool(body) or hang_up or fall_asleep,
                }
            if hang_up:
                return {"type": "http.disconnect"}
            if fall_asleep:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }
        await application(scope, receive, send)  # type: ignore[arg-type]
        return answer

    async def announce(self, about: dict[str, Any], first: bytes | None = None, **headers: Any) -> Answer:
        """The announcement of a file, with its first bytes if there are any; "size" is its length, all else
        of `about` its metadata."""
        options: dict[str, Any] = {
            "tus_resumable": "1.0.0",
            "upload_length": str(about["size"]),
            "upload_metadata": metadata({key: value for key, value in about.items() if key != "size"}),
            "content_length": str(len(first or b"")),
        }
        if first is not None:
            options["content_type"] = BYTES
        return await self.send("POST", "/upload/", [first] if first else [], **options | headers)

    async def patch(
        self, upload_id: str, data: bytes, offset: int = 0, *, piece: int = 65_536, **options: Any
    ) -> Answer:
        """Bytes of a file from `offset` on, as they arrive."""
        pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
        usual: dict[str, Any] = {
            "tus_resumable": "1.0.0",
            "upload_offset": str(offset),
            "content_length": str(len(data)),
            "content_type": BYTES,
        }
        return await self.send("PATCH", f"/upload/{upload_id}", pieces, **usual | options)

    async def ask(self, method: str, upload_id: str, **headers: Any) -> Answer:
        """HEAD or DELETE."""
        return await self.send(method, f"/upload/{upload_id}", **{"tus_resumable": "1.0.0"} | headers)


def metadata(values: dict[str, Any]) -> str:
    """An Upload-Metadata header; what is no text is sent as JSON."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in texts.items())


def said(answer: Answer) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status, answer.json()["code"]


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run it with its database calls in this thread, inside of the test's own transaction."""

    async def main() -> T:
        return await story

    result: T = async_to_sync(main)()
    return result
