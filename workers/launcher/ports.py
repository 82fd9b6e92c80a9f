"""Taking the port before anything else starts, so that nobody can take it in between."""

from __future__ import annotations

import errno
import socket

from workers.launcher.errors import LauncherError

FIRST_PORT = 8000
LAST_PORT = 8099
_BACKLOG = 1024


def bind(host: str, port: int | None) -> socket.socket:
    """A listening socket on ``port``, or on the first free port from 8000 when ``port`` is None.

    The socket outlives restarts of the web process: requests that arrive meanwhile wait instead of failing.

    Raises:
        LauncherError: ``port.in_use``, ``port.not_allowed`` or ``host.unknown``.
    """
    if port is not None:
        try:
            return _listen(host, port)
        except OSError as problem:
            raise _error(host, port, problem) from problem
    for candidate in range(FIRST_PORT, LAST_PORT + 1):
        try:
            return _listen(host, candidate)
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise _error(host, candidate, problem) from problem
    raise LauncherError(
        "port.in_use",
        f"All ports from {FIRST_PORT} to {LAST_PORT} are in use. Name a free one with --port.",
    )


def url_of(listener: socket.socket) -> str:
    """The address to open in a browser on this machine."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _error(host: str, port: int, problem: OSError) -> LauncherError:
    if problem.errno == errno.EADDRINUSE:
        return LauncherError(
            "port.in_use",
            f"Port {port} is in use by another program. Stop it, name another port with --port, "
            "or leave --port away to take the next free one.",
        )
    if problem.errno == errno.EACCES:
        return LauncherError(
            "port.not_allowed", f"This user may not listen on port {port}. Choose one from 1024 upwards."
        )
    return LauncherError("host.unknown", f"{host[:80]} is no address of this machine. Try --host 127.0.0.1.")
