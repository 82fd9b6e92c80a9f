"""The live stream, as rows: the database is the truth and also the stream."""

from __future__ import annotations

from django.db import models

from webapp.core.visibility import VisibleThroughCycle


class Frame(models.Model):
    """All that one flush holds. `seq` has no gaps and only grows over the cycle's whole life."""

    id = models.BigAutoField(primary_key=True)
    cycle = models.ForeignKey("cycles.Cycle", on_delete=models.CASCADE, related_name="frames")
    seq = models.BigIntegerField()
    epoch = models.PositiveIntegerField()
    t_ms = models.BigIntegerField()
    kind = models.CharField(max_length=8)
    payload = models.JSONField()
    committed_at = models.DateTimeField()

    objects = VisibleThroughCycle["Frame"].as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["cycle", "seq"], name="frame_once"),)

    def __str__(self) -> str:
        return f"frame {self.seq}"
