"""A63: links that download without a login. Bound to object, bytes, person, tenant, login and time."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import update_last_login
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.webapp.conftest import logged_in
from tests.webapp.storage.kept import keep
from tests.webapp.streams import collected
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace
from webapp.checkpoints import links, trash
from webapp.checkpoints.models import Checkpoint, DownloadLink
from webapp.core.models import AuditEntry

if TYPE_CHECKING:
    from webapp.projects.models import Project

DATA = bytes(range(256)) * 20


@pytest.fixture
def checkpoint(project: Project) -> Checkpoint:
    return keep(project, DATA)


def made(browser: Client, checkpoint: Checkpoint, what: str = "") -> dict[str, Any]:
    answer = browser.post(
        f"/api/checkpoints/{checkpoint.pk}/link", {"what": what}, content_type="application/json"
    )
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def path_of(link: dict[str, Any]) -> str:
    return str(link["url"]).removeprefix("http://testserver")


def code(path: str, **how: Any) -> str:
    answer = Client().get(path, headers={"Accept": "application/json"}, **how)
    assert answer.status_code == 403
    return str(answer.json()["code"])


def test_a63_it_downloads_without_a_login_whole_and_in_part(vera: User, checkpoint: Checkpoint) -> None:
    link = made(logged_in(vera), checkpoint)
    stranger = Client()
    answer = stranger.get(path_of(link))
    assert collected(answer) == DATA
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["Cache-Control"] == "private, no-store"
    assert (answer["X-Content-Type-Options"], answer["Content-Security-Policy"]) == ("nosniff", "sandbox")
    part = stranger.get(path_of(link), headers={"Range": "bytes=5000-", "If-Range": answer["ETag"]})
    assert (part.status_code, collected(part)) == (206, DATA[5000:])
    assert stranger.head(path_of(link))["Content-Length"] == str(len(DATA))
    assert stranger.post(path_of(link)).status_code == 405
    assert not answer.cookies


def test_a63_nothing_but_ids_is_in_the_address_and_it_ends_in_five_minutes(
    vera: User, checkpoint: Checkpoint
) -> None:
    link = made(logged_in(vera), checkpoint)
    assert re.fullmatch(r"/links/[0-9a-f-]{36}/[A-Za-z0-9_-]{43}/", path_of(link))
    row = DownloadLink.objects.get()
    assert row.expires_at - row.created_at <= timedelta(seconds=300)
    assert AuditEntry.objects.filter(verb="checkpoint_link", actor=vera).count() == 1


def test_a63_a_changed_address_is_invalid(vera: User, checkpoint: Checkpoint) -> None:
    browser = logged_in(vera)
    one, other = path_of(made(browser, checkpoint)), path_of(made(browser, checkpoint))
    assert one != other
    _, _, pk, signature, _ = one.split("/")
    wrong = "A" if signature[0] != "A" else "B"
    for path in (
        one.replace(signature, wrong + signature[1:]),
        one.replace(pk, other.split("/")[2]),
        one.replace(pk, "0" * 8 + pk[8:]),
        reverse("checkpoint_link_open", args=[pk, "~"]),
        reverse("checkpoint_link_open", args=[pk, "ü" * 43]),
    ):
        assert code(path) == "link.invalid"


@pytest.mark.parametrize("column", ["checkpoint", "etag", "what", "user", "session_key", "expires_at"])
def test_a63_every_fact_of_the_row_is_signed(
    column: str, vera: User, bob: User, project: Project, checkpoint: Checkpoint
) -> None:
    path = path_of(made(logged_in(vera), checkpoint))
    other: dict[str, Any] = {
        "checkpoint": keep(project, b"another"),
        "etag": "0" * 64,
        "what": "folder",
        "user": bob,
        "session_key": logged_in(bob).session.session_key,
        "expires_at": timezone.now() + timedelta(days=9),
    }
    DownloadLink.objects.update(**{column: other[column]})
    assert code(path) == "link.invalid"


def test_a63_after_five_minutes_it_is_expired(
    vera: User, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(made(logged_in(vera), checkpoint))
    later = timezone.now() + timedelta(seconds=links.LINK_SECONDS + 1)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert code(path) == "link.expired"
    assert code(path, HTTP_RANGE="bytes=0-4") == "link.expired"


def test_a63_logging_out_ends_it(vera: User, checkpoint: Checkpoint) -> None:
    browser = logged_in(vera)
    path = path_of(made(browser, checkpoint))
    logged_in(vera).logout()
    assert Client().get(path).status_code == 200
    browser.logout()
    assert code(path) == "link.invalid"


def test_a63_another_password_ends_it(vera: User, checkpoint: Checkpoint) -> None:
    path = path_of(made(logged_in(vera), checkpoint))
    update_last_login(User, vera)
    assert Client().get(path).status_code == 200
    vera.set_password("another horse battery")
    vera.save()
    assert code(path) == "link.invalid"


def test_a63_leaving_the_workspace_or_the_house_ends_it(
    vera: User, bob: User, checkpoint: Checkpoint
) -> None:
    hers, his = path_of(made(logged_in(vera), checkpoint)), path_of(made(logged_in(bob), checkpoint))
    Membership.objects.filter(user=vera).delete()
    assert code(hers) == "link.invalid"
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert code(his) == "link.invalid"


def test_a63_a_project_that_moved_to_another_tenant_takes_no_link_along(
    vera: User, project: Project, checkpoint: Checkpoint
) -> None:
    path = path_of(made(logged_in(vera), checkpoint))
    other = Workspace.objects.create(name="Other", quota_bytes=1)
    Membership.objects.create(workspace=other, user=vera, role=Role.OWNER)
    type(project).objects.filter(pk=project.pk).update(workspace=other)
    assert code(path) == "link.invalid"


def test_a63_deleted_files_end_it_and_the_trash_does_not(
    alice: User, project: Project, checkpoint: Checkpoint
) -> None:
    keep(project, b"newer")
    path = path_of(made(logged_in(alice), checkpoint))
    trash.checkpoint_trash(actor=alice, checkpoint=checkpoint)
    assert Client().get(path).status_code == 200
    trash.checkpoint_delete(actor=alice, checkpoint=checkpoint)
    assert code(path) == "link.invalid"


def test_a63_strangers_make_none(charlie: User, checkpoint: Checkpoint) -> None:
    address = f"/api/checkpoints/{checkpoint.pk}/link"
    assert logged_in(charlie).post(address, {}, content_type="application/json").status_code == 404
    assert Client().post(address, {}, content_type="application/json").status_code == 401


def test_folder_or_weights(vera: User, project: Project) -> None:
    folder = keep(project, DATA, extras=b"{}")
    browser = logged_in(vera)
    named = {what: made(browser, folder, what)["name"] for what in ("", "folder", "weights")}
    assert named == {
        "": "support-bot-v1.zip", "folder": "support-bot-v1.zip", "weights": "support-bot-v1.safetensors",
    }  # fmt: skip
    assert collected(Client().get(path_of(made(browser, folder, "weights")))) == DATA


def test_there_is_an_end_to_making_them(
    vera: User, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MOST_LINKS", 2)
    browser = logged_in(vera)
    for _ in range(2):
        made(browser, checkpoint)
    answer = browser.post(f"/api/checkpoints/{checkpoint.pk}/link", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "link.too_many")
    DownloadLink.objects.update(expires_at=timezone.now() - timedelta(days=2))
    made(browser, checkpoint)
    assert DownloadLink.objects.count() == 1
