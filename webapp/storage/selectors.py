"""What the storage page shows: who takes the room, and what the trash holds. No model of its own."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db.models import Q
from django.utils.translation import gettext as _

from webapp.checkpoints.models import Alias, Checkpoint
from webapp.core.references import trash_frees
from webapp.core.store import promised_to_cycles, promised_to_uploads, workspace_used_bytes
from webapp.memories.models import RecordSet
from webapp.memories.trash import set_name
from webapp.projects.models import Project
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    from webapp.accounts.models import Workspace

T = TypeVar("T")
BIGGEST_SHOWN: Final = 12
TRASH_SHOWN: Final = 200


@dataclass(frozen=True)
class Meter:
    """Room of a workspace, in bytes: `used` is stored, `promised` to uploads under way and to cycles."""

    quota: int
    used: int
    to_uploads: int
    to_cycles: int
    trash_frees: int

    @property
    def promised(self) -> int:
        return self.to_uploads + self.to_cycles

    @property
    def left(self) -> int:
        """What the next upload may take."""
        return max(0, self.quota - self.used - self.promised)

    @property
    def taken(self) -> int:
        return self.used + self.promised

    @property
    def warn(self) -> int:
        return int(self.quota * 0.8)

    @property
    def full(self) -> int:
        return int(self.quota * 0.95)


def meter_of(workspace: Workspace, *, trash: bool = True) -> Meter:
    """How the quota is taken. At most four queries; three without `trash`."""
    return Meter(
        quota=workspace.quota_bytes,
        used=workspace_used_bytes(workspace),
        to_uploads=promised_to_uploads(workspace),
        to_cycles=promised_to_cycles(workspace),
        trash_frees=trash_frees(workspace.pk) if trash else 0,
    )


@dataclass(frozen=True)
class Shares:
    """Bytes by project and by kind; every content counts once, for whoever had it first.

    Attributes:
        projects: [(project, bytes, thousandths of all)], the largest first.
        kinds: [(words, bytes, thousandths of all)], the largest first.
    """

    projects: list[tuple[Project, int, int]]
    kinds: list[tuple[str, int, int]]


def shares_of(workspace: Workspace) -> Shares:
    """Who takes the room of the workspace. Four queries."""
    sizes = dict(StoredFile.objects.filter(workspace=workspace).values_list("sha256", "size_bytes"))
    by_project: dict[UUID, int] = defaultdict(int)
    by_kind: dict[str, int] = defaultdict(int)
    for sha256, project_id, kind in _named(workspace):
        size = sizes.pop(sha256, 0)
        by_project[project_id] += size
        by_kind[kind] += size
    if sizes:
        by_kind[_("On its way out")] += sum(sizes.values())
    projects = Project.objects.filter(workspace=workspace).only("name")
    return Shares(
        projects=_largest_first([(project, by_project[project.pk]) for project in projects]),
        kinds=_largest_first(by_kind.items()),
    )


def _largest_first(found: Iterable[tuple[T, int]]) -> list[tuple[T, int, int]]:
    rows = sorted((row for row in found if row[1]), key=lambda row: -row[1])
    total = sum(size for _name, size in rows)
    return [(name, size, 1000 * size // total) for name, size in rows]


def _named(workspace: Workspace) -> Iterator[tuple[str, UUID, str]]:
    """(content, project, kind) of all that needs a file: what is in use before what is in the trash."""
    own = Q(project__workspace=workspace, purged_at__isnull=True)
    columns = ("project_id", "trashed_at", "sha256", "extras_sha256", "fisher_sha256")
    versions = Checkpoint.everything.filter(own).order_by("created_at").values_list(*columns)
    more = ("project_id", "trashed_at", "sha256", "use", "replaced_at")
    sets = RecordSet.everything.filter(own).order_by("created_at").values_list(*more)
    trash: list[tuple[str, UUID, str]] = []
    for project, trashed, weights, extras, fisher in versions:
        for sha256, kind in ((weights, _("Weights")), (extras, _("Companion files")), (fisher, _("Fisher"))):
            if sha256 and trashed:
                trash.append((sha256, project, _("Trash")))
            elif sha256:
                yield sha256, project, kind
    words = {"memories": _("Memories"), "probe": _("Probes"), "training": _("Training sets")}
    replaced: list[tuple[str, UUID, str]] = []
    for project, trashed, sha256, use, replaced_at in sets:
        if trashed:
            trash.append((sha256, project, _("Trash")))
        elif replaced_at:
            replaced.append((sha256, project, _("Replaced records")))
        else:
            yield sha256, project, words[use]
    yield from chain(replaced, trash)


@dataclass(frozen=True)
class Item:
    """Something that takes room: a version or a record set. `row` is a Checkpoint or a RecordSet.

    Attributes:
        name: "v3" or "Probe of “returns”".
        note: what else there is to say in a word: current, aliases, replaced.
        keeps: it cannot be put into the trash as things are (a cycle may use it on top of that).
    """

    row: Any
    name: str
    note: str = ""
    keeps: bool = False

    @property
    def is_checkpoint(self) -> bool:
        return isinstance(self.row, Checkpoint)

    @property
    def project(self) -> Project:
        project: Project = self.row.project
        return project

    @property
    def size_bytes(self) -> int:
        return int(self.row.size_bytes)


def biggest_of(workspace: Workspace) -> list[Item]:
    """The largest versions and record sets that are not in the trash. Three queries."""
    own = {"project__workspace": workspace}
    versions = list(
        Checkpoint.objects.filter(**own)
        .select_related("project")
        .defer("tensors", "config")
        .order_by("-size_bytes", "-created_at")[:BIGGEST_SHOWN]
    )
    names: dict[UUID, list[str]] = defaultdict(list)
    for alias in Alias.objects.filter(checkpoint__in=versions):
        names[alias.checkpoint_id].append(alias.name)
    sets = RecordSet.objects.filter(**own).select_related("project", "task")
    items = [_version(row, names[row.pk]) for row in versions]
    for row in sets.order_by("-size_bytes", "-created_at")[:BIGGEST_SHOWN]:
        items.append(Item(row, set_name(row), _("replaced") if row.replaced_at else ""))
    return sorted(items, key=lambda item: -item.size_bytes)[:BIGGEST_SHOWN]


def _version(row: Checkpoint, aliases: list[str]) -> Item:
    current = row.project.current_id == row.pk
    words = [_("current")] if current else []
    return Item(row, str(row), ", ".join([*words, *aliases]), keeps=bool(current or aliases))


def trash_of(workspace: Workspace) -> list[Item]:
    """What is in the trash, the newest first, at most TRASH_SHOWN. Two queries."""
    own = {"project__workspace": workspace, "trashed_at__isnull": False, "purged_at__isnull": True}
    versions = Checkpoint.everything.filter(**own).select_related("project", "trashed_by")
    sets = RecordSet.everything.filter(**own).select_related("project", "task", "trashed_by")
    items = [Item(row, str(row)) for row in versions.defer("tensors").order_by("-trashed_at")[:TRASH_SHOWN]]
    items += [Item(row, set_name(row)) for row in sets.order_by("-trashed_at")[:TRASH_SHOWN]]

    def since(item: Item) -> datetime:
        moment: datetime = item.row.trashed_at
        return moment

    return sorted(items, key=since, reverse=True)[:TRASH_SHOWN]


def trash_counts(workspace: Workspace) -> tuple[int, int]:
    """How many versions and how many record sets are in the trash. Two queries."""
    own = Q(project__workspace=workspace, trashed_at__isnull=False, purged_at__isnull=True)
    return Checkpoint.everything.filter(own).count(), RecordSet.everything.filter(own).count()
