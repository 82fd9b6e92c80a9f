"""Pausing, resuming and extending a night that streams: the buttons follow, each state explains itself."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from tests.browser.conftest import shows
from tests.support import night
from tests.support.night_script import Night
from tests.webapp.live.people import COOKIE, Web, session_of
from webapp.cycles.blocking import cycle_block
from webapp.cycles.choices import State
from webapp.cycles.claim import release
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import transition

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from webapp.accounts.models import User

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), pytest.mark.django_db(transaction=True)]


def script(**how: Any) -> list[dict[str, Any]]:
    return list(Night(seconds=6, **how).flushes())


def button(page: Page, name: str) -> Locator:
    return page.locator(".pagehead__actions").get_by_text(name, exact=True)


def offered(page: Page, *names: str) -> None:
    """Exactly these of the steering buttons come to be seen, in this order."""
    wanted = "|".join(names)
    page.wait_for_function(
        """(wanted) => [...document.querySelectorAll("[data-steering] :is(button, summary)")]
          .filter((one) => one.checkVisibility() && !one.closest(".menu__sheet"))
          .map((one) => one.textContent.trim()).join("|") === wanted""",
        arg=wanted,
    )


def card(page: Page) -> str:
    return re.sub(r"\s+", " ", page.locator("[data-waiting]").inner_text())


def test_a_night_is_paused_and_resumed_without_a_reload(
    seen: Page, cycle: Cycle, problems: list[str]
) -> None:
    seen.evaluate("() => { window.stayed = true; }")
    frames = script()
    for payload in frames[:20]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    offered(seen, "Pause", "Extend", "Cancel…")
    button(seen, "Pause").click()
    seen.locator(".toast", has_text="nothing is lost").wait_for()
    seen.locator(".badge--pausing").wait_for()
    offered(seen, "Extend", "Cancel…")
    assert "A snapshot is written, then the device is free for others." in card(seen)
    assert seen.evaluate("document.activeElement.checkVisibility()"), (
        "the focus is on something that is there"
    )
    night.flush(cycle, frames[20])
    night.pause_done(cycle)
    seen.locator("[data-waiting-title]", has_text=re.compile(r"Paused since \d\d:\d\d")).wait_for()
    offered(seen, "Resume", "Extend", "Cancel…")
    assert "Paused by alice@example.org." in card(seen)
    assert "goes on from its snapshot" in card(seen)
    assert seen.title().startswith("Paused · Sleep 7")
    night.worker()
    button(seen, "Resume").click()
    seen.locator("[data-badge]", has_text="Waiting").wait_for()
    offered(seen, "Pause", "Extend", "Cancel…")
    again = night.begin(Cycle.objects.get(pk=cycle.pk), name="gpu-5")
    step = frames[20]["step"]
    for payload in script(resume_step=step, seed=9)[:10]:
        last = night.flush(again, payload)
    shows(seen, last)
    assert seen.locator("[data-waiting]").is_hidden()
    story = f"Paused at \\d\\d:\\d\\d. Resumed on gpu-5 from step {step}."
    assert re.fullmatch(story, seen.locator("[data-story]").inner_text())
    assert "attempt" not in seen.locator("[data-sub]").inner_text(), "a pause is no attempt"
    seen.locator(".hypno__wait title", has_text="Paused for").wait_for(state="attached")
    assert seen.evaluate("window.stayed") is True
    assert problems == []


def test_an_extension_is_seen_by_whoever_looks(
    seen: Page, web: Web, cycle: Cycle, alice: User, problems: list[str]
) -> None:
    for payload in script()[:20]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    other = seen.context.new_page()
    other.goto(f"{web.url}/cycles/{cycle.pk}/")
    other.locator("[data-livechip][data-kind=live]").wait_for()
    button(seen, "Extend").click()
    seen.get_by_role("button", name="50 % longer").click()
    for page in (seen, other):
        page.locator("[data-extended]", has_text="+50 %").wait_for()
        page.locator("[data-log] li", has_text="Extended by 50").wait_for()
    assert Cycle.objects.get(pk=cycle.pk).extended == 0.5
    assert seen.locator("[data-steer-menu][open]").count() == 0
    last = night.flush(cycle, {**script()[20], "events": _stage("downscaling")})
    shows(seen, last)
    offered(seen, "Pause", "Cancel…")
    assert problems == []


def _stage(name: str) -> list[dict[str, Any]]:
    return [
        {"kind": "stage_started", "t": 3.0, "step": 900, "progress": 0.5, "stage": name, "round": 1},
    ]


def test_a_refusal_is_told_and_changes_nothing(seen: Page, cycle: Cycle) -> None:
    transition(cycle.pk, to=State.PUBLISHING, expect_from=[State.RUNNING])
    offered(seen)
    again = seen.evaluate(
        """() => { const form = document.querySelector("[data-steer=pause]"); form.hidden = false;
        form.querySelector("button").click(); }"""
    )
    assert again is None
    seen.locator(".toast--error", has_text="too late to pause").wait_for()
    assert Cycle.objects.get(pk=cycle.pk).state == State.PUBLISHING


def test_cancelling_names_what_is_lost_and_offers_the_pause(seen: Page, cycle: Cycle) -> None:
    for payload in script()[:20]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    button(seen, "Cancel…").click()
    dialog = seen.locator("dialog#cancel")
    step = Cycle.objects.get(pk=cycle.pk).step
    assert f"That is {step} steps." in dialog.inner_text()
    assert "pause it instead" in dialog.inner_text()
    dialog.get_by_role("button", name="Cancel the cycle").click()
    seen.locator("[data-badge]", has_text="Cancelling").wait_for()
    offered(seen)
    assert dialog.is_hidden()


def test_a_blocked_one_shows_its_sentence_and_goes_on_by_itself(seen: Page, cycle: Cycle) -> None:
    night.worker()
    cycle_block(
        cycle_id=cycle.pk, code="cycle.no_room", message="The disk has no room: 4 GB are needed.",
        epoch=cycle.epoch,
    )  # fmt: skip
    seen.locator("[data-waiting-words]", has_text="The disk has no room: 4 GB are needed.").wait_for()
    assert re.search(r"Blocked since \d\d:\d\d", card(seen))
    assert "looked at again by itself" in card(seen)
    assert "cycle.no_room" in card(seen)
    offered(seen, "Pause", "Extend", "Cancel…")
    transition(
        cycle.pk, to=State.QUEUED, expect_from=[State.BLOCKED], error_code="", error_message="",
        reason="cycle.no_room",
    )  # fmt: skip
    seen.locator("[data-waiting-title]", has_text="next in line").wait_for()


def test_a_kill_is_told_with_worker_step_and_attempt(seen: Page, cycle: Cycle) -> None:
    frames = script()
    for payload in frames[:24]:
        time.sleep(0.1)  # the clock's time, by which a lost stage ends, runs with the engine's
        night.flush(cycle, payload)
    snapshot = {"kind": "snapshot", "t": frames[16]["t"], "step": frames[16]["step"], "stage": "NREM replay"}
    # The stream tells a snapshot when it is durable: some frames later than its step.
    last = night.flush(cycle, {**frames[24], "events": [snapshot]})
    shows(seen, last)
    night.lost(cycle)
    seen.locator("[data-story]", has_text=re.compile(r"^gpu-2 stopped reporting at \d\d:\d\d\.$")).wait_for()
    again = night.begin(cycle, name="gpu-5")
    for payload in script(resume_step=snapshot["step"], seed=9)[:12]:
        last = night.flush(again, payload)
    shows(seen, last)
    words = seen.locator("[data-story]").inner_text()
    first, end = snapshot["step"], frames[24]["step"]
    assert f"Resumed on gpu-5 from step {first} (attempt 2)." in words
    assert f"Steps {first + 1} to {end} are run again; what they were is drawn faint." in words
    assert "attempt 2" in seen.locator("[data-sub]").inner_text()
    assert seen.locator("[data-log] li", has_text=f"It goes on from step {first}.").count() == 1
    assert seen.locator(".hypno .is-ghost").count() >= 1
    assert seen.locator("[data-ghost-note]").is_visible()
    seen.reload()
    shows(seen, last)
    seen.locator("[data-story]", has_text=f"from step {first} (attempt 2)").wait_for()


def test_why_nobody_takes_it_is_told_and_follows_the_fleet(seen: Page, cycle: Cycle) -> None:
    night.worker()
    Cycle.objects.filter(pk=cycle.pk).update(device="cuda")
    release(cycle_id=cycle.pk, epoch=cycle.epoch, reason="worker_stopping", free=True)
    seen.locator("[data-waiting-title]", has_text="No worker can take it").wait_for()
    assert "asks for cuda, and the workers that are alive have cpu" in card(seen)
    worker = night.worker("gpu-9")
    worker.device = "cuda:0"
    worker.save()
    seen.locator("[data-waiting-title]", has_text="next in line").wait_for()


def test_behind_a_blocked_one_it_is_not_next_in_line(seen: Page, cycle: Cycle) -> None:
    night.worker()
    before = night.sleep_cycle(cycle.project)
    Cycle.objects.filter(pk=before.pk).update(queued_at=timezone.now() - timedelta(hours=1))
    cycle_block(cycle_id=before.pk, code="cycle.no_room", message="The disk has no room.")
    release(cycle_id=cycle.pk, epoch=cycle.epoch, reason="worker_stopping", free=True)
    seen.locator("[data-waiting-title]", has_text="Waiting for a blocked cycle").wait_for()
    assert f"{before} of this project comes first, and it is blocked." in card(seen)
    transition(before.pk, to=State.CANCELLED, expect_from=[State.BLOCKED])
    night.worker()
    seen.locator("[data-waiting-title]", has_text="next in line").wait_for()


def test_the_keyboard_reaches_and_presses_them(seen: Page, cycle: Cycle) -> None:
    names: list[str] = []
    seen.locator(".crumbs a").last.focus()
    for _ in range(6):
        seen.keyboard.press("Tab")
        names.append(seen.evaluate("document.activeElement.textContent.trim()"))
    assert [name for name in names if name in {"Pause", "Extend", "Cancel…"}] == [
        "Pause",
        "Extend",
        "Cancel…",
    ]
    seen.locator("[data-steer-menu] summary").focus()
    seen.keyboard.press("Enter")
    seen.keyboard.press("Tab")
    assert seen.evaluate("document.activeElement.textContent") == "25 % longer"
    seen.keyboard.press("Enter")
    seen.locator("[data-extended]", has_text="+25 %").wait_for()
    button(seen, "Pause").focus()
    seen.keyboard.press("Enter")
    seen.locator(".badge--pausing").wait_for()


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_sticks_out_in_any_state(seen: Page, cycle: Cycle, width: int) -> None:
    def fits(what: str) -> None:
        assert seen.evaluate("document.documentElement.scrollWidth") <= width, what

    seen.set_viewport_size({"width": width, "height": 740})
    for payload in script()[:20]:
        night.flush(cycle, payload)
    button(seen, "Extend").click()
    sheet = seen.locator("[data-steer-menu] .menu__sheet").bounding_box()
    assert sheet is not None
    assert sheet["x"] >= 0 and sheet["x"] + sheet["width"] <= width
    fits("menu")
    seen.keyboard.press("Escape")
    night.paused(cycle, actor=None, reason="the window of the schedule Nightly has closed")
    seen.locator(".badge--paused").wait_for()
    seen.locator("[data-waiting-words]", has_text="has closed").wait_for()
    fits("paused")
    cycle = transition(cycle.pk, to=State.QUEUED, expect_from=[State.PAUSED])
    cycle_block(cycle_id=cycle.pk, code="cycle.no_room", message="No room in " + "a" * 30 + ".")
    seen.locator(".badge--blocked").wait_for()
    fits("blocked")


def test_the_lists_offer_pause_and_resume(page: Page, web: Web, alice: User, cycle: Cycle) -> None:
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    page.goto(f"{web.url}/")
    page.get_by_role("button", name="Pause Sleep 7").click()
    page.locator(".cyclerow .badge--pausing").wait_for()
    assert page.url == f"{web.url}/"
    night.pause_done(cycle)
    page.get_by_text("Paused by alice@example.org").wait_for()
    page.goto(f"{web.url}/projects/{cycle.project_id}/")
    page.get_by_role("button", name="Resume Sleep 7").click()
    page.locator(".cyclerow .badge--queued").wait_for()
    assert page.url == f"{web.url}/projects/{cycle.project_id}/"
