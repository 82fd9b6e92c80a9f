"""Pieces of a page that are fetched again: nothing moves when nothing happened, and the focus stays."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support import night
from tests.webapp import rows
from tests.webapp.live.people import COOKIE, Web, session_of
from webapp.accounts.models import Workspace
from webapp.cycles.models import Cycle

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from webapp.accounts.models import User
    from webapp.projects.models import Project

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), pytest.mark.django_db(transaction=True)]

FOCUSED = "button => button === document.activeElement"


@pytest.fixture
def project(alice: User) -> Project:
    return night.line(workspace=Workspace.objects.get(), actor=alice)


@pytest.fixture
def asked(page: Page, web: Web, alice: User) -> Page:
    """A browser that counts the answers of its refreshes in `answers`."""
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    page.add_init_script(
        """window.answers = 0;
        document.addEventListener("refreshed", () => { window.answers += 1; });"""
    )
    return page


def refreshes(page: Page, more: int) -> None:
    """Wait for so many more."""
    seen = page.evaluate("answers")
    page.wait_for_function("(n) => answers >= n", arg=seen + more)


def pause_button(page: Page, cycle: Cycle) -> Locator:
    return page.get_by_role("button", name=f"Pause {cycle}")


@pytest.mark.parametrize(("path", "piece"), [("/", "tonight"), ("/projects/{}/", "project-now")])
def test_a_piece_with_forms_stays_when_nothing_happened_and_keeps_the_focus_when_something_did(
    asked: Page, web: Web, project: Project, path: str, piece: str, problems: list[str]
) -> None:
    rows.worker("gpu-1", silent=-timedelta(minutes=10))
    # Of just now, so that "2 s ago" differs from answer to answer.
    first, second = (night.sleep_cycle(project) for _ in range(2))
    asked.goto(web.url + path.format(project.pk))
    pause_button(asked, second).focus()
    asked.evaluate("(id) => { window.kept = document.getElementById(id); }", piece)
    refreshes(asked, 2)
    assert asked.evaluate("kept.isConnected"), "nothing happened"
    assert pause_button(asked, second).evaluate(FOCUSED)
    Cycle.objects.filter(pk=first.pk).update(attempt=2)
    asked.get_by_text("attempt 2").wait_for()
    assert not asked.evaluate("kept.isConnected"), "the piece is a fresh one"
    assert pause_button(asked, second).evaluate(FOCUSED)
    asked.keyboard.press("Enter")
    asked.get_by_role("button", name=f"Resume {second}").wait_for()
    assert problems == []


def test_a_press_that_spans_a_change_is_not_lost(asked: Page, web: Web, project: Project) -> None:
    rows.worker("gpu-1", silent=-timedelta(minutes=10))
    first, second = (night.sleep_cycle(project) for _ in range(2))
    asked.goto(f"{web.url}/projects/{project.pk}/")
    button = pause_button(asked, second)
    button.hover()
    asked.mouse.down()
    Cycle.objects.filter(pk=first.pk).update(attempt=2)
    refreshes(asked, 2)
    asked.mouse.up()
    asked.get_by_role("button", name=f"Resume {second}").wait_for()


def test_the_focus_stays_on_what_opens_a_dialog(asked: Page, web: Web, project: Project) -> None:
    rows.worker("gpu-1", silent=-timedelta(minutes=10))
    current = project.current
    kept = rows.checkpoint(project, "sleep", standing="candidate")
    project.current = current
    project.save()
    waits = night.sleep_cycle(project)
    asked.goto(f"{web.url}/projects/{project.pk}/")
    opener = asked.get_by_role("button", name=f"Promote {kept}…")
    opener.focus()
    Cycle.objects.filter(pk=waits.pk).update(attempt=2)
    asked.get_by_text("attempt 2").wait_for()
    assert opener.evaluate(FOCUSED)
