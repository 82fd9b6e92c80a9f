"""Files on their way in, and the files that the store holds."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.core.models import Row
from webapp.core.visibility import VisibleQuerySet, VisibleThroughProject


class UploadState(models.TextChoices):
    """receiving > verifying > ready | refused; aborted when the bytes never came."""

    RECEIVING = "receiving", _("Uploading")
    VERIFYING = "verifying", _("Verifying")
    READY = "ready", _("Ready")
    REFUSED = "refused", _("Refused")
    ABORTED = "aborted", _("Cancelled")


class Purpose(models.TextChoices):
    """What the bytes should become."""

    CHECKPOINT = "checkpoint", _("Checkpoint")
    MEMORIES = "memories", _("Memories")
    PROBE = "probe", _("Probe")
    TRAINING = "training", _("Training set")
    TOKENIZER = "tokenizer", _("Tokenizer")


class Upload(Row):
    """One file from one person. `form` holds what they told us: family and config, or task and transform."""

    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="uploads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="uploads")
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    filename = models.CharField(max_length=255)
    size_bytes = models.BigIntegerField()
    # How far the bytes are on disk and synced; every resumption begins here.
    received_bytes = models.BigIntegerField(default=0)
    received_at = models.DateTimeField(null=True, blank=True)
    state = models.CharField(max_length=9, choices=UploadState.choices, default=UploadState.RECEIVING)
    # Of the file as it came, by the server; `told_sha256` is what the sender says it should be.
    sha256 = models.CharField(max_length=64, blank=True)
    told_sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")
    # Copied from a folder of the server's own computer: nobody can send the rest of it.
    local = models.BooleanField(default=False, db_default=False)
    form = models.JSONField(default=dict)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    # Of records: {"lines": [{"line", "code", "message"}], "total", "unit", "others"}, see `core.bad_lines`.
    error_detail = models.JSONField(default=dict, blank=True, db_default=models.Value({}, models.JSONField()))
    # The bytes of a file that was refused for some bad rows stay until then: see `rest`.
    kept_until = models.DateTimeField(null=True, blank=True)
    # The checkpoint or record set that it became; of a tokenizer, the checkpoint that has it.
    result_id = models.UUIDField(null=True, blank=True)
    verifying_since = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = VisibleThroughProject["Upload"].as_manager()

    class Meta:
        indexes = (
            models.Index(fields=["state", "created_at"], name="upload_by_state"),
            models.Index(fields=["sha256"], condition=~models.Q(sha256=""), name="upload_by_sha256"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(state__in=UploadState.values), name="upload_state_known"
            ),
            models.CheckConstraint(condition=models.Q(size_bytes__gt=0), name="upload_not_empty"),
        )

    def __str__(self) -> str:
        return self.filename


class StoredFile(Row):
    """One content-addressed file of one workspace; duplicates are recognised within the workspace only."""

    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="stored_files")
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()

    objects = VisibleQuerySet["StoredFile"].as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["workspace", "sha256"], name="stored_file_once"),)

    def __str__(self) -> str:
        return self.sha256[:12]
