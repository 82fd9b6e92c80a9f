"""A small laboratory for cycles: a workspace, a project that learns digits, and workers to run it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings

from consolidation.demo import digits
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.core.store import store_put
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.fleet.services import worker_heartbeat
from webapp.memories.models import RecordSet, Use
from webapp.memories.services import record_set_accept
from webapp.projects.models import Project, Task
from webapp.projects.services import project_create, task_create

if TYPE_CHECKING:
    from consolidation.memory.store import Records
    from webapp.fleet.models import Worker

T = TypeVar("T")


@dataclass
class Lab:
    """alice owns the workspace; the project has learned nothing yet."""

    workspace: Workspace
    alice: User
    project: Project

    @classmethod
    def make(cls) -> Lab:
        workspace = Workspace.objects.create(name="Lab", quota_bytes=10**9)
        alice = User.objects.create_user("alice@example.org", "correct horse battery")
        Membership.objects.create(workspace=workspace, user=alice, role=Role.OWNER)
        project = project_create(actor=alice, workspace=workspace, name="digits")
        return cls(workspace, alice, project)

    def another_project(self, name: str = "more digits") -> Lab:
        made = project_create(actor=self.alice, workspace=self.workspace, name=name)
        return Lab(self.workspace, self.alice, made)

    def task(self, index: int = 0) -> Task:
        """Task `index` of the digits, made when it is missing."""
        found = Task.objects.filter(project=self.project, name=digits.TASKS[index]).first()
        return found or task_create(actor=self.alice, project=self.project, name=digits.TASKS[index])

    def put(self, index: int, use: str, records: Records | None = None) -> RecordSet:
        """A real record file of that task in the store, and its row."""
        task = self.task(index)
        made = digits.demo_task(index)
        chosen = records or (made.probe if use == Use.PROBE else made.train)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "records.safetensors"
            chosen.save(path)
            sha256, size = self.store(path)
        info = {
            "rows": len(chosen),
            "x_shape": list(chosen.x.shape[1:]),
            "x_dtype": str(chosen.x.dtype),
            "classes": chosen.classes,
            "label_histogram": [],
            "transform": chosen.transform.to_json(),
            "has_logits": chosen.z is not None,
            "size": size,
        }
        return record_set_accept(project=self.project, task=task, use=use, sha256=sha256, info=info)

    def store(self, path: Path) -> tuple[str, int]:
        """Copy a file into the workspace's store: its sha256 and size."""
        incoming = Path(settings.INCOMING_DIR)
        incoming.mkdir(parents=True, exist_ok=True)
        copy = incoming / f"{time.monotonic_ns()}.part"
        shutil.copyfile(path, copy)
        sha256, size = hashlib.sha256(copy.read_bytes()).hexdigest(), copy.stat().st_size
        store_put(workspace=self.workspace, source=copy, sha256=sha256, size_bytes=size)
        return sha256, size

    def wake(self, index: int = 0, **recipe: Any) -> Cycle:
        """Queue a wake on one task, with its training set and probe in place; `device` is the kind wanted."""
        device = recipe.pop("device", "")
        data = self.put(index, Use.TRAINING)
        self.put(index, Use.PROBE)
        first = not Cycle.objects.filter(project=self.project).exists()
        return cycle_start(
            actor=self.alice,
            project=self.project,
            kind="wake",
            recipe=digits.wake_recipe(index).to_json() | recipe,
            data=data,
            init={"family": digits.FAMILY, "config": digits.CONFIG, "seed": digits.SEED} if first else None,
            device=device,
        )

    def sleep(self, **recipe: Any) -> Cycle:
        """Queue a sleep on the current checkpoint."""
        self.project.refresh_from_db()
        chosen = digits.sleep_recipe().to_json() | recipe
        return cycle_start(actor=self.alice, project=self.project, kind="sleep", recipe=chosen)


def worker(name: str = "bench-cpu-0") -> Worker:
    """A worker that has just reported itself."""
    return worker_heartbeat(name=name, device="cpu", version="test", protocol=settings.CYCLE_PROTOCOL)


def eventually(check: Callable[[], T], *, timeout: float = 30.0, what: str = "it") -> T:
    """The first true answer of `check`; fails with a sentence when none comes."""
    deadline = time.monotonic() + timeout
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {timeout:g} s")
        time.sleep(0.03)
