from __future__ import annotations

from django.apps import AppConfig


class LiveConfig(AppConfig):
    name = "webapp.live"
    label = "live"

    def ready(self) -> None:
        """Rights that end are told to the sockets."""
        from webapp.live.rights import watch

        watch()
