"""Whose page may open the live socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from channels.security.websocket import WebsocketDenier

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExactOrigin:
    """Lets a handshake through whose Origin is, letter for letter, one of ours; any other answer is 403.

    Channels' own validator parses the header, and a port like `8000.evil.example` makes it raise.
    """

    def __init__(self, application: Any, allowed: Iterable[str]) -> None:
        self._application = application
        self._allowed = frozenset(origin.lower() for origin in allowed)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """ASGI."""
        given = [value for name, value in scope["headers"] if name == b"origin"]
        fine = len(given) == 1 and given[0].decode("latin-1").lower() in self._allowed
        application = self._application if fine else WebsocketDenier()
        return await application(scope, receive, send)
