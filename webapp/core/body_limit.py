"""A lid on request bodies, before Django spools them to disk: pages send forms, and forms are small."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[Any], Awaitable[None]]
    Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

LIMIT_BYTES = 2_000_000


class _TooLarge(Exception):
    """More bytes came than the lid lets through."""


class BodyLimit:
    """ASGI wrapper: 413 for a body over `limit` bytes, announced or counted.

    Uploads have an application of their own and do not pass here.
    """

    def __init__(self, application: Application, limit: int = LIMIT_BYTES) -> None:
        self._application, self._limit = application, limit

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._announced(scope) > self._limit:
            await self._refuse(send)
            return
        seen, begun = 0, False

        async def counted() -> dict[str, Any]:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise _TooLarge
            return message

        async def watched(message: dict[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._application(scope, counted, watched)
        except _TooLarge:
            if not begun:
                await self._refuse(send)

    def _announced(self, scope: dict[str, Any]) -> int:
        text = dict(scope["headers"]).get(b"content-length", b"0")
        if not text.isdigit():
            return 0  # what is no number is counted as it comes
        return int(text) if len(text) < 20 else self._limit + 1

    async def _refuse(self, send: Send) -> None:
        body = json.dumps(
            {
                "code": "request.too_large",
                "message": f"A request has at most {self._limit // 10**6} MB. Send files by the upload page.",
            }
        ).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
