"""Kinds, states and verdicts of a cycle, and which way a state may go. This table is the only definition."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _


class Kind(models.TextChoices):
    """What a cycle does to the model."""

    WAKE = "wake", _("Wake")
    SCORE = "score", _("Score")
    SLEEP = "sleep", _("Sleep")


class Verdict(models.TextChoices):
    """What a night proved."""

    IMPROVED = "improved", _("Improved")
    UNCHANGED = "unchanged", _("Unchanged")
    REJECTED = "rejected", _("Rejected")


class State(models.TextChoices):
    """Where a cycle stands."""

    SCHEDULED = "scheduled", _("Scheduled")
    QUEUED = "queued", _("Waiting")
    BLOCKED = "blocked", _("Blocked")
    STARTING = "starting", _("Starting")
    RUNNING = "running", _("Running")
    PAUSING = "pausing", _("Pausing")
    PAUSED = "paused", _("Paused")
    CANCELLING = "cancelling", _("Cancelling")
    PUBLISHING = "publishing", _("Publishing")
    SUCCEEDED = "succeeded", _("Succeeded")
    REJECTED = "rejected", _("Rejected")
    CANCELLED = "cancelled", _("Cancelled")
    FAILED = "failed", _("Failed")
    QUARANTINED = "quarantined", _("Quarantined")


_ACTIVE = (State.STARTING, State.RUNNING, State.PAUSING, State.CANCELLING, State.PUBLISHING)

# A worker holds the cycle under a lease.
ACTIVE: Final = frozenset(state.value for state in _ACTIVE)
TERMINAL: Final = frozenset(
    state.value
    for state in (State.SUCCEEDED, State.REJECTED, State.CANCELLED, State.FAILED, State.QUARANTINED)
)

UNFINISHED: Final = frozenset(State.values) - TERMINAL

TRANSITIONS: Final[dict[str, frozenset[str]]] = {
    "": frozenset({State.SCHEDULED, State.QUEUED}),
    State.SCHEDULED: frozenset({State.QUEUED, State.CANCELLED}),
    State.QUEUED: frozenset({State.STARTING, State.BLOCKED, State.PAUSED, State.CANCELLED, State.FAILED}),
    State.BLOCKED: frozenset({State.QUEUED, State.PAUSED, State.CANCELLED, State.FAILED}),
    State.STARTING: frozenset(
        {
            State.RUNNING, State.QUEUED, State.PAUSING, State.CANCELLING, State.CANCELLED, State.FAILED,
            State.QUARANTINED,
        }
    ),
    State.RUNNING: frozenset(
        {State.PUBLISHING, State.PAUSING, State.QUEUED, State.CANCELLING, State.FAILED, State.QUARANTINED}
    ),
    State.PAUSING: frozenset(
        {
            State.PAUSED, State.PUBLISHING, State.QUEUED, State.CANCELLING, State.FAILED, State.QUARANTINED,
        }
    ),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.CANCELLING: frozenset({State.CANCELLED}),
    State.PUBLISHING: frozenset(
        {State.SUCCEEDED, State.REJECTED, State.QUEUED, State.FAILED, State.QUARANTINED}
    ),
    **{terminal: frozenset() for terminal in sorted(TERMINAL)},
}  # fmt: skip
