"""The web process: uvicorn with Nocturne's limits, on an inherited socket or on an address.

python -m workers.web --host 0.0.0.0 --port 8000
"""

from __future__ import annotations

import argparse
import os
import socket

import uvicorn

from webapp.uploads.turns import leave

MAX_SOCKET_MESSAGE = 64 * 1024
GRACE_SECONDS = 3


class _Server(uvicorn.Server):
    """Says on a descriptor when the application is loaded and answers."""

    def __init__(self, config: uvicorn.Config, ready_fd: int | None) -> None:
        super().__init__(config)
        self._ready_fd = ready_fd

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready_fd is not None:
            os.write(self._ready_fd, b"ready")
            os.close(self._ready_fd)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Uvicorn would wait for bodies that may take hours, and then drop what came of them.
        await leave()
        await super().shutdown(sockets)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="Serve Nocturne's pages, uploads and live sockets.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="a listening socket to take over instead")
    parser.add_argument("--ready-fd", type=int, help="a descriptor to write to when requests are answered")
    given = parser.parse_args(arguments)
    config = uvicorn.Config(
        "webapp.config.asgi:application",
        host=given.host,
        port=given.port,
        log_config=None,  # Django's LOGGING is the only one
        access_log=False,
        lifespan="off",
        server_header=False,
        ws_max_size=MAX_SOCKET_MESSAGE,
        # A few bytes that unfold to gigabytes, and a compressor a viewer: neither is worth it.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        # Only a proxy that was named may say who the client is.
        proxy_headers="FORWARDED_ALLOW_IPS" in os.environ,
    )
    listeners = None if given.fd is None else [socket.socket(fileno=given.fd)]
    _Server(config, given.ready_fd).run(sockets=listeners)


if __name__ == "__main__":
    main()
