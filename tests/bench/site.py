"""A Nocturne to measure: real PostgreSQL (embedded unless DATABASE_URL says otherwise) and uvicorn."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.database import prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.webapp.live.people import Web

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class Site:
    """What a section measures with."""

    web: Web
    browser: Browser

    def page(self, session: str) -> Page:
        """A tab of a browser in which the session is logged in."""
        from tests.webapp.live.people import COOKIE

        context = self.browser.new_context(viewport={"width": 1440, "height": 1060})
        context.add_cookies([{"name": COOKIE, "value": session, "url": self.web.url}])
        return context.new_page()


def setup() -> None:
    """Django, as in any process of ours."""
    import django

    django.setup()


@contextmanager
def running() -> Iterator[Site]:
    """Everything started, and everything stopped and removed afterwards."""
    with prepared() as data:
        from django.core.management import call_command
        from playwright.sync_api import sync_playwright

        from tests.webapp.live.people import start_web

        call_command("migrate", verbosity=0)
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # Playwright's loop runs in this thread
        web = start_web(os.environ["DATABASE_URL"], data)
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                yield Site(web, browser)
                browser.close()
        finally:
            web.stop()


def cycles(count: int, people: int = 1) -> tuple[list[Any], list[str]]:
    """Running cycles, one a project, and the sessions of people who may see them."""
    from tests.support import night
    from tests.webapp.live.people import session_of
    from webapp.accounts.choices import Role
    from webapp.accounts.models import Membership, User, Workspace

    workspace = Workspace.objects.create(name="Bench", quota_bytes=10**9)
    users = []
    for _ in range(people):
        user = User.objects.create_user(f"bench-{time.time_ns()}@example.org", "correct horse battery")
        Membership.objects.create(workspace=workspace, user=user, role=Role.OWNER)
        users.append(user)
    lines = [night.line(workspace=workspace, actor=users[0]) for _ in range(count)]
    return [night.begin(night.sleep_cycle(line)) for line in lines], [session_of(user) for user in users]


def percentile(values: list[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
