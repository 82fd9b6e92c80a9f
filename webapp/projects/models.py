"""A project is one model line that should not forget; its tasks are what it learned, in order."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from webapp.core.models import Row
from webapp.core.visibility import VisibleQuerySet, VisibleThroughProject


class Project(Row):
    """One model line. `current` is the one mutable pointer: the checkpoint that people should use."""

    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=120)
    is_demo = models.BooleanField(default=False)
    current = models.ForeignKey(
        "checkpoints.Checkpoint", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Numbers are never reused, so they are counted here and not derived from the rows that are left.
    last_checkpoint_number = models.PositiveIntegerField(default=0)
    last_cycle_number = models.PositiveIntegerField(default=0)

    objects = VisibleQuerySet["Project"].as_manager()

    class Meta:
        indexes = (models.Index(fields=["workspace", "-created_at"], name="project_by_workspace"),)

    def __str__(self) -> str:
        return self.name


class Task(Row):
    """Something that the model learned. `position` is the order of learning, from 1."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    name = models.CharField(max_length=80)
    position = models.PositiveIntegerField()

    objects = VisibleThroughProject["Task"].as_manager()

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(fields=["project", "name"], name="task_name_once"),
            models.UniqueConstraint(fields=["project", "position"], name="task_position_once"),
        )

    def __str__(self) -> str:
        return self.name
