"""Real Chromium against the real thing: `manage.py up` with its own data folder, database and workers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, sync_playwright

from tests.support import night
from tests.support.database import url_of
from tests.webapp.live.people import COOKIE, Web, session_of, start_web
from webapp.accounts.choices import Role
from webapp.accounts.models import Membership, User, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webapp.cycles.models import Cycle

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
OWNER = ("ana@example.org", "correct horse battery")


def chromium() -> str:
    """Debian's Chromium; a machine without one fails the tier instead of skipping it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail("Chromium is missing: install the package `chromium`; the browser tier never skips.")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Site:
    """A running Nocturne: its address, its data folder and the process that started it all."""

    url: str
    data: Path
    process: subprocess.Popen[str]
    output: list[str] = field(default_factory=list)
    owner_link: str = ""

    def stop(self) -> int:
        """Ctrl-C, as a person would; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def start_site(data: Path, port: int | None = None, *options: str) -> Site:
    """`manage.py up` on a data folder, with more options of its own; returns when the first page answers."""
    port = port or free_port()
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DATABASE_URL", "NOCTURNE_"))
    }
    env |= {"NOCTURNE_DATA": str(data), "PYTHONUNBUFFERED": "1"}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    env.pop("CELERY_BROKER_URL", None)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up", "--port", str(port), *options],
        cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    site = Site(url=f"http://127.0.0.1:{port}", data=data, process=process)
    assert process.stdout is not None
    stream = process.stdout

    def read() -> None:
        for line in stream:
            site.output.append(line)
            if match := re.search(r"(http://\S+/welcome/\S+)", line):
                site.owner_link = match.group(1)

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail("`manage.py up` ended:\n" + "".join(site.output))
        # The launcher listens long before the web process is there, so a connection says nothing.
        if any("Nocturne is at" in line for line in site.output):
            patience = time.monotonic() + 2  # the link, if one is due, is the very next line
            while not site.owner_link and time.monotonic() < patience:
                time.sleep(0.02)
            return site
        time.sleep(0.1)
    pytest.fail("`manage.py up` did not serve within 120 s:\n" + "".join(site.output))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One running Nocturne for the whole tier, with an owner (OWNER) made through the printed link, who may
    take in files of its folder `models`."""
    folder = tmp_path_factory.mktemp("nocturne")
    (folder / "models").mkdir()
    running = start_site(folder / "var", None, "--files", str(folder / "models"))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 1060}, accept_downloads=True)
    made.set_default_timeout(20_000)
    yield made
    made.close()


@pytest.fixture
def problems() -> list[str]:
    """What the page's own script or the content policy complained of; a test asserts that it is empty."""
    return []


@pytest.fixture
def page(context: BrowserContext, problems: list[str]) -> Page:
    """A fresh page that notes its problems."""
    opened = context.new_page()

    def failed(error: Error) -> None:
        problems.append(str(error))

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    opened.on("pageerror", failed)
    opened.on("console", said)
    return opened


_owner_made = threading.Lock()


def log_in(page: Page, site: Site) -> None:
    """Log the owner in; the first use makes the owner through the printed link."""
    with _owner_made:
        if site.owner_link:
            link, site.owner_link = site.owner_link, ""
            page.goto(link)
            page.get_by_label(re.compile("E-?mail")).fill(OWNER[0])
            page.get_by_label("Name").fill("Ana")
            page.get_by_label("Password", exact=False).first.fill(OWNER[1])
            page.locator("main form button[type=submit]").first.click()
            page.wait_for_url(f"{site.url}/")
            return
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_label(re.compile("E-?mail")).fill(OWNER[0])
    page.get_by_label("Password").fill(OWNER[1])
    page.locator("main form button[type=submit]").first.click()
    page.wait_for_url(f"{site.url}/")


@pytest.fixture
def owner_page(site: Site, page: Page) -> Page:
    """A page in which the owner is logged in."""
    log_in(page, site)
    return page


# ---------------------------------------------------------------- a cycle whose frames the test itself writes


@pytest.fixture(scope="session", autouse=True)
def sync_orm() -> None:
    """Playwright's loop runs in this thread until the end; rows are written from it all the same."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"


@pytest.fixture(scope="session")
def web(sync_orm: None, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One web process on the test database; whoever stops it puts another one into its place."""
    running = start_web(url_of(connection.settings_dict), tmp_path_factory.mktemp("web"))
    yield running
    running.stop()


@pytest.fixture
def alice(db: None) -> User:
    workspace = Workspace.objects.create(name="Lab", quota_bytes=10**9)
    user = User.objects.create_user("alice@example.org", "correct horse battery")
    Membership.objects.create(workspace=workspace, user=user, role=Role.OWNER)
    return user


@pytest.fixture
def cycle(alice: User) -> Cycle:
    """Sleep 7, running, no data frame yet."""
    workspace = Workspace.objects.get()
    return night.begin(night.sleep_cycle(night.line(workspace=workspace, actor=alice), actor=alice))


@pytest.fixture
def seen(page: Page, web: Web, alice: User, cycle: Cycle) -> Page:
    """The page of the cycle, live."""
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    page.goto(f"{web.url}/cycles/{cycle.pk}/")
    page.locator("[data-livechip][data-kind=live]").wait_for()
    return page


def shows(page: Page, seq: int, timeout: float = 20_000) -> None:
    """Wait until the frame is on the page."""
    script = "n => Number(document.querySelector('[data-cycle]').dataset.seq) >= n"
    page.wait_for_function(script, arg=seq, timeout=timeout)
