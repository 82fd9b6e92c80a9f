"""The demo project: made once, on whatever disks, and nothing left of one that failed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.webapp.conftest import logged_in
from webapp.core import store
from webapp.core.errors import Forbidden
from webapp.core.store_identity import MARKER
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.demo import services
from webapp.projects.models import Project
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from django.conf import LazySettings

    from webapp.accounts.models import User, Workspace


def test_one_click_makes_five_tasks_and_five_wakes_each_scored_up_to_its_own(
    alice: User, workspace: Workspace
) -> None:
    project = services.demo_start(actor=alice, workspace=workspace)
    cycles = list(Cycle.objects.filter(project=project).order_by("number"))
    assert [cycle.kind for cycle in cycles] == ["wake"] * 5
    assert [cycle.probes.count() for cycle in cycles] == [1, 2, 3, 4, 5]
    assert cycles[0].init is not None
    assert cycles[1].init is None
    for kept in StoredFile.objects.filter(workspace=workspace):
        assert store.store_path(workspace.pk, kept.sha256).stat().st_size == kept.size_bytes


def test_a_double_click_is_one_click(alice: User) -> None:
    browser = logged_in(alice)
    assert browser.post("/demo/").headers["Location"] == browser.post("/demo/").headers["Location"]
    assert Project.objects.count() == 1


def test_it_works_when_the_systems_temporary_folder_is_another_disk(
    alice: User, workspace: Workspace, settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renames across folders that are not the store's own fail, as they do between two file systems."""
    settings.STORE_DIR = tmp_path / "store"
    settings.INCOMING_DIR = settings.STORE_DIR / ".incoming"
    real = os.rename

    def rename(source: Any, target: Any) -> None:
        if not Path(source).is_relative_to(tmp_path):
            raise OSError(18, "Invalid cross-device link")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "replace", rename)
    assert services.demo_start(actor=alice, workspace=workspace).tasks.count() == 5
    assert list(settings.INCOMING_DIR.iterdir()) == []


def test_one_that_fails_half_way_leaves_nothing(
    alice: User, workspace: Workspace, settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STORE_DIR = tmp_path / "store"
    settings.INCOMING_DIR = settings.STORE_DIR / ".incoming"
    real = cycle_start
    started: list[Cycle] = []

    def third_fails(**given: Any) -> Cycle:
        if len(started) == 2:
            raise RuntimeError("the power went")
        started.append(real(**given))
        return started[-1]

    monkeypatch.setattr(services, "cycle_start", third_fails)
    with pytest.raises(RuntimeError):
        services.demo_start(actor=alice, workspace=workspace)
    assert not Project.objects.exists()
    assert [path.name for path in settings.STORE_DIR.rglob("*") if path.is_file()] == [MARKER]


def test_a_viewer_may_not(vera: User, workspace: Workspace) -> None:
    with pytest.raises(Forbidden):
        services.demo_start(actor=vera, workspace=workspace)
