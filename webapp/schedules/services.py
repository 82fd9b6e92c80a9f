"""Making schedules, and firing those that are due: each time once, whoever asks and however often."""

from __future__ import annotations

import logging
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models.functions import Now

from consolidation.errors import NocturneInputError
from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.errors import Conflict, InvalidInput, NocturneError, cut
from webapp.cycles.checks import clean_recipe, reads_texts
from webapp.cycles.choices import UNFINISHED, Kind, State
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.cycles.sleep_plan import known_wake
from webapp.cycles.steering import cycle_resume
from webapp.schedules.models import Outcome, Schedule, ScheduleFire
from webapp.schedules.selectors import next_times
from webapp.schedules.windows import WINDOW_OPEN, clean_until, window_end

if TYPE_CHECKING:
    from uuid import UUID

    from webapp.accounts.models import User
    from webapp.projects.models import Project

logger = logging.getLogger(__name__)
# After an outage a night that should have begun longer ago than this is not caught up on.
GRACE = timedelta(hours=1)
# How long a deleted schedule can be brought back.
UNDO = timedelta(days=1)
_MINUTES_OF_GRACE = 60
_LATE = "Nothing was running at the time, and more than an hour has passed since."


def _clean(
    project: Project,
    name: str,
    cron: str,
    timezone: str,
    preset: str,
    until: str | time | None,
    now: datetime,
) -> dict[str, object]:
    title = " ".join(name.split())
    if not title or len(title) > 80 or not title.isprintable():
        raise InvalidInput("schedule.name", "A schedule needs a name of at most 80 printable characters.")
    line = " ".join(cron.split())
    if len(line) > 120:
        raise InvalidInput(
            "schedule.cron", f"The cron line has {len(line)} characters; at most 120 are kept."
        )
    recipe, preset_name = clean_recipe(Kind.SLEEP, {}, preset or "night", text=reads_texts(project.current))
    first = next_times(line, timezone, count=1, after=now)[0]
    return {
        "name": title,
        "cron": line,
        "timezone": timezone,
        "preset": preset_name,
        "recipe": recipe,
        "until": clean_until(until),
        "next_fire_at": first,
    }


@transaction.atomic
def schedule_create(
    *,
    actor: User,
    project: Project,
    name: str,
    cron: str,
    timezone: str,
    preset: str = "night",
    until: str | time | None = None,
) -> Schedule:
    """Let the project sleep by itself.

    Args:
        until: the end of the window, a time of day in the zone; what has not finished then pauses and goes on
            at the next time. None or "" for no end.

    Raises:
        NotFound, Forbidden: the person may not (the role admin is needed).
        InvalidInput: `schedule.name`, `schedule.cron`, `schedule.timezone`, `schedule.until`,
            `cycle.param_range` (the preset).
    """
    require_role(actor, project.workspace, Role.ADMIN)
    fields = _clean(project, name, cron, timezone, preset, until, database_now())
    schedule = Schedule.objects.create(project=project, created_by=actor, **fields)
    _audit(actor, "schedule_create", schedule)
    return schedule


@transaction.atomic
def schedule_update(
    *,
    actor: User,
    schedule: Schedule,
    name: str | None = None,
    cron: str | None = None,
    timezone: str | None = None,
    preset: str | None = None,
    until: str | time | None = None,
    enabled: bool | None = None,
) -> Schedule:
    """Change what is given; the next time is computed again from now. An `until` of "" takes the window away.

    Raises like `schedule_create`.
    """
    require_role(actor, schedule.project.workspace, Role.ADMIN)
    row = Schedule.objects.select_for_update().get(pk=schedule.pk)
    fields = _clean(
        row.project,
        row.name if name is None else name,
        row.cron if cron is None else cron,
        row.timezone if timezone is None else timezone,
        row.preset if preset is None else preset,
        row.until if until is None else until,
        database_now(),
    )
    for key, value in fields.items():
        setattr(row, key, value)
    if enabled is not None:
        row.enabled = enabled
    row.save()
    _audit(actor, "schedule_update", row)
    return row


@transaction.atomic
def schedule_delete(*, actor: User, schedule: Schedule) -> None:
    """Remove it; the cycles that it started stay. For a day `schedule_restore` brings it back."""
    require_role(actor, schedule.project.workspace, Role.ADMIN)
    if Schedule.objects.filter(pk=schedule.pk).update(deleted_at=Now()):
        _audit(actor, "schedule_delete", schedule)


@transaction.atomic
def schedule_restore(*, actor: User, schedule: Schedule) -> None:
    """Bring a deleted one back as it was; what came due meanwhile is not caught up on."""
    require_role(actor, schedule.project.workspace, Role.ADMIN)
    first = next_times(schedule.cron, schedule.timezone, count=1, after=database_now())[0]
    deleted = Schedule.everything.filter(pk=schedule.pk, deleted_at__isnull=False)
    if deleted.update(deleted_at=None, next_fire_at=first):
        _audit(actor, "schedule_restore", schedule)


def schedules_forget() -> int:
    """Remove the rows of schedules that were deleted more than a day ago; how many it were."""
    old = Schedule.everything.filter(deleted_at__lt=Now() - UNDO)
    return sum(schedule.delete()[0] > 0 for schedule in old)


def schedules_fire_due(now: datetime | None = None) -> int:
    """Fire every enabled schedule whose time has come; the number of cycles started.

    Any number of clocks may call this at once: the unique (schedule, fire_at) lets one of them win each time.
    A time that came more than an hour ago (the machine was off) is recorded as missed, one whose
    predecessor still waits or runs as skipped.
    """
    moment = now or database_now()
    due = Schedule.objects.filter(enabled=True, next_fire_at__lte=moment).values_list("pk", flat=True)
    return sum(_shielded(pk, moment) for pk in due.order_by("next_fire_at"))


def _shielded(schedule_id: UUID, now: datetime) -> int:
    """One schedule that cannot be fired must not starve the ones behind it."""
    try:
        return _fire(schedule_id, now)
    except (NocturneError, NocturneInputError) as error:
        # Its zone or its line is not known any more: it waits, switched off, for somebody to mend it.
        logger.warning("schedule %s is switched off: %s", schedule_id, error)
        Schedule.objects.filter(pk=schedule_id).update(enabled=False)
    except Exception:
        logger.exception("schedule %s could not be fired", schedule_id)
    return 0


@transaction.atomic
def _fire(schedule_id: UUID, now: datetime) -> int:
    schedule = (
        Schedule.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(pk=schedule_id, enabled=True, next_fire_at__lte=now)
        .select_related("project__workspace", "created_by")
        .first()
    )
    if schedule is None or schedule.next_fire_at is None:
        return 0
    fire_at = schedule.next_fire_at
    late = now - fire_at > GRACE
    schedule.next_fire_at = _following(schedule, fire_at, now, late=late)
    schedule.save(update_fields=["next_fire_at"])
    fire, new = ScheduleFire.objects.get_or_create(
        schedule=schedule, fire_at=fire_at, defaults={"outcome": Outcome.MISSED, "reason": _LATE}
    )
    return _begin(schedule, fire) if new and not late else 0


def _following(schedule: Schedule, fire_at: datetime, now: datetime, *, late: bool) -> datetime:
    """The next time. What an outage swallowed is neither written down nor caught up on one by one: at most
    the newest time of the last hour is still fired."""
    if not late:
        return next_times(schedule.cron, schedule.timezone, count=1, after=max(now, fire_at))[0]
    times = next_times(schedule.cron, schedule.timezone, count=_MINUTES_OF_GRACE + 1, after=now - GRACE)
    passed = [time for time in times if time <= now]
    return passed[-1] if passed else times[0]


def _begin(schedule: Schedule, fire: ScheduleFire) -> int:
    """Start the cycle of a fresh fire, let the one go on whose window closed, or write down why neither."""
    outcome, reason, cycle = Outcome.STARTED, "", None
    end = window_end(schedule, fire.fire_at)
    before = Cycle.objects.filter(schedule=schedule, state__in=UNFINISHED).first()
    if before is not None and before.state == State.PAUSED and before.pause_at is not None:
        outcome, reason = Outcome.RESUMED, f"{before} goes on: its window had closed before it was done."
        try:
            cycle_resume(actor=None, cycle=before, reason=WINDOW_OPEN, pause_at=end)
        except Conflict as error:  # somebody was quicker
            outcome, reason = Outcome.SKIPPED, cut(error.message, 200)
    elif before is not None:
        paused = before.state == State.PAUSED
        outcome = Outcome.SKIPPED
        reason = f"{before} is paused." if paused else "The night before has not ended yet."
    else:
        try:
            with transaction.atomic():
                cycle = cycle_start(
                    actor=None,
                    project=schedule.project,
                    kind=Kind.SLEEP,
                    recipe=_with_wake(schedule),
                    preset=schedule.preset,
                    schedule=schedule,
                )
                Cycle.objects.filter(pk=cycle.pk).update(pause_at=end)
        except (NocturneError, NocturneInputError) as error:
            outcome, reason = Outcome.SKIPPED, cut(error.message, 200)
    fire.outcome, fire.reason, fire.cycle = outcome, reason, cycle
    fire.save(update_fields=["outcome", "reason", "cycle"])
    logger.info("schedule %s at %s: %s %s", schedule.pk, fire.fire_at.isoformat(), outcome, reason)
    return int(cycle is not None)


def _with_wake(schedule: Schedule) -> dict[str, Any]:
    """The schedule's recipe; what it leaves open of the wake, tonight's checkpoint fills in."""
    known = known_wake(schedule.project.current)
    return dict(schedule.recipe) | {k: v for k, v in known.items() if schedule.recipe.get(k) is None}


def database_now() -> datetime:
    """The database's clock: the only one that decides."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        (moment,) = cursor.fetchone()
    assert isinstance(moment, datetime)  # noqa: S101  (for the type checker)
    return moment


def _audit(actor: User, verb: str, schedule: Schedule) -> None:
    audit.record(
        workspace=schedule.project.workspace,
        actor=actor,
        verb=verb,
        target=schedule,
        name=schedule.name,
        cron=schedule.cron,
        timezone=schedule.timezone,
        preset=schedule.preset,
        until=schedule.until.isoformat("minutes") if schedule.until else "",
        enabled=schedule.enabled,
    )
