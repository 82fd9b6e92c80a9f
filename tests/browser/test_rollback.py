"""The way back, counted in clicks; what a rejected night leaves; the name that moves with an improved one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support import night
from tests.support.night_script import Night
from tests.webapp.live.people import COOKIE, Web, session_of
from webapp.checkpoints.aliases import aliases_advance
from webapp.checkpoints.models import Alias, Checkpoint

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle
    from webapp.projects.models import Project

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    pytest.mark.django_db(transaction=True),
]


class Clicks:
    """Counts what a person presses."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0

    def __call__(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()
        self.count += 1


@pytest.fixture
def best(cycle: Cycle) -> Alias:
    base = cycle.base
    assert base is not None
    return Alias.objects.create(
        project=cycle.project, name="best", checkpoint=base, follows=True, moved_at=base.created_at
    )


@pytest.fixture
def looking(page: Page, web: Web, alice: User) -> Page:
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    return page


def ended(cycle: Cycle, verdict: str) -> Checkpoint:
    """The night ends with a verdict, and the pointer and the names with it, as publishing does it."""
    script = Night(seconds=3)
    night.play(cycle, script)
    made = night.finish(cycle, script, verdict=verdict)
    cycle.refresh_from_db()
    improved, project = verdict == "improved", cycle.project
    project.last_checkpoint_number = made.number
    project.save(update_fields=["last_checkpoint_number"])
    told = aliases_advance(project=project, cycle=cycle, checkpoint=made, improved=improved)
    cycle.report["aliases"] = told
    cycle.save(update_fields=["report"])
    return made


def now(project: Project) -> tuple[int, dict[str, int]]:
    project.refresh_from_db()
    assert project.current is not None
    return project.current.number, {a.name: a.checkpoint.number for a in project.aliases.all()}


@pytest.mark.parametrize("place", ["project", "outcome"])
def test_an_improved_night_is_taken_back_in_two_clicks_and_given_again_in_one(
    place: str, looking: Page, web: Web, cycle: Cycle, best: Alias, problems: list[str]
) -> None:
    ended(cycle, "improved")
    path = f"projects/{cycle.project_id}/" if place == "project" else f"cycles/{cycle.pk}/"
    looking.goto(f"{web.url}/{path}")
    press = Clicks(looking)
    press("Roll back to v6…")
    dialog = looking.get_by_role("dialog", name="Roll back to v6?")
    expect(dialog).to_contain_text("v7 → v6")
    expect(dialog.get_by_role("checkbox", name="best comes along to v6")).to_be_checked()
    press("Roll back to v6")
    looking.get_by_text("v6 is now the current checkpoint, and “best” came along.").wait_for()
    assert press.count == 2
    assert now(cycle.project) == (6, {"best": 6})
    press("Undo")
    looking.get_by_text("v7 is now the current checkpoint, and “best” came along.").wait_for()
    assert now(cycle.project) == (7, {"best": 7})
    assert problems == []


def test_a_rejected_night_shows_its_reasons_and_its_candidate_is_promoted_in_two_clicks(
    looking: Page, web: Web, cycle: Cycle, best: Alias, problems: list[str]
) -> None:
    ended(cycle, "rejected")
    looking.goto(f"{web.url}/cycles/{cycle.pk}/")
    outcome = looking.locator(".outcome")
    expect(outcome).to_contain_text("Rejected. The project stays on v6.")
    expect(outcome).to_contain_text("Forgetting reached 46.0 % on billing (budget 10 %).")
    expect(outcome).to_contain_text("The new version is kept as a candidate; best still points to v6.")
    looking.goto(f"{web.url}/projects/{cycle.project_id}/")
    kept = looking.locator(".candidates__row")
    expect(kept).to_contain_text(re.compile("v7.*Rejected.*Forgetting reached 46.0 %", re.DOTALL))
    press = Clicks(looking)
    press("Promote v7…")
    dialog = looking.get_by_role("dialog", name="Promote v7?")
    for words in ("It was rejected:", "Forgetting reached 46.0 %", "Promote all the same?"):
        expect(dialog).to_contain_text(words)
    expect(dialog.get_by_role("checkbox")).not_to_be_checked()
    press("Promote v7")
    looking.get_by_text("v7 is now the current checkpoint.").wait_for()
    assert press.count == 2
    assert now(cycle.project) == (7, {"best": 6})
    looking.get_by_role("button", name="Undo").click()
    looking.get_by_text("v6 is now the current checkpoint.").wait_for()
    expect(looking.locator(".candidates__row")).to_contain_text("v7")
    assert problems == []


def test_the_name_moves_while_somebody_looks(looking: Page, web: Web, cycle: Cycle, best: Alias) -> None:
    looking.goto(f"{web.url}/projects/{cycle.project_id}/")
    chip = looking.locator(".linealiases .aliaschip")
    expect(chip).to_have_text(re.compile(r"best\s+v6"))
    ended(cycle, "improved")
    expect(chip).to_have_text(re.compile(r"best\s+v7"), timeout=20_000)
    looking.get_by_role("button", name="Roll back to v6…").click()
    expect(looking.get_by_role("dialog", name="Roll back to v6?")).to_contain_text("v7 → v6")


def test_a_dialog_that_is_out_of_date_changes_nothing(
    looking: Page, web: Web, cycle: Cycle, best: Alias
) -> None:
    made = ended(cycle, "improved")
    looking.goto(f"{web.url}/projects/{cycle.project_id}/")
    looking.get_by_role("button", name="Roll back to v6…").click()
    project = cycle.project
    project.current = Checkpoint.objects.get(project=project, number=3)
    project.save()
    looking.get_by_role("button", name="Roll back to v6", exact=True).click()
    looking.get_by_text("v3 is current by now, so nothing was changed.").wait_for()
    assert now(project) == (3, {"best": made.number})


def test_a_name_is_made_switched_and_deleted_on_the_page_of_a_checkpoint(
    looking: Page, web: Web, cycle: Cycle, problems: list[str]
) -> None:
    assert cycle.base is not None
    looking.goto(f"{web.url}/checkpoints/{cycle.base.pk}/")
    field = looking.get_by_label("New alias")
    field.fill("V 12")
    looking.get_by_role("button", name="Add", exact=True).click()
    assert field.evaluate("field => field.validity.patternMismatch")
    field.fill("deployed")
    looking.get_by_role("button", name="Add", exact=True).click()
    looking.get_by_text("“deployed” points to v6.").wait_for()
    switch = looking.get_by_role("switch", name="Follows improved nights (deployed)")
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    looking.get_by_role("button", name="Delete deployed").click()
    looking.get_by_text("“deployed” is gone; v6 stays.").wait_for()
    looking.get_by_role("button", name="Undo").last.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    assert problems == []
