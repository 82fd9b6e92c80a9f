"""When a project sleeps by itself, and the proof that each time fired once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.core.models import Row
from webapp.core.visibility import VisibleQuerySet, VisibleThroughProject

if TYPE_CHECKING:
    from django.db.models import QuerySet

Visible = models.Manager.from_queryset(VisibleThroughProject)


class ScheduleManager(Visible["Schedule"]):
    """Schedules that are there; a deleted one is seen by `everything` alone."""

    def get_queryset(self) -> QuerySet[Schedule]:
        return super().get_queryset().filter(deleted_at__isnull=True)


class Schedule(Row):
    """A cron line in a time zone, with the recipe that each night uses."""

    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=80)
    cron = models.CharField(max_length=120)
    timezone = models.CharField(max_length=64)
    preset = models.CharField(max_length=40)
    recipe = models.JSONField(default=dict)
    # The end of its window by the schedule's zone: what has not finished by then pauses, and goes on at the
    # next time. None: a night takes as long as it takes.
    until = models.TimeField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    next_fire_at = models.DateTimeField(null=True, blank=True)
    # A day during which the deletion can be taken back; then the row goes.
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = ScheduleManager()
    everything = VisibleThroughProject["Schedule"].as_manager()

    class Meta:
        indexes = (
            models.Index(fields=["next_fire_at"], condition=models.Q(enabled=True), name="schedule_due"),
        )

    def __str__(self) -> str:
        return self.name


class Outcome(models.TextChoices):
    """What became of one time."""

    STARTED = "started", _("Started")
    RESUMED = "resumed", _("Resumed")
    SKIPPED = "skipped", _("Skipped")
    MISSED = "missed", _("Missed")


class VisibleThroughSchedule(VisibleQuerySet["ScheduleFire"]):
    """Fires belong to a schedule."""

    workspace_path = "schedule__project__workspace"


class ScheduleFire(Row):
    """One time of one schedule. The unique pair is what makes two clocks harmless."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="fires")
    fire_at = models.DateTimeField()
    outcome = models.CharField(max_length=7, choices=Outcome.choices)
    reason = models.CharField(max_length=200, blank=True)
    cycle = models.OneToOneField(
        "cycles.Cycle", null=True, blank=True, on_delete=models.SET_NULL, related_name="fire"
    )

    objects = VisibleThroughSchedule.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["schedule", "fire_at"], name="schedule_fire_once"),)

    def __str__(self) -> str:
        return f"{self.fire_at:%Y-%m-%d %H:%M} {self.outcome}"
