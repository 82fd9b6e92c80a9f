from __future__ import annotations

from django.apps import AppConfig


class CyclesConfig(AppConfig):
    name = "webapp.cycles"
    label = "cycles"
