"""The upload application: who may, how much, exactly which bytes, and nothing left when it goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from channels.db import database_sync_to_async
from django.db import connections

from tests.webapp.uploads.conftest import announcement, incoming
from tests.webapp.uploads.wire import Browser, run
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.core.models import AuditEntry
from webapp.core.store import NoRoom
from webapp.uploads import body
from webapp.uploads.models import Upload
from webapp.uploads.selectors import part_path
from webapp.uploads.services import upload_create

if TYPE_CHECKING:
    from webapp.projects.models import Project


def test_a_file_arrives_byte_by_byte(alice_at_work: Browser, project: Project, model: bytes) -> None:
    async def story() -> tuple[Any, Any]:
        made = await alice_at_work.post(announcement(project, len(model)))
        return made, await alice_at_work.put(made.json()["id"], model, piece=7)

    made, sent = run(story())
    assert made.status == 201
    assert (sent.status, sent.json()["state"]) == (200, "verifying")
    assert sent.json()["sha256"] == hashlib.sha256(model).hexdigest()
    upload = Upload.objects.get()
    assert (upload.state, upload.received_bytes) == ("verifying", len(model))
    assert part_path(upload.pk).read_bytes() == model
    assert list(AuditEntry.objects.filter(object_type="upload").values_list("verb", flat=True)) == [
        "upload_create"
    ]
    assert AuditEntry.objects.get(verb="upload_create").actor == upload.user
    part_path(upload.pk).unlink()


def test_a_file_of_many_blocks(alice_at_work: Browser, project: Project) -> None:
    data = os.urandom(3 * body.BLOCK_BYTES + 12_345)

    async def story() -> Any:
        made = await alice_at_work.post(announcement(project, len(data)))
        return await alice_at_work.put(made.json()["id"], data)

    answer = run(story())
    assert answer.json()["sha256"] == hashlib.sha256(data).hexdigest()
    path = part_path(answer.json()["id"])
    assert path.read_bytes() == data
    path.unlink()


@pytest.mark.parametrize("who", ["charlie", "nobody"])
def test_a_project_of_others_does_not_exist(who: str, project: Project, charlie: User) -> None:
    browser = Browser(charlie if who == "charlie" else None)
    answer = run(browser.post(announcement(project, 10)))
    assert (answer.status, answer.json()["code"]) == (
        (404, "not_found") if who == "charlie" else (401, "login.required")
    )
    assert not Upload.objects.exists()


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a71_an_upload_of_somebody_else_does_not_exist(
    method: str, project: Project, alice: User, bob: User, charlie: User
) -> None:
    upload = Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m", size_bytes=4
    )
    for other in (bob, charlie):
        answer = run(Browser(other).send(method, f"/upload/{upload.pk}", [b"1234"], content_length="4"))
        assert (answer.status, answer.json()["code"]) == (404, "not_found")
    upload.refresh_from_db()
    assert upload.state == "receiving"
    assert incoming() == []


def test_a_viewer_may_not_upload(project: Project, vera: User) -> None:
    answer = run(Browser(vera).post(announcement(project, 10)))
    assert (answer.status, answer.json()["code"]) == (403, "role.missing")
    assert "editor" in answer.json()["message"]


def test_a_role_that_was_taken_away_meanwhile_counts(project: Project, bob: User) -> None:
    browser = Browser(bob)

    async def story() -> Any:
        made = await browser.post(announcement(project, 4))
        await database_sync_to_async(Membership.objects.filter(user=bob).update)(role=Role.VIEWER)
        return await browser.put(made.json()["id"], b"1234")

    answer = run(story())
    assert (answer.status, answer.json()["code"]) == (403, "role.missing")
    assert incoming() == []


CSRF: dict[str, dict[str, Any]] = {
    "no-origin": {"origin": None},
    "origin-null": {"origin": "null"},
    "origin-of-another-site": {"origin": "http://evil.example"},
    "origin-of-another-port": {"origin": "http://127.0.0.1:9999"},
    "origin-with-a-suffix": {"origin": "http://127.0.0.1:8000.evil.example"},
    "no-token": {"x_csrftoken": None},
    "wrong-token": {"x_csrftoken": "b" * 32},
}


@pytest.mark.parametrize("row", CSRF)
def test_a59_another_sites_page_gets_nowhere(row: str, alice: User, project: Project) -> None:
    browser = Browser(alice)
    answer = run(browser.post(announcement(project, 10), **CSRF[row]))
    assert (answer.status, answer.json()["code"]) == (403, "csrf.failed")
    upload = Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m", size_bytes=4
    )
    answer = run(browser.put(str(upload.pk), b"1234", **CSRF[row]))
    assert (answer.status, answer.json()["code"]) == (403, "csrf.failed")
    assert incoming() == []


def test_a59_without_the_cookie_the_token_is_worth_nothing(alice: User, project: Project) -> None:
    browser = Browser(alice)
    browser.headers["cookie"] = browser.headers["cookie"].replace("nocturne-csrf", "other")
    answer = run(browser.post(announcement(project, 10)))
    assert (answer.status, answer.json()["code"]) == (403, "csrf.failed")


def test_a68_a_host_that_is_not_ours(alice_at_work: Browser, project: Project) -> None:
    answer = run(alice_at_work.post(announcement(project, 10), host="evil.example"))
    assert (answer.status, answer.json()["code"]) == (400, "request.host")


ANNOUNCEMENTS: dict[str, tuple[int, str, Any]] = {
    "not-json": (400, "request.invalid", b"{"),
    "a-list": (400, "request.invalid", b"[]"),
    "nested-100000-deep": (413, "request.too_large", b"[" * 100_000),
    "nested-30000-deep": (400, "request.invalid", b"[" * 30_000),
    "size-text": (400, "request.invalid", {"size": "10"}),
    "size-true": (400, "request.invalid", {"size": True}),
    "size-absurd": (400, "request.invalid", {"size": 2**70}),
    "size-zero": (422, "file.empty", {"size": 0}),
    "size-negative": (422, "file.empty", {"size": -1}),
    "purpose": (422, "upload.purpose", {"purpose": "<script>"}),
    "project-no-uuid": (404, "not_found", {"project": "1 OR 1=1"}),
    "filename-missing": (400, "request.invalid", {"filename": None}),
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
    fields = change if isinstance(change, bytes) else announcement(project, 10, **change)
    answer = run(alice_at_work.post(fields))
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert not Upload.objects.exists()


def test_a_file_name_is_only_a_name(alice_at_work: Browser, project: Project) -> None:
    fields = announcement(project, 10, filename="C:\\secret\\..\\../../etc/pass\x00wd\x1b[31m" + "x" * 400)
    answer = run(alice_at_work.post(fields))
    assert answer.status == 201
    name = Upload.objects.get().filename
    assert name.startswith("pass?wd?[31mxxx")
    assert len(name) == 255


def test_more_than_the_quota_is_said_before_the_first_byte(
    alice_at_work: Browser, project: Project, workspace: Workspace
) -> None:
    answer = run(alice_at_work.post(announcement(project, 14_200_000_000)))
    assert (answer.status, answer.json()["code"]) == (413, "upload.quota")
    assert answer.json()["message"].startswith("This file is 14.2 GB; the workspace has 1.0 GB left")
    assert not Upload.objects.exists()


def test_more_than_the_disk_is_said_before_the_first_byte(
    alice_at_work: Browser, project: Project, workspace: Workspace
) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(quota_bytes=2**60)
    answer = run(alice_at_work.post(announcement(project, 2**50)))
    assert (answer.status, answer.json()["code"]) == (507, "store.disk_full")
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


@pytest.mark.parametrize(
    ("length", "status"),
    [(None, 400), ("", 400), ("ten", 400), ("-4", 400), ("3", 400), ("5", 413), (str(2**63), 413)],
)
def test_a55_a_length_that_is_not_the_announced_one(
    length: str | None, status: int, alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Any:
        made = await alice_at_work.post(announcement(project, 4))
        return await alice_at_work.put(made.json()["id"], b"1234", content_length=length)

    answer = run(story())
    assert (answer.status, answer.json()["code"]) == (status, "upload.length")
    assert incoming() == []


def test_a55_chunked_without_a_length(alice_at_work: Browser, project: Project) -> None:
    async def story() -> Any:
        made = await alice_at_work.post(announcement(project, 4))
        return await alice_at_work.put(
            made.json()["id"], b"1234", content_length=None, transfer_encoding="chunked"
        )

    assert run(story()).json()["code"] == "upload.length"


@pytest.mark.parametrize(
    ("data", "status", "code"), [(b"12345678", 413, "upload.length"), (b"12", 400, "upload.truncated")]
)
def test_a55_a_body_that_breaks_its_promise(
    data: bytes, status: int, code: str, alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Any:
        made = await alice_at_work.post(announcement(project, 4))
        return await alice_at_work.put(made.json()["id"], data, content_length="4")

    answer = run(story())
    assert (answer.status, answer.json()["code"]) == (status, code)
    upload = Upload.objects.get()
    assert (upload.state, upload.error_code) == ("aborted", code)
    assert incoming() == []


def test_a_broken_connection_leaves_nothing(alice_at_work: Browser, project: Project) -> None:
    async def story() -> Any:
        made = await alice_at_work.post(announcement(project, 10_000_000))
        return await alice_at_work.put(
            made.json()["id"], bytes(5_000_000), content_length="10000000", hang_up=True
        )

    assert run(story()).status == 0
    assert Upload.objects.get().state == "aborted"
    assert incoming() == []


def test_a55_a_sender_that_falls_asleep(
    alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)

    async def story() -> Any:
        made = await alice_at_work.post(announcement(project, 4))
        return await alice_at_work.put(made.json()["id"], b"12", content_length="4", fall_asleep=True)

    answer = run(story())
    assert (answer.status, answer.json()["code"]) == (408, "upload.stalled")
    assert Upload.objects.get().error_code == "upload.stalled"
    assert incoming() == []


def test_one_writer_only(alice_at_work: Browser, project: Project) -> None:
    data = os.urandom(200_000)

    async def story() -> list[Any]:
        made = await alice_at_work.post(announcement(project, len(data)))
        return await asyncio.gather(
            *(alice_at_work.put(made.json()["id"], data, piece=999) for _ in range(8))
        )

    answers = run(story())
    assert sorted(answer.status for answer in answers) == [200] + [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status == 409} <= {
        "upload.busy",
        "upload.state",
    }
    upload = Upload.objects.get()
    assert upload.state == "verifying"
    assert part_path(upload.pk).read_bytes() == data
    part_path(upload.pk).unlink()


def test_cancelling_twice_is_harmless(alice_at_work: Browser, project: Project) -> None:
    async def story() -> list[Any]:
        made = await alice_at_work.post(announcement(project, 4))
        path = f"/upload/{made.json()['id']}"
        answers = [await alice_at_work.send("DELETE", path) for _ in range(2)]
        return [*answers, await alice_at_work.put(made.json()["id"], b"1234")]

    first, second, late = run(story())
    assert first.json()["state"] == second.json()["state"] == "aborted"
    assert (late.status, late.json()["code"]) == (409, "upload.state")
    assert incoming() == []


@pytest.mark.parametrize(
    "path", ["/upload/x", "/upload/../admin", "/upload/00000000-0000-0000-0000-000000000000/y"]
)
def test_no_other_address_exists(path: str, alice_at_work: Browser) -> None:
    answer = run(alice_at_work.send("POST", path))
    assert (answer.status, answer.json()["code"]) == (404, "not_found")


def test_answers_cannot_be_sniffed_or_cached(alice_at_work: Browser, project: Project) -> None:
    answer = run(alice_at_work.post(announcement(project, 4)))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
