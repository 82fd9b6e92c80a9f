"""The demo project: five tasks, their training sets and probes, and five wakes in a row that learn them.

Everything after this runs through the same services and workers as anybody's model; no score is stored.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext

from consolidation.demo import digits
from webapp.accounts.choices import Role
from webapp.accounts.selectors import require_role
from webapp.core.store import ensure_room, store_put
from webapp.cycles.choices import Kind
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use
from webapp.memories.services import record_set_accept
from webapp.projects.services import project_create, task_create

if TYPE_CHECKING:
    from consolidation.memory.store import Records
    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project, Task

_ROOM_BYTES = 20_000_000


@transaction.atomic
def demo_start(*, actor: User, workspace: Workspace) -> Project:
    """Make the demo project and queue its wakes.

    Each wake is queued as soon as its own task is there, so that it is scored on the tasks up to its own.

    Raises:
        NotFound, Forbidden: the person may not.
        InvalidInput: `upload.quota` or `store.disk_full`.
    """
    require_role(actor, workspace, Role.EDITOR)
    ensure_room(workspace, _ROOM_BYTES)
    project = project_create(
        actor=actor, workspace=workspace, name=gettext("Demo: five kinds of digits"), is_demo=True
    )
    with tempfile.TemporaryDirectory(prefix="nocturne-demo-") as folder:
        for index in range(len(digits.TASKS)):
            made = digits.demo_task(index)
            task = task_create(actor=actor, project=project, name=made.name)
            paths = digits.write_task(index, Path(folder))
            training = _keep(actor, project, task, Use.TRAINING, paths["train"], made.train)
            _keep(actor, project, task, Use.PROBE, paths["probe"], made.probe)
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


def _keep(actor: User, project: Project, task: Task, use: str, path: Path, records: Records) -> RecordSet:
    """Put one record file into the store and register it, as an accepted upload would be."""
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    store_put(workspace=project.workspace, source=path, sha256=sha256, size_bytes=len(content))
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
