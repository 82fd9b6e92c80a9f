from __future__ import annotations

from django.apps import AppConfig


class MemoriesConfig(AppConfig):
    name = "webapp.memories"
    label = "memories"
