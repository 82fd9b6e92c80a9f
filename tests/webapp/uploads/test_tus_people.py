"""The upload application: who may, and from which pages."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from channels.db import database_sync_to_async

from tests.webapp.uploads.conftest import announcement, incoming
from tests.webapp.uploads.wire import Answer, Browser, run, said
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User
from webapp.uploads.models import Upload

if TYPE_CHECKING:
    from webapp.projects.models import Project

pytestmark = pytest.mark.usefixtures("no_leftovers")


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
