"""What the drawer asks: my uploads, how far they are, and what was here before."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from tests.webapp.conftest import logged_in
from tests.webapp.uploads.conftest import received
from webapp.checkpoints.models import Checkpoint
from webapp.projects.services import project_create
from webapp.uploads.models import Upload, UploadState
from webapp.uploads.selectors import stray_files
from webapp.uploads.services import upload_finish, upload_verify

if TYPE_CHECKING:
    from django.conf import LazySettings
    from pytest_django import DjangoAssertNumQueries

    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project


def an_upload(project: Project, user: User, **fields: Any) -> Upload:
    usual = {"purpose": "checkpoint", "filename": "m.safetensors", "size_bytes": 100}
    return Upload.objects.create(project=project, user=user, **usual | fields)


def listed(user: User) -> list[dict[str, Any]]:
    answer = logged_in(user).get("/api/uploads")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


def test_mine_and_under_way_or_just_ended_newest_first(
    project: Project, alice: User, bob: User, charlie: User
) -> None:
    now = timezone.now()
    an_upload(project, bob)
    an_upload(project, alice, state=UploadState.READY, finished_at=now - dt.timedelta(hours=25))
    names = ["oldest", "ended", "newest"]
    an_upload(project, alice, filename="oldest", received_at=now, received_bytes=40)
    an_upload(project, alice, filename="ended", state=UploadState.REFUSED, error_code="x.y", finished_at=now)
    an_upload(project, alice, filename="newest", state=UploadState.VERIFYING)
    found = listed(alice)
    assert [row["filename"] for row in found] == names[::-1]
    going = found[-1]
    assert (going["project"], going["project_id"]) == ("support-bot", str(project.pk))
    assert (going["received_bytes"], going["resumable"]) == (40, True)
    until = dt.datetime.fromisoformat(going["expires_at"])
    assert abs(until - now - dt.timedelta(hours=24)) < dt.timedelta(seconds=1)
    assert [(row["resumable"], row["expires_at"]) for row in found[:2]] == [(False, None)] * 2
    assert listed(charlie) == []


def test_what_cannot_go_on_does_not_say_so(project: Project, alice: User) -> None:
    an_upload(project, alice, filename="copied", local=True)
    late = an_upload(project, alice, filename="late")
    Upload.objects.filter(pk=late.pk).update(created_at=timezone.now() - dt.timedelta(hours=2))
    assert {row["filename"]: row["resumable"] for row in listed(alice)} == {"copied": False, "late": False}


def test_nobody_sees_a_list_without_a_login(client: Any, db: None) -> None:
    assert client.get("/api/uploads").status_code == 401


def test_the_number_of_queries_does_not_grow(
    project: Project, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(12):
        an_upload(project, alice, state=UploadState.VERIFYING, sha256="a" * 64)
    client = logged_in(alice)
    with django_assert_max_num_queries(5):
        assert len(client.get("/api/uploads").json()) == 12


@pytest.mark.parametrize("where", ["same-project", "another-project", "another-workspace"])
def test_content_that_was_here_before_is_recognised(
    where: str, project: Project, alice: User, charlie: User, workspace: Workspace, model: bytes
) -> None:
    """As soon as the last byte is there, by the bytes as they came; the version is made all the same."""
    sha256 = "0a" * 32
    first = received(project, alice, model)
    Upload.objects.filter(pk=first.pk).update(sha256=sha256)
    assert upload_verify(first.pk) == "ready"
    made = Checkpoint.objects.get()
    if where == "another-workspace":
        home = charlie.memberships.get().workspace
        person, place = charlie, project_create(actor=charlie, workspace=home, name="elsewhere")
    else:
        other = where == "another-project"
        person = alice
        place = project_create(actor=alice, workspace=workspace, name="second") if other else project
    second = received(place, person, model)
    Upload.objects.filter(pk=second.pk).update(state=UploadState.RECEIVING, received_bytes=0)
    second.refresh_from_db()
    upload_finish(upload=second, sha256=sha256)
    told = logged_in(person).get(f"/api/uploads/{second.pk}").json()
    expected = {"same-project": "v1", "another-project": "v1 · support-bot", "another-workspace": None}[where]
    twin = told["duplicate_of"]
    assert (twin and twin["name"]) == expected
    if twin:
        assert twin["url"] == f"/checkpoints/{made.pk}/"
        assert logged_in(person).get(twin["url"]).status_code == 200
    assert upload_verify(second.pk) == "ready"
    assert Checkpoint.objects.count() == 2
    assert [row["duplicate_of"] for row in listed(person)][:1] == [twin]
    first_again = logged_in(alice).get(f"/api/uploads/{first.pk}").json()
    assert first_again["duplicate_of"] is None, "the first one is no duplicate of the second"


def test_a_file_that_goes_while_they_are_looked_at_stops_no_sweep(
    tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.INCOMING_DIR = tmp_path
    monkeypatch.setattr(Path, "glob", lambda *_: [tmp_path / "a.part"])
    assert stray_files() == []
