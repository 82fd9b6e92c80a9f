"""The four roles, each including the ones before it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """viewer reads · editor uploads and runs cycles · admin also schedules, deletes, invites · owner all."""

    VIEWER = "viewer", _("Viewer")
    EDITOR = "editor", _("Editor")
    ADMIN = "admin", _("Admin")
    OWNER = "owner", _("Owner")

    @property
    def rank(self) -> int:
        """0 for viewer up to 3 for owner."""
        return list(Role).index(self)
