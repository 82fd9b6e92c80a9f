"""The meter: what is stored, promised, left, who takes it, and the sentence when nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.webapp.conftest import logged_in
from tests.webapp.storage.kept import keep, keep_set
from webapp.checkpoints import trash
from webapp.core.store import NoRoom, ensure_room
from webapp.cycles.models import Cycle
from webapp.memories.models import RecordSet, Use
from webapp.projects.models import Project
from webapp.storage.selectors import biggest_of, meter_of, shares_of
from webapp.uploads.models import Upload

if TYPE_CHECKING:
    from webapp.accounts.models import User, Workspace


@pytest.fixture
def full(alice: User, project: Project) -> Workspace:
    """1,000 bytes: 600 in use, 100 of them in the trash; 150 promised to an upload and 50 to a cycle."""
    old = keep(project, b"o" * 100)
    keep(project, b"n" * 200, parent=old, extras=b"e" * 30, fisher=b"f" * 70)
    keep_set(project, b"r" * 80, Use.PROBE)
    other = Project.objects.create(workspace=project.workspace, name="other")
    keep(other, b"x" * 120)
    keep(other, b"n" * 200)
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m", size_bytes=150, state="receiving"
    )
    Cycle.objects.create(project=project, number=1, kind="sleep", protocol=1, state="queued", store_bytes=50)
    workspace = project.workspace
    workspace.quota_bytes = 1000
    workspace.save()
    return workspace


def test_every_byte_is_somewhere_once(full: Workspace) -> None:
    meter = meter_of(full)
    assert (meter.used, meter.to_uploads, meter.to_cycles, meter.left) == (600, 150, 50, 200)
    assert meter.trash_frees == 100
    shares = shares_of(full)
    assert {project.name: size for project, size, _ in shares.projects} == {"support-bot": 480, "other": 120}
    assert {kind: size for kind, size, _ in shares.kinds} == {
        "Weights": 320, "Trash": 100, "Probes": 80, "Fisher": 70, "Companion files": 30,
    }  # fmt: skip
    assert [share for _, _, share in shares.projects] == [800, 200]


def test_what_is_largest_says_what_keeps_it(full: Workspace) -> None:
    items = biggest_of(full)
    assert [item.size_bytes for item in items] == [200, 200, 120, 80]
    assert {item.name: item.keeps for item in items if item.project.name == "support-bot"} == {
        "v2": True, "Probe of “returns”": False,
    }  # fmt: skip


def test_replaced_records_are_named_because_they_take_room(project: Project) -> None:
    item = keep_set(project, b"r" * 9, Use.TRAINING)
    RecordSet.objects.update(replaced_at=item.created_at)
    assert shares_of(project.workspace).kinds == [("Replaced records", 9, 1000)]
    assert [found.note for found in biggest_of(project.workspace)] == ["replaced"]


def test_a_refusal_says_what_the_trash_would_free(full: Workspace, alice: User) -> None:
    with pytest.raises(NoRoom) as error:
        ensure_room(full, 201)
    assert (error.value.code, error.value.status) == ("upload.quota", 413)
    assert error.value.message == (
        "This file is 201 bytes; the workspace has 200 bytes left. Empty the trash (frees 100 bytes) or ask "
        "an owner for more."
    )
    trash.checkpoint_delete(actor=alice, checkpoint=_trashed(full))
    ensure_room(full, 300)
    with pytest.raises(NoRoom) as error:
        ensure_room(full, 301)
    assert error.value.message.endswith("300 bytes left. Ask an owner for more.")


def _trashed(workspace: Workspace) -> Any:
    from webapp.checkpoints.models import Checkpoint

    return Checkpoint.everything.select_related("project__workspace").get(
        project__workspace=workspace, trashed_at__isnull=False
    )


def test_the_pages_show_it(full: Workspace, vera: User) -> None:
    browser = logged_in(vera)
    home = browser.get("/").content.decode()
    assert "600 bytes of 1.0 KB" in home and "200 bytes promised" in home
    assert "the trash frees 100 bytes" in home
    page = browser.get("/storage/").content.decode()
    for words in ("600 bytes", "uploads 150 bytes, cycles 50 bytes", "Companion files", "What is largest"):
        assert words in page
    assert "Move to the trash" not in page, "a viewer is offered nothing that would be refused"
    assert "Empty the trash" not in browser.get("/storage/trash/").content.decode()
    assert browser.post("/storage/trash/empty/").status_code == 403


def test_the_api_says_the_same(full: Workspace, vera: User) -> None:
    said = logged_in(vera).get("/api/storage").json()
    assert said["used"] == 600
    assert said["promised"] == {"uploads": 150, "cycles": 50}
    assert (said["left"], said["trash_frees"], said["quota"]) == (200, 100, 1000)
    assert {row["name"] for row in said["projects"]} == {"support-bot", "other"}


def test_another_workspace_is_not_counted(full: Workspace, charlie: User) -> None:
    said = logged_in(charlie).get("/api/storage").json()
    assert (said["used"], said["projects"], said["kinds"]) == (0, [], [])
    assert logged_in(charlie).get("/api/trash").json() == {"items": []}
