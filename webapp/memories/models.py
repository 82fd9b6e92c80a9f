"""Rows for a task: memories that sleep replays, probes that prove, training sets that a wake learns.

And what was erased of them: an erasure with its certificate, the sets that it touched, and a tombstone for
every record. A tombstone is an id of sixteen bytes, never content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from webapp.core.models import Row
from webapp.core.trash import LiveManager, Trashable
from webapp.core.visibility import VisibleQuerySet, VisibleThroughProject

if TYPE_CHECKING:
    import datetime as dt


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
    "owner", "licence", "expiry", ... `retention_days` after the records came in they expire, at
    `expires_at`; memories that a wake kept expire with the set that they are from. `next_expiry_at` is when
    the first record expires by a date of its own. `erasures` counts up whenever records stop being usable: a
    cycle that read the set at another count may publish nothing.
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
    # [first, last): columns of the model's outputs that are the task's own; [] where all of them are.
    head = models.JSONField(default=list, blank=True, db_default=models.Value([], models.JSONField()))
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
    retention_days = models.PositiveIntegerField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    next_expiry_at = models.DateTimeField(null=True, blank=True)
    erasures = models.PositiveIntegerField(default=0, db_default=0)

    objects = LiveManager["RecordSet"]()
    everything = VisibleThroughProject["RecordSet"].as_manager()

    class Meta:
        indexes = (
            models.Index(
                fields=["trashed_at"],
                condition=models.Q(trashed_at__isnull=False, purged_at__isnull=True),
                name="record_set_in_trash",
            ),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(expires_at__isnull=False, purged_at__isnull=True),
                name="record_set_expires",
            ),
            models.Index(
                fields=["next_expiry_at"],
                condition=models.Q(next_expiry_at__isnull=False, purged_at__isnull=True),
                name="record_set_next_expiry",
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

    @property
    def expired(self) -> bool:
        """Its retention is over, whether its file is deleted yet or not."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def expires_in_days(self) -> int | None:
        """Whole days until then, rounded up; 0 when it is due, None without a date."""
        return days_until(self.expires_at)


def days_until(moment: dt.datetime | None) -> int | None:
    """Whole days until a moment, rounded up; 0 of the past, None of None."""
    if moment is None:
        return None
    return max(0, -int((timezone.now() - moment).total_seconds() // 86_400))


def unexpired() -> models.Q:
    """Of record sets whose retention is not over, by the database's clock."""
    return models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=Now())


class By(models.TextChoices):
    """How the records of an erasure were named."""

    IDS = "ids", _("Record ids")
    SUBJECT = "subject", _("Subject")


class Scope(models.TextChoices):
    """Where an erasure looks for them, and where they may not come back."""

    SET = "set", _("This set, and every copy in the project")
    PROJECT = "project", _("All sets of the project")
    WORKSPACE = "workspace", _("All sets of the workspace")


class Erasure(Row):
    """Records that somebody erased; with its sets it is the certificate, and it never holds content.

    `project` is None for a whole workspace. A subject is kept as a keyed digest only, which later imports are
    compared with. `digest` is sha256 over the erased ids in order; `shaped` are the checkpoints whose cycles
    had read the records: [{"checkpoint": id, "how": ...}]; their descendants are looked up when asked for.
    `unsearched` counts sets in scope whose files were deleted before. `finished_at`: no file of the store
    holds the records any more.
    """

    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="erasures")
    project = models.ForeignKey(
        "projects.Project", null=True, blank=True, on_delete=models.SET_NULL, related_name="erasures"
    )
    scope = models.CharField(max_length=9, choices=Scope.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField(max_length=255)
    by = models.CharField(max_length=7, choices=By.choices)
    subject_digest = models.CharField(max_length=64, blank=True)
    asked = models.PositiveIntegerField()
    records = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    shaped = models.JSONField(default=list)
    unsearched = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = VisibleQuerySet["Erasure"].as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(condition=models.Q(by__in=By.values), name="erasure_by_known"),
            models.CheckConstraint(condition=models.Q(scope__in=Scope.values), name="erasure_scope_known"),
        )
        indexes = (
            models.Index(
                fields=["workspace"], condition=~models.Q(subject_digest=""), name="erasure_subjects"
            ),
        )

    def __str__(self) -> str:
        return f"{self.records} records"


class VisibleThroughErasure(VisibleQuerySet["ErasedSet"]):
    """Rows that belong to an erasure."""

    workspace_path = "erasure__workspace"


class ErasedSet(models.Model):
    """One set that an erasure touched. `purged_at`: its file was written again without the records, or
    deleted with the last of them; until then the tombstones alone keep them from being read."""

    id = models.BigAutoField(primary_key=True)
    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="sets")
    record_set = models.ForeignKey(RecordSet, on_delete=models.CASCADE, related_name="erased_from")
    rows = models.PositiveIntegerField()
    sha256_before = models.CharField(max_length=64)
    sha256_after = models.CharField(max_length=64, blank=True)
    purged_at = models.DateTimeField(null=True, blank=True)

    objects = VisibleThroughErasure.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=["erasure", "record_set"], name="erased_set_once"),)
        indexes = (
            models.Index(
                fields=["record_set"], condition=models.Q(purged_at__isnull=True), name="erased_set_pending"
            ),
        )

    def __str__(self) -> str:
        return f"{self.rows} rows"


class Tombstone(models.Model):
    """A record that may not be read or imported any more, in a project or (None) in the whole workspace."""

    id = models.BigAutoField(primary_key=True)
    erasure = models.ForeignKey(Erasure, on_delete=models.CASCADE, related_name="tombstones")
    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="+")
    project = models.ForeignKey(
        "projects.Project", null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    record = models.BinaryField(max_length=16)

    objects = VisibleQuerySet["Tombstone"].as_manager()

    class Meta:
        indexes = (models.Index(fields=["workspace", "project"], name="tombstones_of"),)

    def __str__(self) -> str:
        return bytes(self.record).hex()
