"""A version into the trash and back by the toast, the meter that follows, the dialog that names the loss."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support import night
from tests.webapp.live.people import COOKIE, Web, session_of
from webapp.accounts.models import Workspace
from webapp.checkpoints.models import Checkpoint
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from webapp.accounts.models import User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120), pytest.mark.django_db(transaction=True)]


def test_trash_undo_meter_and_emptying(page: Page, web: Web, alice: User, problems: list[str]) -> None:
    workspace = Workspace.objects.get()
    project = night.line(workspace=workspace, actor=alice)
    old = Checkpoint.objects.get(project=project, number=2)
    Checkpoint.objects.filter(pk=old.pk).update(sha256="c" * 64, size_bytes=250_000_000)
    StoredFile.objects.create(workspace=workspace, sha256="c" * 64, size_bytes=250_000_000)
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])

    page.goto(f"{web.url}/checkpoints/{old.pk}/")
    page.get_by_role("button", name="Move to the trash").click()
    page.get_by_text("v2 is in the trash for seven days.").wait_for()
    expect(page.locator("div.notice")).to_contain_text("In the trash since")
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("v2 is back.").wait_for()
    expect(page.locator("div.notice")).to_have_count(0)

    page.goto(f"{web.url}/storage/")
    page.get_by_role("button", name=re.compile("Move to the trash v2")).click()
    page.get_by_text("v2 is in the trash for seven days.").wait_for()
    expect(page.get_by_role("link", name="Trash · 250.0 MB")).to_be_visible()
    page.goto(f"{web.url}/")
    storage = page.get_by_role("region", name="Storage")
    expect(storage).to_contain_text("250.0 MB of 1.0 GB")
    storage.get_by_role("link", name="the trash frees 250.0 MB").click()

    page.get_by_role("button", name="Empty the trash…").click()
    dialog = page.get_by_role("dialog", name="Empty the trash?")
    expect(dialog).to_contain_text("Deleted for good: 1 version. This frees 250.0 MB")
    expect(dialog).to_contain_text("v2")
    expect(dialog.get_by_role("button", name="Keep")).to_be_focused()
    dialog.get_by_role("button", name="Delete for good").click()
    page.get_by_text("The trash is empty: 250.0 MB are free again.").wait_for()
    page.goto(f"{web.url}/checkpoints/{old.pk}/")
    expect(page.locator("div.notice")).to_contain_text("Its files were deleted")
    assert problems == []


def test_a_link_is_copied_with_its_command(page: Page, web: Web, alice: User, problems: list[str]) -> None:
    project = night.line(workspace=Workspace.objects.get(), actor=alice)
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=web.url)
    page.goto(f"{web.url}/checkpoints/{project.current_id}/")
    page.get_by_role("button", name="Copy link (5 minutes)").click()
    page.get_by_text("The link is copied.").wait_for()
    command = page.locator("#link-command")
    expect(command).to_have_text(re.compile(r"curl -fL -C - -o [\w.-]+ 'http://\S+/links/\S+/'"))
    copied = page.evaluate("navigator.clipboard.readText()")
    assert f"'{copied}'" in command.inner_text()
    assert problems == []
