"""The one socket of a tab."""

from __future__ import annotations

from typing import Any

from channels.security.websocket import WebsocketDenier
from django.urls import path, re_path

from webapp.live.consumers import LiveConsumer

websocket_urlpatterns: list[Any] = [
    path("ws/live", LiveConsumer.as_asgi()),  # type: ignore[arg-type]
    re_path(r"", WebsocketDenier.as_asgi()),  # type: ignore[arg-type]
]
