"""Rows for a task: memories that sleep replays, probes that prove, training sets that a wake learns."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.core.models import Row
from webapp.core.trash import LiveManager, Trashable
from webapp.core.visibility import VisibleThroughProject


class Use(models.TextChoices):
    """What a record set is for."""

    MEMORIES = "memories", _("Memories")
    PROBE = "probe", _("Probe")
    TRAINING = "training", _("Training set")


class RecordSet(Row, Trashable):
    """One verified record file of one task, in the canonical form that the engine memory-maps.

    A task has at most one live set a use; a newer one replaces it (`replaced_at`) and the old stays for the
    cycles that used it, until somebody puts it into the trash. `transform` is {"scale", "mean", "sd"};
    `x_shape` is the shape of one record. `notes` are [{"code", "text"}] about what looks skewed; a sleep on
    memories with such notes promotes nothing by itself. `rights` names the fields that the records have:
    "owner", "licence", "expiry", ...
    """

    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="record_sets")
    task = models.ForeignKey("projects.Task", on_delete=models.CASCADE, related_name="record_sets")
    use = models.CharField(max_length=8, choices=Use.choices)
    filename = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    rows = models.PositiveIntegerField()
    x_shape = models.JSONField(default=list)
    x_dtype = models.CharField(max_length=16)
    # Or how many places a label can name, where it says where an answer lies.
    classes = models.PositiveBigIntegerField()
    label_histogram = models.JSONField(default=list)
    transform = models.JSONField(default=dict)
    has_logits = models.BooleanField(default=False)
    notes = models.JSONField(default=list, blank=True, db_default=models.Value([], models.JSONField()))
    rights = models.JSONField(default=list, blank=True, db_default=models.Value([], models.JSONField()))
    # Of the labels 0, 1, ..., where they came as names.
    label_names = models.JSONField(default=list, blank=True, db_default=models.Value([], models.JSONField()))
    # Records that repeat an earlier one, label included.
    duplicates = models.PositiveIntegerField(default=0, db_default=0)
    # {"total", "lines": [{"line", "code", "message"}], "unit"}: bad rows of the file that somebody left out.
    left_out = models.JSONField(default=dict, blank=True, db_default=models.Value({}, models.JSONField()))
    # {"offered", "budget", "bytes", "rule"}: how many rows there were to choose from, where bytes were given.
    kept = models.JSONField(default=dict, blank=True, db_default=models.Value({}, models.JSONField()))
    cycle = models.ForeignKey(
        "cycles.Cycle", null=True, blank=True, on_delete=models.SET_NULL, related_name="record_sets_made"
    )
    replaced_at = models.DateTimeField(null=True, blank=True)

    objects = LiveManager["RecordSet"]()
    everything = VisibleThroughProject["RecordSet"].as_manager()

    class Meta:
        indexes = (
            models.Index(
                fields=["trashed_at"],
                condition=models.Q(trashed_at__isnull=False, purged_at__isnull=True),
                name="record_set_in_trash",
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["task", "use"],
                condition=models.Q(replaced_at__isnull=True, trashed_at__isnull=True),
                name="record_set_one_live",
            ),
            models.CheckConstraint(condition=models.Q(use__in=Use.values), name="record_set_use_known"),
        )

    def __str__(self) -> str:
        return f"{self.get_use_display()} of {self.task_id}"
