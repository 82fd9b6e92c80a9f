"""Speaks to the whole ASGI application byte by byte, as a browser's connection would."""

from __future__ import annotations

import asyncio
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


@dataclass
class Answer:
    """What came back; `status` is 0 when the connection was simply closed."""

    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.body)


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

    async def post(self, fields: Any, **headers: Any) -> Answer:
        """The announcement of a file."""
        body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        return await self.send("POST", "/upload/", [body], content_type="application/json", **headers)

    async def put(self, upload_id: str, data: bytes, *, piece: int = 65_536, **options: Any) -> Answer:
        """The bytes of a file, as they arrive."""
        pieces = [data[start : start + piece] for start in range(0, len(data), piece)]
        options.setdefault("content_length", str(len(data)))
        return await self.send("PUT", f"/upload/{upload_id}", pieces, **options)


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run it with its database calls in this thread, inside of the test's own transaction."""

    async def main() -> T:
        return await story

    result: T = async_to_sync(main)()
    return result
