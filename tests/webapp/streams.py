"""Reading a response that is streamed."""

from __future__ import annotations

import asyncio
from typing import Any


def collected(response: Any) -> bytes:
    """All bytes of a response whose content is an asynchronous iterator."""

    async def read() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    return asyncio.run(read())
