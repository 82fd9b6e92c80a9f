"""The fleet page in a real browser: draining and back, a queue that moves up, and nothing that jumps."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from tests.webapp import rows
from tests.webapp.live.people import COOKIE, Web, session_of
from webapp.accounts.models import Workspace
from webapp.cycles.models import Cycle
from webapp.cycles.steering import cycle_cancel
from webapp.fleet.models import Worker

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from webapp.accounts.models import User
    from webapp.projects.models import Project

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), pytest.mark.django_db(transaction=True)]

WIDER = "() => document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
def project(alice: User) -> Project:
    return rows.project_of(Workspace.objects.get(), "support-bot")


@pytest.fixture
def fleet(page: Page, web: Web, alice: User) -> Page:
    """The browser of somebody who owns the site; each test goes to the page when its rows are there."""
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    page.set_default_timeout(30_000)
    return page


def worker(name: str, **fields: object) -> Worker:
    """One whose last heartbeat lasts for the test."""
    made = rows.worker(name, silent=-timedelta(minutes=10))
    Worker.objects.filter(pk=made.pk).update(**fields)
    return made


def queued(project: Project) -> Cycle:
    return rows.cycle(project, "sleep", "queued", queued_at=timezone.now())


def places(page: Page) -> list[str]:
    return page.locator(".queue__place").all_inner_texts()


def test_drain_and_undo(fleet: Page, web: Web, project: Project, problems: list[str]) -> None:
    made = worker("gpu-1")
    fleet.goto(f"{web.url}/fleet/")
    row = fleet.locator(f"#worker-{made.pk}")
    row.get_by_role("button", name="Drain gpu-1").press("Enter")
    row.locator(".badge--draining").wait_for()
    assert "it can be stopped" in row.inner_text()
    assert "No worker takes cycles now" in fleet.locator("#fleet-callout").inner_text()
    row.get_by_role("button", name="Undo drain gpu-1").click()
    row.locator(".badge--alive").wait_for()
    row.get_by_role("button", name="Drain gpu-1").click()
    fleet.locator(".toast").get_by_role("button", name="Undo").click()
    row.locator(".badge--alive").wait_for()
    assert Worker.objects.get().draining_at is None
    assert problems == []


def test_the_queue_moves_up_by_itself_and_keeps_the_focus(
    fleet: Page, web: Web, alice: User, project: Project, problems: list[str]
) -> None:
    busy = worker("gpu-1")
    rows.cycle(rows.project_of(project.workspace, "other"), "sleep", "running", worker=busy)
    first, second, third = queued(project), queued(project), queued(project)
    fleet.goto(f"{web.url}/fleet/")
    assert places(fleet) == ["1", "2", "3"]
    link = fleet.locator(f"#waiting-{third.pk} a")
    link.focus()
    fleet.evaluate("window.kept = document.activeElement")
    cycle_cancel(actor=alice, cycle=first)
    fleet.locator(f"#waiting-{first.pk}").wait_for(state="detached")
    assert places(fleet) == ["1", "2"]
    assert fleet.evaluate("document.activeElement === window.kept && kept.isConnected")
    assert f"Sleep {second.number}" in fleet.locator(f"#waiting-{second.pk}").inner_text()
    assert (
        f"Sleep {second.number} of this project comes first"
        in fleet.locator(f"#waiting-{third.pk}").inner_text()
    )
    assert problems == []


def test_a_refresh_moves_nothing(fleet: Page, web: Web, project: Project) -> None:
    busy = worker("gpu-1")
    running = rows.cycle(project, "sleep", "running", worker=busy, progress=0.2, stage="wake probe")
    for number in range(30):
        worker(f"cpu-{number:02}")
    fleet.set_viewport_size({"width": 1440, "height": 700})
    fleet.goto(f"{web.url}/fleet/")
    button = fleet.locator(f"#drain-{Worker.objects.get(name='cpu-20').pk}")
    button.focus()
    fleet.evaluate("scrollTo(0, 300)")
    before = button.bounding_box()
    Cycle.objects.filter(pk=running.pk).update(progress=0.75, stage="NREM replay")
    Worker.objects.update(heartbeat_at=timezone.now() + timedelta(minutes=9))
    fleet.locator("text=NREM replay · 75.0 %").wait_for()
    assert button.bounding_box() == before
    assert button.evaluate("button => button === document.activeElement")
    assert fleet.evaluate("scrollY") == 300
    assert fleet.locator("main progress").evaluate("bar => bar.value") == 0.75


def test_what_is_open_stays_open_while_the_rest_goes_on(fleet: Page, web: Web, project: Project) -> None:
    worker("gpu-1")
    fleet.goto(f"{web.url}/fleet/")
    fleet.get_by_text("Add a worker").click()
    queued(project)
    fleet.locator(".queue__place").wait_for()
    assert fleet.get_by_text("nocturne worker --device cuda:0").is_visible()


def test_a_worker_that_comes_and_goes_changes_the_page(fleet: Page, web: Web) -> None:
    fleet.goto(f"{web.url}/fleet/")
    fleet.get_by_text("No worker. Start one:").wait_for()
    fleet.get_by_role("button", name="Copy", exact=True).first.wait_for()
    made = worker("gpu-1")
    fleet.locator(f"#worker-{made.pk} .badge--alive").wait_for()
    assert not fleet.get_by_text("No worker. Start one:").is_visible()
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=2))
    fleet.locator(f"#worker-{made.pk} .badge--late").wait_for()
    fleet.get_by_text("No worker is alive. Start one:").wait_for()


@pytest.mark.parametrize("width", [360, 700, 1024])
def test_nothing_is_wider_than_the_screen(fleet: Page, web: Web, project: Project, width: int) -> None:
    fleet.set_viewport_size({"width": width, "height": 740})
    fleet.goto(f"{web.url}/fleet/")
    assert fleet.evaluate(WIDER) <= 0, "without a worker"
    long = "a-machine-with-a-name-that-nobody-would-type-twice.rack-12.example.org-cuda-3"
    busy = worker(long, device="cuda:3", device_memory_bytes=80 * 10**9)
    worker("old", protocol=0, problem_code="store.not_mounted", problem="The store is away. " * 12)
    name = "Schadensmeldungsklassifizierungsmodell" * 3
    rows.cycle(rows.project_of(project.workspace, name), "sleep", "running", worker=busy, progress=0.4)
    rows.cycle(
        rows.project_of(project.workspace, name), "wake", "queued", queued_at=timezone.now(),
        device="cuda", memory_bytes=10**12,
    )  # fmt: skip
    fleet.goto(f"{web.url}/fleet/")
    fleet.locator(".queue__place").wait_for()
    assert fleet.evaluate(WIDER) <= 0
