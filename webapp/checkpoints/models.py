"""Checkpoints (v1, v2, ...), the names that point to them, and the scores of the retention matrix."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _

from consolidation.families.text_model import text_model
from webapp.checkpoints.choices import Format, Origin, Standing
from webapp.core.models import Row
from webapp.core.trash import LiveManager, Trashable
from webapp.core.visibility import VisibleQuerySet, VisibleThroughProject


class Checkpoint(Row, Trashable):
    """Weights that passed verification. Rows never change but for `standing`, the trash, and an adapter's
    base when it is said.

    `config` holds the family's own validated fields; `tensors` the header: [{name, dtype, shape}].
    `wake` says what is known of the training that made it: {"examples": n, "lr": x}, both optional.
    """

    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="checkpoints")
    number = models.PositiveIntegerField()
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children"
    )
    # Of an adapter, the model that it changes; its description is in `config` too. Children inherit it.
    base = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.RESTRICT, related_name="adapters"
    )
    cycle = models.OneToOneField(
        "cycles.Cycle", null=True, blank=True, on_delete=models.SET_NULL, related_name="result"
    )
    origin = models.CharField(max_length=8, choices=Origin.choices)
    standing = models.CharField(max_length=10, choices=Standing.choices, default=Standing.PROMOTED)
    filename = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    fisher_sha256 = models.CharField(max_length=64, blank=True)
    family = models.CharField(max_length=40)
    config = models.JSONField(default=dict)
    tensors = models.JSONField(default=list)
    parameters = models.BigIntegerField()
    non_finite = models.BooleanField(default=False)
    wake = models.JSONField(default=dict)
    # In which shape it came, and goes home; children inherit it.
    format = models.CharField(
        max_length=12, choices=Format.choices, default=Format.SAFETENSORS, db_default=Format.SAFETENSORS.value
    )
    # Of the weights, for the zip that gives a folder back; known when there are companions.
    crc32 = models.BigIntegerField(null=True, blank=True)
    # Companion files (config.json, tokenizer.json), one after the other in one stored file: [{"name",
    # "offset", "size", "crc32"}].
    extras_sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")
    extras = models.JSONField(default=list, blank=True, db_default=models.Value([], models.JSONField()))
    # What was left out or changed when it was read, one sentence each.
    notes = models.JSONField(default=list, blank=True, db_default=models.Value([], models.JSONField()))
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = LiveManager["Checkpoint"]()
    everything = VisibleThroughProject["Checkpoint"].as_manager()

    class Meta:
        ordering = ("number",)
        indexes = (
            models.Index(
                fields=["trashed_at"],
                condition=models.Q(trashed_at__isnull=False, purged_at__isnull=True),
                name="checkpoint_in_trash",
            ),
        )
        constraints = (
            models.UniqueConstraint(fields=["project", "number"], name="checkpoint_number_once"),
            models.CheckConstraint(
                condition=models.Q(origin__in=Origin.values), name="checkpoint_origin_known"
            ),
            models.CheckConstraint(
                condition=models.Q(standing__in=Standing.values), name="checkpoint_standing_known"
            ),
        )

    def __str__(self) -> str:
        return f"v{self.number}"

    @property
    def objective(self) -> str:
        """What its scores are scores of, see `consolidation.objectives`."""
        told = text_model(self.family, self.config)
        return told["objective"] if told else "classification"

    @property
    def label(self) -> str:
        """As a lineage names it: "v2", or "v2 (deleted)" of one that is in the trash or gone."""
        return _("%(version)s (deleted)") % {"version": self} if self.trashed_at else str(self)


class Alias(Row):
    """A name that points to one checkpoint of a project: `best`, `deployed`, or what people call theirs.

    One that `follows` moves by itself when a night improved the model and its result became current; never
    by a wake, which is not judged. `cycle` is the night that moved it last, None when a person did.
    """

    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=40)
    # Whatever removes a checkpoint has to say first what becomes of the names that people use for it.
    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.RESTRICT, related_name="aliases")
    follows = models.BooleanField(default=False)
    moved_at = models.DateTimeField()
    moved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    cycle = models.ForeignKey("cycles.Cycle", null=True, on_delete=models.SET_NULL, related_name="+")

    objects = VisibleThroughProject["Alias"].as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(fields=["project", "name"], name="alias_name_once"),)

    def __str__(self) -> str:
        return self.name


class DownloadLink(Row):
    """A link by which one person's program fetches one download without a login, for five minutes.

    It ends earlier with the login that made it (webapp/checkpoints/links.py).
    """

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    session_key = models.CharField(max_length=40)
    what = models.CharField(max_length=8)
    etag = models.CharField(max_length=80)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=["user", "expires_at"], name="download_link_by_user"),)

    def __str__(self) -> str:
        return f"{self.what} of {self.checkpoint_id}"


class VisibleThroughCheckpoint(VisibleQuerySet["Score"]):
    """Scores belong to a checkpoint."""

    workspace_path = "checkpoint__project__workspace"


class Score(Row):
    """One cell of the retention matrix: a checkpoint's score on one task's proof probe.

    `value` is a fraction of 1; `correct` keeps each answer (`consolidation.answers`, proof order), so that
    every metric and interval can be computed again. A `typed` one was measured elsewhere and has neither.
    """

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.CASCADE, related_name="scores")
    task = models.ForeignKey("projects.Task", on_delete=models.CASCADE, related_name="scores")
    cycle = models.ForeignKey("cycles.Cycle", null=True, on_delete=models.SET_NULL, related_name="scores")
    value = models.FloatField()
    examples = models.PositiveIntegerField(default=0)
    correct = models.BinaryField(default=b"")
    typed = models.BooleanField(default=False)

    objects = VisibleThroughCheckpoint.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["checkpoint", "task"], name="score_once"),)

    def __str__(self) -> str:
        return f"{self.value:.3f}"
