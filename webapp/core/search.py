"""Finding anything by a few words: what the key `/` opens, and the page behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _

from webapp.checkpoints.models import Checkpoint
from webapp.cycles.models import Cycle
from webapp.fleet.models import Worker
from webapp.projects.models import Project, Task
from webapp.schedules.models import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import Model, QuerySet

    from webapp.accounts.models import User

LONGEST: Final = 120
TERMS: Final = 6
EACH: Final = 6
_NUMBER: Final = re.compile(r"\d{1,9}")
_VERSION: Final = re.compile(r"v?(\d{1,9})")
_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Hit:
    """One thing that was found: what it is called, where it belongs, and where it is."""

    title: str
    where: str
    url: str


@dataclass(frozen=True)
class Group:
    """Things of one kind."""

    name: str
    hits: list[Hit]


def search(user: User | AnonymousUser, text: str) -> list[Group]:
    """What the person may see and every word fits: at most six of a kind, the newest first; empty kinds are
    left out. "sleep 7", "v3", a task, a file's name and the beginning of its SHA-256 (six digits or more) all
    find; words of the project's name narrow any of them. Seven queries at most.
    """
    # PostgreSQL takes no NUL, and nothing that is found has a character that cannot be printed.
    terms = "".join(c if c.isprintable() else " " for c in text[:LONGEST]).split()[:TERMS]
    if not terms:
        return []
    kinds: tuple[tuple[str, QuerySet[Any], Callable[[str], Q], Callable[[Any], Hit]], ...] = (
        (_("Projects"), Project.objects.visible_to(user), _of_project, _project),
        (_("Cycles"), Cycle.objects.visible_to(user), _of_cycle, _cycle),
        (_("Checkpoints"), Checkpoint.objects.visible_to(user), _of_checkpoint, _checkpoint),
        (_("Tasks"), Task.objects.visible_to(user), _named, _task),
        (_("Schedules"), Schedule.objects.visible_to(user), _named, _schedule),
        (_("Workers"), Worker.objects.all(), _of_worker, _worker),
    )
    groups = [
        Group(name, [shown(row) for row in _fitting(rows, terms, fits)]) for name, rows, fits, shown in kinds
    ]
    groups.append(
        Group(_("Pages"), [page for page in pages() if all(t.lower() in page.title.lower() for t in terms)])
    )
    return [group for group in groups if group.hits]


def pages() -> list[Hit]:
    """The places that are always there."""
    places = (
        (_("Tonight"), "home"), (_("All projects"), "project_list"), (_("New project"), "project_create"),
        (_("All schedules"), "schedule_overview"), (_("Fleet"), "fleet"), (_("Settings"), "settings"),
        (_("Members"), "settings_members"), (_("Audit log"), "settings_audit"),
        (_("Storage"), "storage"), (_("Trash"), "trash"),
    )  # fmt: skip
    return [Hit(title, "", reverse(name)) for title, name in places]


def _fitting(rows: QuerySet[Any], terms: Iterable[str], fits: Callable[[str], Q]) -> list[Any]:
    for term in terms:
        rows = rows.filter(fits(term))
    if hasattr(rows.model, "project"):
        rows = rows.select_related("project")
    return list(rows.order_by("-created_at")[:EACH])


# ---------------------------------------------------------------- what a word may fit


def _number(term: str) -> Q:
    return Q(number=int(term)) if _NUMBER.fullmatch(term) else Q()


def _version(term: str) -> Q:
    found = _VERSION.fullmatch(term.lower())
    return Q(number=int(found.group(1))) if found else Q()


def _any(*fits: Q) -> Q:
    """Q() fits everything; as one of several it would make the others meaningless."""
    whole = Q(pk__in=[])
    for fit in fits:
        if fit:
            whole |= fit
    return whole


def _of_project(term: str) -> Q:
    return Q(name__icontains=term)


def _of_cycle(term: str) -> Q:
    begun = Q(kind__istartswith=term) | Q(preset__istartswith=term) | Q(state__istartswith=term)
    return _any(_number(term), begun, Q(verdict__istartswith=term), Q(project__name__icontains=term))


def _of_checkpoint(term: str) -> Q:
    digest = Q(sha256__startswith=term.lower()) if _DIGEST.fullmatch(term.lower()) else Q()
    return _any(_version(term), digest, Q(filename__icontains=term), Q(project__name__icontains=term))


def _named(term: str) -> Q:
    return Q(name__icontains=term) | Q(project__name__icontains=term)


def _of_worker(term: str) -> Q:
    return Q(name__icontains=term) | Q(device__icontains=term)


# ---------------------------------------------------------------- how it is shown


def _at(name: str, row: Model) -> str:
    return reverse(name, args=[row.pk])


def _project(row: Project) -> Hit:
    return Hit(row.name, "", _at("project_detail", row))


def _cycle(row: Cycle) -> Hit:
    how = row.get_verdict_display() or row.get_state_display()
    return Hit(f"{row}", f"{row.project.name} · {how}", _at("cycle_detail", row))


def _checkpoint(row: Checkpoint) -> Hit:
    where = f"{row.project.name} · {row.filename}" if row.filename else row.project.name
    return Hit(f"{row}", where, _at("checkpoint_detail", row))


def _task(row: Task) -> Hit:
    return Hit(row.name, row.project.name, _at("records_list", row.project))


def _schedule(row: Schedule) -> Hit:
    return Hit(row.name, row.project.name, _at("schedule_detail", row))


def _worker(row: Worker) -> Hit:
    return Hit(row.name, row.device, reverse("fleet"))
