"""The live stream, as rows: the database is the truth and also the stream."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from webapp.core.models import Row
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
    # Measured columns as the JSON that the writer gave, so that they are read, and given away, without being
    # parsed; null where there are none, or not any more. Apart, because the few of one are often wanted
    # without the many of the other.
    points = models.TextField(null=True, blank=True)  # noqa: DJ001 - null is not an empty text here
    device = models.TextField(null=True, blank=True)  # noqa: DJ001
    # It changes the state, or holds events: history needs it word for word.
    telling = models.BooleanField(default=True)
    committed_at = models.DateTimeField()

    objects = VisibleThroughCycle["Frame"].as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["cycle", "seq"], name="frame_once"),)
        indexes = (
            models.Index(fields=["cycle", "seq"], condition=models.Q(telling=True), name="frame_telling"),
        )

    def __str__(self) -> str:
        return f"frame {self.seq}"


class Rollup(models.Model):
    """Some hundred neighbouring bins of one level of one attempt (see webapp.live.bins)."""

    id = models.BigAutoField(primary_key=True)
    cycle = models.ForeignKey("cycles.Cycle", on_delete=models.CASCADE, related_name="rollups")
    epoch = models.PositiveIntegerField()
    series = models.CharField(max_length=6)
    level = models.PositiveSmallIntegerField()
    first_key = models.BigIntegerField()
    last_key = models.BigIntegerField()
    # Frames up to this number hold nothing that is not in this part or in those before it.
    after_seq = models.BigIntegerField()
    count = models.BigIntegerField()
    rows = models.BinaryField()

    objects = VisibleThroughCycle["Rollup"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["cycle", "series", "epoch", "level", "first_key"], name="rollup_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.series} {self.first_key} to {self.last_key} by {2**self.level}"


class Note(Row):
    """What somebody wrote beside a moment of a cycle: `t` in seconds on the page's clock, and the step there.

    The row says who may take it away; a frame of kind "note" tells everybody who watches.
    """

    cycle = models.ForeignKey("cycles.Cycle", on_delete=models.CASCADE, related_name="notes")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    t = models.FloatField()
    step = models.BigIntegerField()
    text = models.CharField(max_length=500)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = VisibleThroughCycle["Note"].as_manager()

    def __str__(self) -> str:
        return self.text
