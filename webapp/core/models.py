"""What every app shares: the shape of a row that people see, the audit log, and the installation itself."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from webapp.core.visibility import VisibleQuerySet


class Row(models.Model):
    """A row with a UUID, as it appears in addresses, and the moment it was made."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True


class AuditEntry(models.Model):
    """Who did what to which object, and when. Rows are only ever added."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(
        "accounts.Workspace", on_delete=models.CASCADE, related_name="audit_entries"
    )
    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    verb = models.CharField(max_length=64)
    object_type = models.CharField(max_length=40)
    object_id = models.UUIDField()
    detail = models.JSONField(default=dict)

    objects = VisibleQuerySet["AuditEntry"].as_manager()

    class Meta:
        indexes = (models.Index(fields=["workspace", "-id"], name="audit_by_workspace"),)

    def __str__(self) -> str:
        return f"{self.verb} {self.object_type}"


class Installation(models.Model):
    """This installation: one row, made by the migration. It names the store (webapp/core/store_identity.py).

    `store_marked_at` is when a folder first got that name; from then on a folder without it is not the store.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    store_id = models.UUIDField(default=uuid.uuid4, editable=False)
    store_marked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="installation_one"),)

    def __str__(self) -> str:
        return str(self.store_id)
