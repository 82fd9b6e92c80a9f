"""The demo project: five tasks, their training sets and probes, and five wakes in a row that learn them.

Everything after this runs through the same services and workers as anybody's model; no score is stored.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from consolidation.demo import digits
from webapp.accounts.choices import Role
from webapp.accounts.models import Workspace
from webapp.accounts.selectors import require_role
from webapp.core.store import ensure_room, store_discard, store_put
from webapp.cycles.choices import Kind
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use
from webapp.memories.services import record_set_accept
from webapp.projects.models import Project
from webapp.projects.services import project_create, task_create

if TYPE_CHECKING:
    from consolidation.memory.store import Records
    from webapp.accounts.models import User
    from webapp.projects.models import Task

_ROOM_BYTES = 20_000_000
_DOUBLE_CLICK = timedelta(seconds=10)


def demo_start(*, actor: User, workspace: Workspace) -> Project:
    """Make the demo project and queue its wakes; asked twice in a row, the one just made is the answer.

    Raises:
        NotFound, Forbidden: the person may not.
        InvalidInput: `upload.quota` or `store.disk_full`.
    """
    require_role(actor, workspace, Role.EDITOR)
    stored: list[str] = []
    try:
        with transaction.atomic():
            Workspace.objects.select_for_update().get(pk=workspace.pk)
            return _made_just_now(actor, workspace) or _make(actor, workspace, stored)
    except BaseException:
        # The rows are rolled back; what they named must not stay behind.
        with suppress(DatabaseError):
            for sha256 in stored:
                store_discard(workspace=workspace, sha256=sha256)
        raise


def _made_just_now(actor: User, workspace: Workspace) -> Project | None:
    """A double click is one click."""
    return (
        Project.objects.filter(
            workspace=workspace, created_by=actor, is_demo=True, created_at__gt=Now() - _DOUBLE_CLICK
        )
        .order_by("-created_at")
        .first()
    )


def _make(actor: User, workspace: Workspace, stored: list[str]) -> Project:
    """The project. Each wake is queued as soon as its task is there, and scored on the tasks up to it."""
    ensure_room(workspace, _ROOM_BYTES)
    project = project_create(
        actor=actor, workspace=workspace, name=gettext("Demo: five kinds of digits"), is_demo=True
    )
    incoming = Path(settings.INCOMING_DIR)
    incoming.mkdir(parents=True, exist_ok=True)
    # On the store's own disk, so that keeping a file is a rename.
    with tempfile.TemporaryDirectory(prefix="demo-", dir=incoming) as folder:
        for index in range(len(digits.TASKS)):
            made = digits.demo_task(index)
            task = task_create(actor=actor, project=project, name=made.name)
            paths = digits.write_task(index, Path(folder))
            training = _keep(actor, project, task, Use.TRAINING, paths["train"], made.train, stored)
            _keep(actor, project, task, Use.PROBE, paths["probe"], made.probe, stored)
            cycle_start(
                actor=actor,
                project=project,
                kind=Kind.WAKE,
                recipe=digits.wake_recipe(index).to_json(),
                data=training,
                init=_first_model() if index == 0 else None,
            )
    return project


def _first_model() -> dict[str, Any]:
    return {"family": digits.FAMILY, "config": digits.CONFIG, "seed": digits.SEED}


def _keep(
    actor: User, project: Project, task: Task, use: str, path: Path, records: Records, stored: list[str]
) -> RecordSet:
    """Put one record file into the store and register it, as an accepted upload would be."""
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    store_put(workspace=project.workspace, source=path, sha256=sha256, size_bytes=len(content))
    stored.append(sha256)
    histogram = [0] * records.classes
    for label in records.y.tolist():
        histogram[label] += 1
    info = {
        "rows": len(records),
        "x_shape": list(records.x.shape[1:]),
        "x_dtype": str(records.x.dtype),
        "classes": records.classes,
        "label_histogram": histogram,
        "has_logits": records.z is not None,
        "transform": records.transform.to_json(),
        "size": len(content),
        "sha256": sha256,
    }
    return record_set_accept(
        project=project, task=task, use=use, sha256=sha256, info=info, filename=path.name, actor=actor
    )
