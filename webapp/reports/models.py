"""Links by which somebody without an account may read one report."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from webapp.core.models import Row
from webapp.core.visibility import VisibleThroughCycle


class ReportShare(Row):
    """A link to the report of one cycle, until it expires or is revoked. Only its SHA-256 is kept."""

    cycle = models.ForeignKey("cycles.Cycle", on_delete=models.CASCADE, related_name="shares")
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    opened = models.PositiveIntegerField(default=0)
    opened_at = models.DateTimeField(null=True, blank=True)

    objects = VisibleThroughCycle["ReportShare"].as_manager()

    class Meta:
        indexes = (models.Index(fields=["cycle", "-created_at"], name="report_shares_of_cycle"),)

    def __str__(self) -> str:
        return f"link to the report of {self.cycle_id}"
