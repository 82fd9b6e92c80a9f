"""The upload application: what is said of a file before its first byte, and what is refused then."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from tests.webapp.uploads.conftest import announcement, incoming
from tests.webapp.uploads.wire import Browser, run, said
from webapp.accounts.models import User, Workspace
from webapp.core.store import NoRoom
from webapp.uploads.models import Upload
from webapp.uploads.services import upload_create

if TYPE_CHECKING:
    from webapp.projects.models import Project

pytestmark = pytest.mark.usefixtures("no_leftovers")


ANNOUNCEMENTS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "form-not-json": (400, "request.invalid", {"form": "{"}),
    "form-a-list": (400, "request.invalid", {"form": "[]"}),
    "form-a-key-twice": (400, "request.invalid", {"form": '{"family": "mlp", "family": "cnn"}'}),
    "form-nan": (400, "request.invalid", {"form": '{"wake": {"lr": NaN}}'}),
    "form-nested-100000-deep": (413, "request.too_large", {"form": "[" * 100_000}),
    "form-nested-30000-deep": (400, "request.invalid", {"form": '{"config":' * 3_000}),
    "form-nested-100-deep": (400, "request.invalid", {"form": '{"a":' * 99 + "{}" + "}" * 99}),
    "size-text": (400, "upload.length", {"size": "ten"}),
    "size-absurd": (413, "upload.length", {"size": 2**61}),
    "size-more-absurd": (400, "upload.length", {"size": 10**30}),
    "size-zero": (422, "file.empty", {"size": 0}),
    "size-negative": (400, "upload.length", {"size": -1}),
    "purpose": (422, "upload.purpose", {"purpose": "<script>"}),
    "project-no-uuid": (404, "not_found", {"project": "1 OR 1=1"}),
    "sha256": (400, "request.invalid", {"sha256": "abc"}),
    "A57-owner": (400, "field.read_only", {"user": "x"}),
    "A57-state": (400, "field.read_only", {"state": "ready"}),
    "A57-form-field": (400, "field.read_only", {"form": {"sha256": "0"}}),
    "family": (422, "checkpoint.family_unknown", {"form": {"family": "gpt-5"}}),
    "family-no-text": (422, "checkpoint.family_unknown", {"form": {"family": ["mlp"]}}),
    "examples-absurd": (422, "upload.number", {"form": {"wake": {"examples": 10**400}}}),
    "sd-zero": (422, "records.transform", {"purpose": "probe", "form": {"transform": {"sd": 0}}}),
    "examples": (422, "upload.number", {"form": {"wake": {"examples": "many"}}}),
    "rate-negative": (422, "upload.number", {"form": {"wake": {"lr": -1}}}),
    "rate-nan": (422, "upload.number", {"form": {"wake": {"lr": "nan"}}}),
    "records-without-a-task": (422, "upload.task", {"purpose": "probe"}),
    "records-scale": (422, "upload.number", {"purpose": "probe", "form": {"transform": {"scale": "x"}}}),
}


@pytest.mark.parametrize("row", ANNOUNCEMENTS)
def test_an_announcement_that_makes_no_sense(row: str, alice_at_work: Browser, project: Project) -> None:
    status, code, change = ANNOUNCEMENTS[row]
    if row in {"records-scale", "sd-zero"}:
        change["form"]["task"] = str(project.tasks.get().pk)
    answer = run(
        alice_at_work.announce(announcement(project, 10, **change), None if "size" in change else b"12")
    )
    assert said(answer) == (status, code)
    assert not Upload.objects.exists()
    assert incoming() == [], "not one byte was taken"


METADATA: dict[str, tuple[int, str, str | None]] = {
    "missing": (400, "request.invalid", None),
    "no-filename": (400, "request.invalid", "project YQ==,purpose YQ=="),
    "twice": (400, "request.invalid", "purpose YQ==,purpose YQ=="),
    "A55-whitespace-flood": (400, "request.invalid", "project " + " " * 10_000 + "YQ=="),
    "A55-whitespace-inside": (400, "request.invalid", "project YQ=\n="),
    "A55-100000-fields": (413, "request.too_large", "a YQ==," * 100_000),
    "A55-fields": (400, "field.read_only", "a YQ==," * 1_000),
    "no-base64": (400, "request.invalid", "project 5e51f8c1-0000"),
    "no-padding": (400, "request.invalid", "project YQ"),
    "no-utf-8": (400, "request.invalid", "project /w=="),
}


@pytest.mark.parametrize("row", METADATA)
def test_metadata_is_read_strictly(row: str, alice_at_work: Browser, project: Project) -> None:
    status, code, text = METADATA[row]
    answer = run(alice_at_work.announce(announcement(project, 10), upload_metadata=text))
    assert said(answer) == (status, code)
    assert not Upload.objects.exists()


def test_a_file_name_is_only_a_name(alice_at_work: Browser, project: Project) -> None:
    fields = announcement(project, 10, filename="C:\\secret\\..\\../../etc/pass\x00wd\x1b[31m" + "x" * 400)
    answer = run(alice_at_work.announce(fields))
    assert answer.status == 201
    name = Upload.objects.get().filename
    assert name.startswith("pass?wd?[31mxxx")
    assert len(name) == 255


def test_a_length_that_is_not_known_yet_is_refused(alice_at_work: Browser, project: Project) -> None:
    options: dict[str, Any] = {"upload_length": None, "upload_defer_length": "1"}
    answer = run(alice_at_work.announce(announcement(project, 10), **options))
    assert said(answer) == (400, "upload.length")
    assert "Upload-Length" in answer.json()["message"]


def test_more_than_the_quota_is_said_before_the_first_byte(
    alice_at_work: Browser, project: Project, workspace: Workspace
) -> None:
    answer = run(alice_at_work.announce(announcement(project, 14_200_000_000), b"1234"))
    assert said(answer) == (413, "upload.quota")
    assert answer.json()["message"].startswith("This file is 14.2 GB; the workspace has 1.0 GB left")
    assert not Upload.objects.exists()


def test_more_than_the_disk_is_said_before_the_first_byte(
    alice_at_work: Browser, project: Project, workspace: Workspace
) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(quota_bytes=2**60)
    answer = run(alice_at_work.announce(announcement(project, 2**50)))
    assert said(answer) == (507, "store.disk_full")
    assert "1125.9 TB" in answer.json()["message"]


@pytest.mark.django_db(transaction=True)
def test_a71_announcements_at_once_never_pass_the_quota(
    alice: User, project: Project, workspace: Workspace
) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(quota_bytes=7_500)

    def announce(_: int) -> str:
        try:
            upload_create(
                actor=alice, project=project, purpose="checkpoint", filename="m", size_bytes=1000, form={}
            )
        except NoRoom as error:
            return error.code
        finally:
            connections.close_all()
        return "made"

    with ThreadPoolExecutor(10) as pool:
        answers = sorted(pool.map(announce, range(50)))
    assert answers == ["made"] * 7 + ["upload.quota"] * 43
    assert Upload.objects.count() == 7
