"""The upload application: who may, how much, exactly which bytes, where it goes on, what is left."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import connections
from django.utils import timezone

from tests.webapp.uploads.conftest import announcement, incoming
from tests.webapp.uploads.wire import Answer, Browser, run
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.core.models import AuditEntry
from webapp.core.store import NoRoom, room_left
from webapp.uploads import body, turns
from webapp.uploads.models import Upload
from webapp.uploads.receiving import PartFile
from webapp.uploads.selectors import part_path
from webapp.uploads.services import upload_create

if TYPE_CHECKING:
    from webapp.projects.models import Project


@pytest.fixture(autouse=True)
def _no_leftovers(db: None) -> Any:
    yield
    for upload in Upload.objects.all():
        part_path(upload.pk).unlink(missing_ok=True)
    assert incoming() == []


def changed(upload_id: str, **fields: Any) -> Any:
    return database_sync_to_async(Upload.objects.filter(pk=upload_id).update)(**fields)


def said(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["code"]


# --- the whole way ----------------------------------------------------------------------------------------


def test_a_file_arrives_byte_by_byte(alice_at_work: Browser, project: Project, model: bytes) -> None:
    async def story() -> tuple[Any, Any]:
        made = await alice_at_work.announce(announcement(project, len(model)))
        return made, await alice_at_work.patch(made.id, model, piece=7)

    made, sent = run(story())
    assert (made.status, made.headers["upload-offset"], made.body) == (201, "0", b"")
    assert (sent.status, sent.headers["upload-offset"], sent.body) == (204, str(len(model)), b"")
    assert "upload-expires" not in sent.headers
    upload = Upload.objects.get()
    assert (upload.state, upload.received_bytes) == ("verifying", len(model))
    assert upload.sha256 == hashlib.sha256(model).hexdigest()
    assert part_path(upload.pk).read_bytes() == model
    assert list(AuditEntry.objects.filter(object_type="upload").values_list("verb", flat=True)) == [
        "upload_create"
    ]
    assert AuditEntry.objects.get(verb="upload_create").actor == upload.user


def test_a_file_of_many_blocks_in_three_requests(alice_at_work: Browser, project: Project) -> None:
    data = os.urandom(3 * body.BLOCK_BYTES + 12_345)
    cuts = [0, 1_000_000, 2_500_001, len(data)]

    async def story() -> tuple[str, list[Answer]]:
        made = await alice_at_work.announce(announcement(project, len(data)))
        parts = itertools.pairwise(cuts)
        return made.id, [await alice_at_work.patch(made.id, data[low:high], low) for low, high in parts]

    upload_id, answers = run(story())
    assert [answer.headers["upload-offset"] for answer in answers] == [str(cut) for cut in cuts[1:]]
    assert part_path(upload_id).read_bytes() == data
    assert Upload.objects.get().sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("first", [b"12", b"123456"])
def test_the_first_bytes_come_with_the_announcement(
    first: bytes, alice_at_work: Browser, project: Project
) -> None:
    made = run(alice_at_work.announce(announcement(project, 6), first))
    assert (made.status, made.headers["upload-offset"]) == (201, str(len(first)))
    upload = Upload.objects.get()
    assert upload.state == ("verifying" if len(first) == 6 else "receiving")
    assert part_path(upload.pk).read_bytes()[: len(first)] == first


def test_what_is_spoken_here(alice_at_work: Browser) -> None:
    answer = run(alice_at_work.send("OPTIONS", "/upload/"))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["tus-extension"] == "creation,creation-with-upload,termination,expiration"
    assert "content-length" not in answer.headers


def test_where_it_stands(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 6))
        fresh = await alice_at_work.ask("HEAD", made.id)
        await alice_at_work.patch(made.id, b"1234")
        going = await alice_at_work.ask("HEAD", made.id)
        await alice_at_work.patch(made.id, b"56", 4)
        return fresh, going, await alice_at_work.ask("HEAD", made.id)

    answers = run(story())
    assert [answer.status for answer in answers] == [200] * 3
    assert [answer.headers["upload-offset"] for answer in answers] == ["0", "4", "6"]
    assert {answer.headers["upload-length"] for answer in answers} == {"6"}
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    until = [parsedate_to_datetime(answer.headers["upload-expires"]) for answer in answers[:2]]
    assert dt.timedelta(minutes=59) < until[0] - timezone.now() <= dt.timedelta(hours=1), "nothing came"
    assert dt.timedelta(hours=23, minutes=59) < until[1] - timezone.now() <= dt.timedelta(hours=24)
    assert "upload-expires" not in answers[2].headers


# --- who may ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["charlie", "nobody"])
def test_a_project_of_others_does_not_exist(who: str, project: Project, charlie: User) -> None:
    browser = Browser(charlie if who == "charlie" else None)
    answer = run(browser.announce(announcement(project, 10)))
    assert said(answer) == ((404, "not_found") if who == "charlie" else (401, "login.required"))
    assert not Upload.objects.exists()


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
def test_a71_an_upload_of_somebody_else_does_not_exist(
    method: str, project: Project, alice: User, bob: User, charlie: User
) -> None:
    upload = Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m", size_bytes=4
    )
    for other in (bob, charlie):
        browser = Browser(other)
        send = (
            browser.patch(str(upload.pk), b"1234")
            if method == "PATCH"
            else browser.ask(method, str(upload.pk))
        )
        answer = run(send)
        assert answer.status == 404
        assert answer.body == b"" if method == "HEAD" else answer.json()["code"] == "not_found"
    upload.refresh_from_db()
    assert upload.state == "receiving"
    assert incoming() == []


def test_a_viewer_may_not_upload(project: Project, vera: User) -> None:
    answer = run(Browser(vera).announce(announcement(project, 10)))
    assert said(answer) == (403, "role.missing")
    assert "editor" in answer.json()["message"]


def test_a_role_that_was_taken_away_meanwhile_counts(project: Project, bob: User) -> None:
    browser = Browser(bob)

    async def story() -> Any:
        made = await browser.announce(announcement(project, 4))
        await database_sync_to_async(Membership.objects.filter(user=bob).update)(role=Role.VIEWER)
        return await browser.patch(made.id, b"1234")

    assert said(run(story())) == (403, "role.missing")
    assert incoming() == []


def test_after_a_new_login_the_same_person_goes_on(project: Project, alice: User) -> None:
    before, nobody, after = Browser(alice), Browser(None), Browser(alice)

    async def story() -> tuple[Answer, Answer]:
        made = await before.announce(announcement(project, 4), b"12")
        out = await nobody.patch(made.id, b"34", 2)
        return out, await after.patch(made.id, b"34", 2)

    out, again = run(story())
    assert said(out) == (401, "login.required")
    assert again.status == 204
    assert Upload.objects.get().sha256 == hashlib.sha256(b"1234").hexdigest()


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
    assert said(run(browser.announce(announcement(project, 10), **CSRF[row]))) == (403, "csrf.failed")
    upload = Upload.objects.create(
        project=project, user=alice, purpose="checkpoint", filename="m", size_bytes=4
    )
    assert said(run(browser.patch(str(upload.pk), b"1234", **CSRF[row]))) == (403, "csrf.failed")
    assert said(run(browser.ask("DELETE", str(upload.pk), **CSRF[row]))) == (403, "csrf.failed")
    assert incoming() == []


def test_a59_without_the_cookie_the_token_is_worth_nothing(alice: User, project: Project) -> None:
    browser = Browser(alice)
    browser.headers["cookie"] = browser.headers["cookie"].replace("nocturne-csrf", "other")
    assert said(run(browser.announce(announcement(project, 10)))) == (403, "csrf.failed")


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "HEAD"])
def test_a59_a_method_in_a_header_is_no_method(method: str, alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4), x_http_method_override=method)
        options: dict[str, Any] = {
            "tus_resumable": "1.0.0",
            "upload_offset": "0",
            "content_type": "application/offset+octet-stream",
        }
        override: dict[str, Any] = {"x_http_method_override": method, "content_length": "4"}
        return made, await alice_at_work.send("POST", f"/upload/{made.id}", [b"1234"], **options, **override)

    made, answer = run(story())
    assert made.status == 201, "it is a POST"
    assert said(answer) == (405, "request.method")
    assert Upload.objects.get().state == "receiving"


def test_a68_a_host_that_is_not_ours(alice_at_work: Browser, project: Project) -> None:
    answer = run(alice_at_work.announce(announcement(project, 10), host="evil.example"))
    assert said(answer) == (400, "request.host")


# --- what is said of a file -------------------------------------------------------------------------------

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


# --- which bytes ------------------------------------------------------------------------------------------

BODIES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "no-length": (400, "upload.length", {"content_length": None}),
    "length-empty": (400, "upload.length", {"content_length": ""}),
    "length-a-word": (400, "upload.length", {"content_length": "ten"}),
    "length-negative": (400, "upload.length", {"content_length": "-4"}),
    "length-over": (413, "upload.length", {"content_length": "5"}),
    "length-absurd": (413, "upload.length", {"content_length": "9" * 40}),
    "chunked": (400, "upload.length", {"content_length": None, "transfer_encoding": "chunked"}),
    "both": (400, "upload.length", {"transfer_encoding": "chunked"}),
    "offset-missing": (400, "upload.length", {"upload_offset": None}),
    "offset-a-word": (400, "upload.length", {"upload_offset": "0x0"}),
    "offset-ahead": (409, "upload.offset", {"upload_offset": "2", "content_length": "2"}),
    "offset-far": (409, "upload.offset", {"upload_offset": "99", "content_length": "0"}),
    "type-missing": (415, "upload.type", {"content_type": None}),
    "type-another": (415, "upload.type", {"content_type": "application/octet-stream"}),
    "version-missing": (412, "tus.version", {"tus_resumable": None}),
    "version-another": (412, "tus.version", {"tus_resumable": "0.2.2"}),
}


@pytest.mark.parametrize("row", BODIES)
def test_a55_a_request_that_is_not_as_it_must_be(row: str, alice_at_work: Browser, project: Project) -> None:
    status, code, options = BODIES[row]

    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4))
        wrong = await alice_at_work.patch(made.id, b"1234", **options)
        return wrong, await alice_at_work.patch(made.id, b"1234")

    answer, right = run(story())
    assert said(answer) == (status, code)
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert ("tus-version" in answer.headers) == (status == 412)
    assert right.status == 204, "and it harmed nothing"


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
def test_every_method_says_which_version_it_speaks(
    method: str, alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Answer:
        if method == "POST":
            return await alice_at_work.announce(announcement(project, 4), tus_resumable=None)
        made = await alice_at_work.announce(announcement(project, 4))
        return await alice_at_work.ask(method, made.id, tus_resumable=None)

    answer = run(story())
    assert (answer.status, answer.headers["tus-version"]) == (412, "1.0.0")


@pytest.mark.parametrize("low", [0, 3])
def test_a71_a_chunk_at_an_old_offset_overwrites_nothing(
    low: int, alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Answer:
        made = await alice_at_work.announce(announcement(project, 10), b"12345")
        old = await alice_at_work.patch(made.id, b"xx", low)
        await alice_at_work.patch(made.id, b"67890", 5)
        return old

    answer = run(story())
    assert said(answer) == (409, "upload.offset")
    assert (answer.headers["upload-offset"], answer.json()["detail"]) == ("5", {"offset": 5})
    assert part_path(Upload.objects.get().pk).read_bytes() == b"1234567890"


def test_a71_an_end_before_all_bytes_is_no_end(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 10), b"12345")
        return await alice_at_work.patch(made.id, b"", 5), await alice_at_work.patch(made.id, b"", 10)

    empty, ahead = run(story())
    assert (empty.status, empty.headers["upload-offset"]) == (204, "5")
    assert said(ahead) == (409, "upload.offset")
    assert Upload.objects.get().state == "receiving"


@pytest.mark.parametrize(
    ("data", "status", "code", "kept"),
    [(b"12345678", 413, "upload.length", 0), (b"12", 400, "upload.truncated", 2)],
)
def test_a55_a_body_that_breaks_its_promise(
    data: bytes, status: int, code: str, kept: int, alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        wrong = await alice_at_work.patch(made.id, data, content_length="4")
        await alice_at_work.patch(made.id, b"1234"[kept:], kept)
        return wrong

    assert said(run(story())) == (status, code)
    assert Upload.objects.get().sha256 == hashlib.sha256(b"1234").hexdigest()


def test_a55_what_comes_after_the_last_byte_does_not_end_a_file(
    alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        return await alice_at_work.patch(made.id, b"12345678", content_length="4", piece=4)

    assert said(run(story())) == (413, "upload.length")
    assert Upload.objects.get().state == "receiving"


# --- when the connection breaks ---------------------------------------------------------------------------


def test_a_broken_connection_keeps_what_arrived(alice_at_work: Browser, project: Project) -> None:
    data = os.urandom(6_000_000)

    async def story() -> tuple[Answer, Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, len(data)))
        broken = await alice_at_work.patch(
            made.id, data[:5_000_000], content_length=str(len(data)), hang_up=True
        )
        stands = await alice_at_work.ask("HEAD", made.id)
        return broken, stands, await alice_at_work.patch(made.id, data[5_000_000:], 5_000_000)

    broken, stands, rest = run(story())
    assert broken.status == 0
    assert stands.headers["upload-offset"] == "5000000"
    assert rest.status == 204
    upload = Upload.objects.get()
    assert upload.sha256 == hashlib.sha256(data).hexdigest()
    assert part_path(upload.pk).read_bytes() == data


def test_a_broken_connection_before_the_first_byte_changes_nothing(
    alice_at_work: Browser, project: Project
) -> None:
    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        await alice_at_work.patch(made.id, b"", content_length="4", hang_up=True)
        return await alice_at_work.patch(made.id, b"1234")

    assert run(story()).status == 204


def test_a55_a_sender_that_falls_asleep(
    alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 0.05)

    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        slow = await alice_at_work.patch(made.id, b"12", content_length="4", fall_asleep=True)
        await alice_at_work.patch(made.id, b"34", 2)
        return slow

    assert said(run(story())) == (408, "upload.stalled")
    assert Upload.objects.get().state == "verifying"


def test_how_far_it_is_is_told_while_it_comes(
    alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so many bytes, and never the last one before the file is digested."""
    monkeypatch.setattr(body, "COMMIT_BYTES", 400)
    monkeypatch.setattr(body, "BLOCK_BYTES", 200)
    told: list[int] = []
    synced: list[int] = []
    sync = PartFile.sync

    def syncing(self: PartFile) -> int:
        synced.append(sync(self))
        return synced[-1]

    monkeypatch.setattr(PartFile, "sync", syncing)
    real = body.BodyWriter.__init__

    def listening(self: Any, part: Any, size: int, commit: Any, alive: Any) -> None:
        async def heard(reached: int) -> None:
            assert reached == synced[-1], "on the disk before anybody is told"
            told.append(reached)
            await commit(reached)

        real(self, part, size, heard, alive)

    monkeypatch.setattr(body.BodyWriter, "__init__", listening)

    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 1_200))
        return await alice_at_work.patch(made.id, bytes(1_200), piece=100)

    assert run(story()).status == 204
    assert told == [400, 800]


def test_one_writer_only(alice_at_work: Browser, project: Project) -> None:
    data = os.urandom(200_000)

    async def story() -> list[Any]:
        made = await alice_at_work.announce(announcement(project, len(data)))
        return await asyncio.gather(*(alice_at_work.patch(made.id, data, piece=999) for _ in range(8)))

    answers = run(story())
    assert sorted(answer.status for answer in answers) == [204] + [409] * 7
    codes = {answer.json()["code"] for answer in answers if answer.status == 409}
    assert codes <= {"upload.busy", "upload.state", "upload.offset"}
    upload = Upload.objects.get()
    assert upload.state == "verifying"
    assert part_path(upload.pk).read_bytes() == data


@pytest.mark.parametrize("silent", [True, False])
def test_who_comes_back_takes_over_from_a_connection_that_died_silently(
    silent: bool, alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that still hears something is left alone."""
    monkeypatch.setattr(turns, "SILENT_SECONDS", 0.0 if silent else 60.0)
    began = asyncio.Event()
    monkeypatch.setattr(turns.Turn, "heard", lambda _: began.set())

    async def story() -> tuple[Answer, Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 8))
        dead = asyncio.ensure_future(
            alice_at_work.patch(made.id, b"1234", content_length="8", fall_asleep=True)
        )
        await began.wait()
        first = await alice_at_work.patch(made.id, b"12345678")
        stands = await alice_at_work.ask("HEAD", made.id)
        rest = await alice_at_work.patch(made.id, b"5678", 4)
        if not silent:
            dead.cancel()
        await asyncio.wait({dead})
        return first, stands, rest

    first, stands, rest = run(story())
    assert first.status == 409
    if silent:
        assert (first.json()["code"], stands.headers["upload-offset"]) == ("upload.offset", "4")
        assert rest.status == 204
        assert Upload.objects.get().sha256 == hashlib.sha256(b"12345678").hexdigest()
    else:
        assert said(first) == (409, "upload.busy")
        assert rest.json()["code"] == "upload.offset", "it has committed nothing yet"


# --- when it is over --------------------------------------------------------------------------------------


def test_cancelling_twice_is_harmless(alice_at_work: Browser, project: Project) -> None:
    async def story() -> list[Any]:
        made = await alice_at_work.announce(announcement(project, 4), b"12")
        answers = [await alice_at_work.ask("DELETE", made.id) for _ in range(2)]
        return [
            *answers,
            await alice_at_work.ask("HEAD", made.id),
            await alice_at_work.patch(made.id, b"34", 2),
        ]

    first, second, asked, late = run(story())
    assert (first.status, first.body, second.status) == (204, b"", 204)
    assert (asked.status, asked.body) == (410, b"")
    assert said(late) == (410, "upload.cancelled")
    assert Upload.objects.get().state == "aborted"
    assert incoming() == []


def test_cancelled_while_the_bytes_come(alice_at_work: Browser, project: Project) -> None:
    """The other tab's Cancel wins; the file does not come back to life with the last byte."""

    async def story() -> Answer:
        made = await alice_at_work.announce(announcement(project, 8))
        going = asyncio.ensure_future(
            alice_at_work.patch(made.id, b"1234", content_length="8", fall_asleep=True)
        )
        while not part_path(made.id).exists():
            await asyncio.sleep(0.01)
        await alice_at_work.ask("DELETE", made.id)
        going.cancel()
        await asyncio.wait({going})
        return await alice_at_work.patch(made.id, b"1234")

    assert said(run(story())) == (410, "upload.cancelled")
    assert incoming() == []


def test_what_has_arrived_cannot_be_cancelled(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4), b"1234")
        return await alice_at_work.ask("DELETE", made.id), await alice_at_work.patch(made.id, b"", 4)

    cancelled, more = run(story())
    assert said(cancelled) == said(more) == (409, "upload.state")
    assert part_path(Upload.objects.get().pk).read_bytes() == b"1234"


@pytest.mark.parametrize("method", ["HEAD", "PATCH"])
def test_after_a_day_of_silence_it_is_gone(
    method: str, alice_at_work: Browser, project: Project, workspace: Workspace
) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4), b"12")
        await changed(made.id, received_at=timezone.now() - dt.timedelta(hours=23, minutes=59))
        alive = await alice_at_work.ask("HEAD", made.id)
        await changed(made.id, received_at=timezone.now() - dt.timedelta(hours=24))
        if method == "HEAD":
            return alive, await alice_at_work.ask("HEAD", made.id)
        return alive, await alice_at_work.patch(made.id, b"34", 2)

    alive, gone = run(story())
    assert (alive.status, gone.status) == (200, 410)
    upload = Upload.objects.get()
    assert (upload.state, upload.error_code) == ("aborted", "upload.expired")
    assert room_left(workspace) == workspace.quota_bytes, "its room is free again"
    assert incoming() == []


def test_bytes_that_vanished_from_the_disk(alice_at_work: Browser, project: Project) -> None:
    async def story() -> tuple[Answer, Answer]:
        made = await alice_at_work.announce(announcement(project, 4), b"12")
        part_path(made.id).unlink()
        lost = await alice_at_work.patch(made.id, b"34", 2)
        return lost, await alice_at_work.ask("HEAD", made.id)

    lost, asked = run(story())
    assert said(lost) == (410, "upload.lost")
    assert asked.status == 410
    assert Upload.objects.get().error_code == "upload.lost"


@pytest.mark.parametrize("told", ["right", "wrong"])
def test_the_sender_may_say_what_should_arrive(told: str, alice_at_work: Browser, project: Project) -> None:
    sha256 = hashlib.sha256(b"1234" if told == "right" else b"1235").hexdigest().upper()

    async def story() -> Answer:
        made = await alice_at_work.announce(announcement(project, 4, sha256=sha256))
        return await alice_at_work.patch(made.id, b"1234")

    answer = run(story())
    upload = Upload.objects.get()
    if told == "right":
        assert (answer.status, upload.state) == (204, "verifying")
    else:
        assert said(answer) == (422, "upload.checksum")
        assert (upload.state, upload.error_code) == ("refused", "upload.checksum")
        assert upload.sha256 == hashlib.sha256(b"1234").hexdigest()
        assert incoming() == []


@pytest.mark.parametrize(
    "path", ["/upload/x", "/upload/../admin", "/upload/00000000-0000-0000-0000-000000000000/y"]
)
def test_no_other_address_exists(path: str, alice_at_work: Browser) -> None:
    assert said(run(alice_at_work.send("POST", path))) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "TRACE"])
def test_no_other_method_exists(method: str, alice_at_work: Browser, project: Project) -> None:
    async def story() -> Answer:
        made = await alice_at_work.announce(announcement(project, 4))
        return await alice_at_work.send(method, f"/upload/{made.id}", [b"1234"], content_length="4")

    assert said(run(story())) == (405, "request.method")


def test_answers_cannot_be_sniffed_or_cached(alice_at_work: Browser, project: Project) -> None:
    answer = run(alice_at_work.announce(announcement(project, 4)))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_a_server_that_cannot_write_says_so_and_keeps_nothing(
    alice_at_work: Browser, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("in the way of the folder")
    monkeypatch.setattr(settings, "INCOMING_DIR", tmp_path / "file")

    async def story() -> Any:
        made = await alice_at_work.announce(announcement(project, 4))
        return await alice_at_work.patch(made.id, b"1234")

    answer = run(story())
    assert said(answer) == (500, "store.failed")
    assert str(tmp_path) not in answer.body.decode()
    assert Upload.objects.get().state == "aborted"
    monkeypatch.undo()
