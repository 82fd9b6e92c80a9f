"""axe-core finds nothing on any page: light and dark, wide and narrow, and with each dialog and menu open."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import night
from tests.support.places import furnish
from tests.webapp.live.people import COOKIE, Web

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from playwright.sync_api import Browser, Page, ViewportSize

    from tests.support.places import Everything, Place

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), pytest.mark.django_db(transaction=True)]

WIDE: ViewportSize = {"width": 1440, "height": 1060}
NARROW: ViewportSize = {"width": 360, "height": 740}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# What another colour scheme can change.
COLOURS = ["color-contrast", "link-in-text-block"]

# Chromium follows a change of the scheme some frames later.
PAINTED = """(dark) => {
  const light = (of, name) => {
    const parts = getComputedStyle(document.querySelector(of))[name].match(/\\d+/g);
    return Number(parts[0]) + Number(parts[1]) + Number(parts[2]) > 382;
  };
  return light("html", "backgroundColor") !== dark && light("h1", "color") === dark;
}"""
RUN = """async ({ only, off }) => {
  const rules = Object.fromEntries(off.map((id) => [id, { enabled: false }]));
  const found = await axe.run(document, { runOnly: only, rules, resultTypes: ["violations"] });
  return found.violations.map((rule) => ({
    id: rule.id,
    nodes: rule.nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`),
  }));
}"""


@pytest.fixture
def everything(transactional_db: None) -> Everything:
    return furnish()


@pytest.fixture
def shown(browser: Browser, web: Web, everything: Everything) -> Callable[[Place], Page]:
    """Opens a place in the one context of the test, as the person who looks at it."""
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    context.set_default_timeout(20_000)
    context.add_init_script(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    page = context.new_page()

    def show(place: Place) -> Page:
        night.worker()  # as fresh as when it was furnished
        context.clear_cookies()
        if place.who:
            session = everything.sessions[place.who]
            context.add_cookies([{"name": COOKIE, "value": session, "url": web.url}])
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(WIDE)
        answer = page.goto(web.url + place.path)
        assert answer is not None
        assert answer.status == place.status, place.name
        if page.locator("[data-cycle]").count():
            page.locator("[data-livechip]:not([data-kind=connecting])").wait_for(state="attached")
        return page

    return show


def look(page: Page, *, dark: bool = False, size: ViewportSize = WIDE) -> None:
    """Change how the page is looked at, and wait until it is painted that way."""
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.set_viewport_size(size)
    page.wait_for_function(PAINTED, arg=dark)


def violations(
    page: Page, where: str, *, only: list[str] | None = None, off: Sequence[str] = ()
) -> list[str]:
    """What axe-core finds, one line a rule: the place, the rule, on how many elements, and the first one."""
    rules = {"type": "rule", "values": only} if only else {"type": "tag", "values": RULES}
    found: list[dict[str, Any]] = page.evaluate(RUN, {"only": rules, "off": list(off)})
    return [f"{where}: {rule['id']} ×{len(rule['nodes'])}: {rule['nodes'][0]}" for rule in found]


@pytest.mark.timeout(600)  # some sixty places, each looked at three times
def test_every_page_light_and_dark_wide_and_narrow(
    shown: Callable[[Place], Page], everything: Everything
) -> None:
    found: list[str] = []
    for place in everything.places:
        page = shown(place)
        found += violations(page, place.name)
        look(page, dark=True)
        found += violations(page, f"{place.name}, dark", only=COLOURS)
        look(page, dark=True, size=NARROW)
        found += violations(page, f"{place.name}, narrow", off=["color-contrast"])
    assert not found, "\n".join(found)


# What opens over a page: the place, what is clicked, and what is there then.
OPENED = [
    ("tonight, busy", "details.menu > summary", ".menu__sheet"),
    ("tonight, busy", "footer [data-open-dialog=keys]", "dialog#keys[open]"),
    ("tonight, busy", "[data-open-find]", "#found a"),
    ("sleep, running", "[data-open-dialog=cancel]", "dialog#cancel[open]"),
    ("sleep, paused", "[data-steer-menu] > summary", "[data-steer-menu] .menu__sheet"),
    ("sleep, running", "[data-chart=loss] details.menu > summary", "[data-chart=loss] .menu__sheet"),
    (
        "sleep, running",
        "[data-chart=loss] .chart__values > summary",
        "[data-chart=loss] .valuetable tbody tr",
    ),
    ("checkpoint, older", "[data-open-dialog^=promote]", "dialog[open]"),
    ("record set", "[data-open-dialog=erase]", "dialog#erase[open]"),
    ("project, candidate", "[data-open-dialog^=promote]", "dialog[open] .promote__changes"),
    ("project, candidate", ".candidates [data-open-dialog^=promote]", "dialog[open] .promote__doubt"),
    ("sleep, improved", "[data-open-dialog^=promote]", "dialog[open] .promote__changes"),
    ("project, slept", "[data-open-dialog=rename]", "dialog#rename[open]"),
    ("schedule", "[data-open-dialog=delete]", "dialog#delete[open]"),
    ("schedules of a project", "details.fold > summary", "details.fold[open] .form"),
    ("members", "[data-open-dialog^=remove]", "dialog[open]"),
    ("trash", "[data-open-dialog=empty]", "dialog#empty[open]"),
    ("checkpoint, in the trash", "[data-open-dialog=delete]", "dialog#delete[open]"),
    ("fleet", "details.fold > summary", "details.fold[open] .codeblock"),
]


def test_whatever_opens_over_a_page(shown: Callable[[Place], Page], everything: Everything) -> None:
    found: list[str] = []
    for name, opener, opened in OPENED:
        page = shown(everything.place(name))
        page.locator(opener).first.click()
        page.locator(opened).first.wait_for()
        found += violations(page, f"{name}, {opener}")
        look(page, dark=True)
        found += violations(page, f"{name}, {opener}, dark", only=COLOURS)
    assert not found, "\n".join(found)
