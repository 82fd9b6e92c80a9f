"""All that the home page shows, in a fixed number of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Case, IntegerField, Value, When

from webapp.cycles.choices import ACTIVE, TERMINAL, Kind, State
from webapp.cycles.gains import gains_of
from webapp.cycles.held import with_held
from webapp.cycles.models import Cycle
from webapp.cycles.waiting import with_blocker
from webapp.fleet.selectors import workers_alive
from webapp.projects.models import Project
from webapp.schedules.models import Schedule

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from webapp.accounts.models import User

RUNNING_SHOWN = 12
NEXT_SHOWN = 5
VERDICTS_SHOWN = 8
WAITING = (State.QUEUED, State.BLOCKED, State.PAUSED)


def cycles_open(user: User | AnonymousUser) -> QuerySet[Cycle]:
    """Cycles that run or wait, the running ones first."""
    running = Case(When(state__in=ACTIVE, then=Value(0)), default=Value(1), output_field=IntegerField())
    return (
        Cycle.objects.visible_to(user)
        .filter(state__in=[*ACTIVE, *WAITING])
        .select_related("project", "base", "worker")
        .order_by(running, "queued_at", "number")
    )


def tonight(user: User | AnonymousUser) -> dict[str, Any]:
    """The home page's context; lists are cut to what fits a screen."""
    sleeps = (
        Cycle.objects.visible_to(user)
        .filter(kind=Kind.SLEEP, state__in=TERMINAL)
        .select_related("project", "base", "result")
        .order_by("-finished_at")[:VERDICTS_SHOWN]
    )
    schedules = (
        Schedule.objects.visible_to(user)
        .filter(enabled=True, next_fire_at__isnull=False)
        .select_related("project")
        .order_by("next_fire_at")[:NEXT_SHOWN]
    )
    open_cycles = list(with_blocker(with_held(cycles_open(user)))[:RUNNING_SHOWN])
    return {
        "open_cycles": open_cycles,
        "schedules": list(schedules),
        "sleeps": [{"cycle": cycle, "gains": gains_of(cycle)} for cycle in sleeps],
        "workers": list(workers_alive()),
        "projects": list(
            Project.objects.visible_to(user).select_related("current").order_by("-created_at")[:6]
        ),
    }
