"""Cycles: the jobs that wake, score or put a model to sleep, and the record of how they went."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.core.models import Row
from webapp.core.visibility import VisibleThroughCycle, VisibleThroughProject
from webapp.cycles.choices import ACTIVE, UNFINISHED, Kind, State, Verdict


class Cycle(Row):
    """One job on one project. Every write of a worker carries (cycle, epoch); a stale one touches no row.

    The recipe and the record sets are frozen when the cycle is made; `base` may be empty until it starts
    (a wake in a queue of wakes begins from whatever is current then). `seq` numbers the frames.
    """

    project = models.ForeignKey("projects.Project", on_delete=models.CASCADE, related_name="cycles")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=5, choices=Kind.choices)
    state = models.CharField(max_length=11, choices=State.choices, default=State.QUEUED)
    preset = models.CharField(max_length=40, blank=True)
    recipe = models.JSONField(default=dict)
    base = models.ForeignKey(
        "checkpoints.Checkpoint", null=True, blank=True, on_delete=models.SET_NULL, related_name="cycles_from"
    )
    reference = models.ForeignKey(
        "checkpoints.Checkpoint", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # A wake with no checkpoint to begin from builds one: {"family", "config", "seed"}.
    init = models.JSONField(null=True, blank=True)
    memories = models.ManyToManyField("memories.RecordSet", related_name="cycles_as_memories", blank=True)
    probes = models.ManyToManyField("memories.RecordSet", related_name="cycles_as_probes", blank=True)
    data = models.ForeignKey(
        "memories.RecordSet", null=True, blank=True, on_delete=models.SET_NULL, related_name="cycles_as_data"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    schedule = models.ForeignKey(
        "schedules.Schedule", null=True, blank=True, on_delete=models.SET_NULL, related_name="cycles"
    )
    retry_of = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="retries"
    )
    protocol = models.PositiveIntegerField()

    epoch = models.PositiveIntegerField(default=0)
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=5)
    # What it asks of a worker: a kind of device ("" is any), memory there, room for its work (0: not known).
    device = models.CharField(max_length=8, blank=True, db_default="")
    memory_bytes = models.BigIntegerField(default=0, db_default=0)
    disk_bytes = models.BigIntegerField(default=0, db_default=0)
    # What it publishes at most; promised to it, in the quota and on the store's disk, until it ends.
    store_bytes = models.BigIntegerField(default=0, db_default=0)
    # Ids of the record sets that it learns or replays: a link to one that was deleted vanishes silently.
    used_sets = models.JSONField(default=list, blank=True, db_default=models.Value([], models.JSONField()))
    # What it has read, from its first attempt on: {id of a record set: its count of erasures then}.
    read_sets = models.JSONField(default=dict, blank=True, db_default=models.Value({}, models.JSONField()))
    # What an attempt after one without memory changes in the recipe: {"micro_batch": n}.
    adapted = models.JSONField(default=dict, blank=True, db_default=models.Value({}, models.JSONField()))
    # The end of its schedule's window; from then on it is paused until the next one opens. A person who
    # pauses or resumes it takes it out of its window.
    pause_at = models.DateTimeField(null=True, blank=True)
    # A person let it go on for longer: this share of the planned steps on top.
    extended = models.FloatField(default=0, db_default=0)
    # Trainers that died one after the other without a snapshot in between; `died_at` is the last one's id.
    deaths = models.PositiveIntegerField(default=0, db_default=0)
    died_at = models.BigIntegerField(default=0, db_default=0)
    seq = models.BigIntegerField(default=0)
    worker = models.ForeignKey(
        "fleet.Worker", null=True, blank=True, on_delete=models.SET_NULL, related_name="cycles"
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    stage = models.CharField(max_length=20, blank=True)
    progress = models.FloatField(default=0)
    step = models.BigIntegerField(default=0)
    total_steps = models.BigIntegerField(default=0)
    environment = models.JSONField(default=dict)
    # Over all attempts; "measured" by counters or "estimated" from processor time.
    energy_wh = models.FloatField(null=True, blank=True)
    energy_source = models.CharField(max_length=9, blank=True)
    # Since then its stream is kept as events and rollups only, no longer frame by frame.
    compacted_at = models.DateTimeField(null=True, blank=True)

    verdict = models.CharField(max_length=9, choices=Verdict.choices, blank=True)
    reasons = models.JSONField(default=list)
    report = models.JSONField(default=dict)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    objects = VisibleThroughProject["Cycle"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["project", "number"], name="cycle_number_once"),
            models.UniqueConstraint(
                fields=["project"], condition=models.Q(state__in=sorted(ACTIVE)), name="cycle_one_active"
            ),
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="cycle_state_known"),
            models.CheckConstraint(condition=models.Q(kind__in=Kind.values), name="cycle_kind_known"),
        )
        indexes = (
            models.Index(fields=["queued_at", "id"], condition=models.Q(state="queued"), name="cycle_queue"),
            models.Index(
                fields=["lease_expires_at"], condition=models.Q(state__in=sorted(ACTIVE)), name="cycle_leases"
            ),
            models.Index(fields=["project", "-number"], name="cycle_by_project"),
            models.Index(
                fields=["project", "number"],
                condition=models.Q(state__in=sorted(UNFINISHED)),
                name="cycle_unfinished",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.number}"


class Transition(models.Model):
    """One change of state; together they replay to the state."""

    id = models.BigAutoField(primary_key=True)
    cycle = models.ForeignKey(Cycle, on_delete=models.CASCADE, related_name="transitions")
    at = models.DateTimeField()
    from_state = models.CharField(max_length=11, choices=State.choices, blank=True)
    to_state = models.CharField(max_length=11, choices=State.choices)
    epoch = models.PositiveIntegerField()
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    reason = models.TextField(blank=True)

    objects = VisibleThroughCycle["Transition"].as_manager()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return _("%(old)s to %(new)s") % {"old": self.from_state or "new", "new": self.to_state}


class Snapshot(models.Model):
    """A durable place to go on from: written, synced and renamed before this row exists.

    `folder` is relative to settings.CYCLES_DIR.
    """

    id = models.BigAutoField(primary_key=True)
    cycle = models.ForeignKey(Cycle, on_delete=models.CASCADE, related_name="snapshots")
    epoch = models.PositiveIntegerField()
    step = models.BigIntegerField()
    # The engine counts what it writes in a run: several stand at one step.
    number = models.BigIntegerField(default=0, db_default=0)
    stage = models.CharField(max_length=20)
    folder = models.CharField(max_length=255)
    created_at = models.DateTimeField()

    objects = VisibleThroughCycle["Snapshot"].as_manager()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"step {self.step}"
