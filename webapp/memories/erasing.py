"""Erasing records by id or by subject: looked for first, then tombstoned in one transaction.

From its commit on nothing reads them: what begins later has them taken out of the file before it opens it
(`workers.erasing`), and what has read them before is told by the sets' count of erasures, stops, and
publishes nothing.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.db.models import F

from consolidation.errors import NocturneInputError
from consolidation.memory.finding import ID_BYTES, as_ids, ids_at, owners_of, rows_with
from webapp.accounts.choices import Role
from webapp.accounts.models import Workspace
from webapp.accounts.selectors import require_role
from webapp.core import audit
from webapp.core.errors import Conflict, InvalidInput, cut
from webapp.core.store import store_path
from webapp.core.store_identity import store_check
from webapp.memories.models import By, ErasedSet, Erasure, RecordSet, Scope, Tombstone
from webapp.memories.shaped import shaped_directly
from webapp.memories.tombstones import subject_digests, subject_key
from webapp.projects.models import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from django.db.models import QuerySet

    from consolidation.memory.finding import Ids
    from webapp.accounts.models import User

# A page's form has two million bytes.
MOST_IDS: Final = 20_000
MOST_LETTERS: Final = 200
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """What is to be erased. Either `ids` or `subject` says which records.

    Attributes:
        record_set: the set that somebody looks at; its project and workspace are what `scope` means.
        scope: one of `Scope`; with SET the records are named in this set, and copies go wherever they lie in
            the project.
        ids: of records, 16 bytes each.
        subject: an owner's name, as the records give it but for capitals and spaces.
    """

    record_set: RecordSet
    scope: str
    ids: frozenset[bytes] = frozenset()
    subject: str = ""


@dataclass(frozen=True)
class Hit:
    """A set that holds some of them."""

    record_set: RecordSet
    rows: int


@dataclass(frozen=True)
class Findings:
    """What would be erased.

    Attributes:
        hits: the sets, with how many rows each loses.
        ids: the distinct records.
        asked: how many ids were asked for; 0 for a subject.
        unsearched: sets whose files are deleted, so nobody can say what they held.
        looked_at: {set: sha256} of the files that this is about.
    """

    hits: list[Hit]
    ids: frozenset[bytes]
    asked: int
    unsearched: int
    looked_at: dict[UUID, str]

    @property
    def rows(self) -> int:
        """Rows over all sets; a record that lies in two sets is two."""
        return sum(hit.rows for hit in self.hits)


def wanted(*, record_set: RecordSet, scope: str, ids: str = "", subject: str = "") -> Wanted:
    """A request as a person writes it: ids in hex, one a line or with commas between, or a subject's name.

    Raises:
        InvalidInput: `erase.scope`, `erase.nothing_asked`, `erase.ids`, `erase.subject`.
    """
    if scope not in Scope.values:
        raise InvalidInput("erase.scope", f"“{cut(scope)}” is none of {', '.join(Scope.values)}.")
    words, name = ids.replace(",", " ").split(), subject_key(subject)
    if bool(words) == bool(name):
        raise InvalidInput(
            "erase.nothing_asked",
            "Say which records are meant: by their ids, or by the name of their owner, and not by both.",
        )
    if len(words) > MOST_IDS:
        raise InvalidInput(
            "erase.ids",
            f"{len(words):,} ids are more than the {MOST_IDS:,} that fit one request. Erase them in parts.",
        )
    if len(name) > MOST_LETTERS:
        raise InvalidInput("erase.subject", f"The name of a subject has at most {MOST_LETTERS} letters.")
    return Wanted(record_set, scope, frozenset(_id(word) for word in words), subject if name else "")


def _id(word: str) -> bytes:
    try:
        found = bytes.fromhex(word)
    except ValueError:
        found = b""
    if len(found) != ID_BYTES:
        raise InvalidInput(
            "erase.ids",
            f"“{cut(word, 40)}” is no id of a record; an id is {2 * ID_BYTES} letters from 0 to 9 and a to "
            "f. Write one a line.",
        )
    return found


def record_set_erase_preview(*, actor: User, asked: Wanted) -> Findings:
    """What `record_set_erase` would erase now.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        StoreAway: the store is not here.
    """
    require_role(actor, asked.record_set.project.workspace, Role.ADMIN)
    return _look(asked, _sets(asked))


def record_set_erase(*, actor: User, asked: Wanted, rows: int | None) -> Erasure:
    """Erase them for good. Nothing reads them from the commit on; their content leaves the files soon after.

    Args:
        rows: how many rows the preview counted.

    Raises:
        NotFound, Forbidden: the person may not (admin is needed).
        Conflict: `erase.nothing_found`; `erase.changed`: it would be another number of rows by now.
        StoreAway: the store is not here.
    """
    workspace = asked.record_set.project.workspace
    require_role(actor, workspace, Role.ADMIN)
    found = _look(asked, _sets(asked))  # it reads files, so nobody should have to wait for it
    with transaction.atomic():
        # As whoever accepts or publishes a set does: the workspace, then its projects.
        Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
        projects = Project.objects.filter(workspace=workspace)
        if asked.scope != Scope.WORKSPACE:
            projects = projects.filter(pk=asked.record_set.project_id)
        list(projects.select_for_update().order_by("pk").values_list("pk", flat=True))
        sets = _sets(asked)
        if found.looked_at != {item.pk: item.sha256 for item in sets if item.purged_at is None}:
            found = _look(asked, sets)
        if not found.hits:
            raise Conflict(
                "erase.nothing_found",
                "None of the sets holds such a record, so nothing was erased. Look at the ids or the name.",
            )
        if found.rows != rows:
            raise Conflict(
                "erase.changed",
                f"It would be {found.rows:,} rows in {len(found.hits):,} sets by now, not {rows or 0:,}. "
                "Nothing was erased. Look at the preview again, then confirm it.",
                rows=found.rows,
                sets=len(found.hits),
            )
        return _erase(actor, asked, found)


def _erase(actor: User, asked: Wanted, found: Findings) -> Erasure:
    """Under the locks of the projects."""
    workspace = asked.record_set.project.workspace
    project = None if asked.scope == Scope.WORKSPACE else asked.record_set.project
    touched = [hit.record_set.pk for hit in found.hits]
    ids = sorted(found.ids)
    made = Erasure.objects.create(
        workspace=workspace,
        project=project,
        scope=asked.scope,
        actor=actor,
        actor_name=actor.name or actor.email,
        by=By.SUBJECT if asked.subject else By.IDS,
        subject_digest=subject_digests(workspace.pk, asked.subject)[0] if asked.subject else "",
        asked=found.asked,
        records=len(ids),
        digest=hashlib.sha256(b"".join(ids)).hexdigest(),
        shaped=[
            {"checkpoint": str(checkpoint), "how": how}
            for checkpoint, how in shaped_directly(touched).items()
        ],
        unsearched=found.unsearched,
    )
    Tombstone.objects.bulk_create(
        (Tombstone(erasure=made, workspace=workspace, project=project, record=one) for one in ids),
        batch_size=5000,
    )
    ErasedSet.objects.bulk_create(
        ErasedSet(erasure=made, record_set=hit.record_set, rows=hit.rows, sha256_before=hit.record_set.sha256)
        for hit in found.hits
    )
    RecordSet.everything.filter(pk__in=touched).update(erasures=F("erasures") + 1)
    audit.record(
        workspace=workspace, actor=actor, verb="record_set_erase", target=made, scope=made.scope, by=made.by,
        records=made.records, rows=found.rows, sets=len(touched), checkpoints=len(made.shaped),
        digest=made.digest,
    )  # fmt: skip
    return made


def _sets(asked: Wanted) -> list[RecordSet]:
    """All sets in scope, replaced, thrown away and deleted ones too."""
    rows: QuerySet[RecordSet] = RecordSet.everything.select_related("task", "project")
    if asked.scope == Scope.WORKSPACE:
        rows = rows.filter(project__workspace=asked.record_set.project.workspace_id)
    else:
        rows = rows.filter(project=asked.record_set.project_id)
    return list(rows.order_by("project__name", "task__position", "use", "created_at"))


def _look(asked: Wanted, sets: list[RecordSet]) -> Findings:
    """Twice over the columns of ids: a subject's records are found by their owner, and copies of them that
    name no owner only by their ids."""
    there = [item for item in sets if item.purged_at is None]
    unsearched = len(sets) - len(there)
    named = [item for item in there if asked.scope != Scope.SET or item.pk == asked.record_set.pk]
    given, ids = as_ids(asked.ids), set[bytes]()
    for item in named:
        with _reading(item):
            ids |= _named(asked, item, given)
    hits: list[Hit] = []
    every = as_ids(ids)
    for item in there:
        rows = -1
        with _reading(item):
            rows = int(rows_with(_path(item), ids=every).sum())
        if rows:
            unsearched += rows < 0
            hits += [Hit(item, rows)] if rows > 0 else []
    looked_at = {item.pk: item.sha256 for item in there}
    return Findings(hits, frozenset(ids), len(asked.ids), unsearched, looked_at)


def _named(asked: Wanted, item: RecordSet, given: Ids) -> set[bytes]:
    path, owners = _path(item), frozenset[str]()
    if asked.subject:
        name = subject_key(asked.subject)
        owners = frozenset(owner for owner in owners_of(path) if subject_key(owner) == name)
        if not owners:
            return set()
    return ids_at(path, rows_with(path, ids=given, owners=owners))


def _path(item: RecordSet) -> Path:
    return store_path(item.project.workspace_id, item.sha256)


@contextmanager
def _reading(item: RecordSet) -> Iterator[None]:
    """A file that is missing or damaged can be neither searched nor replayed; the others are searched."""
    try:
        yield
    except (OSError, NocturneInputError):
        store_check()  # a store that went away holds what it held
        logger.exception("record set %s cannot be searched", item.pk)
