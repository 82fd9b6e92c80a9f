"""A page's body has a lid; what is over it never reaches Django, let alone the disk."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from webapp.core.body_limit import BodyLimit


async def reader(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An application that reads everything, as Django does, and says how much it was."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def answer(pieces: list[bytes], headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes, int]:
    """Status, body, and how many pieces were taken."""
    coming = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        for index, piece in enumerate(pieces)
    ]
    sent: list[dict[str, Any]] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return coming[taken - 1]

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(BodyLimit(reader, limit=100)({"type": "http", "headers": headers}, receive, send))
    return sent[0]["status"], sent[1]["body"], taken


def test_a_small_body_passes() -> None:
    assert answer([b"x" * 60, b"y" * 40], [(b"content-length", b"100")]) == (200, b"100", 2)


@pytest.mark.parametrize("length", [b"101", b"9" * 100])
def test_an_announced_large_body_is_refused_unread(length: bytes) -> None:
    status, body, taken = answer([b"x"], [(b"content-length", length)])
    assert (status, taken) == (413, 0)
    assert b"request.too_large" in body


def test_an_unannounced_large_body_is_cut_off_at_the_lid() -> None:
    status, _, taken = answer([b"x" * 60] * 50, [])
    assert (status, taken) == (413, 2)
