"""Without a mouse: every control is reached by Tab and shows it, and the keys do what their sheet says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.test_accessible import everything, shown
from tests.webapp.live.people import COOKIE, Web

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

    from tests.support.places import Everything, Place

__all__ = ["everything", "shown"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180), pytest.mark.django_db(transaction=True)]

PLACES = (
    "tonight, new", "tonight, busy", "projects", "new project", "project, slept", "upload", "memories",
    "new sleep", "new wake", "sleep, running", "sleep, paused", "sleep, improved", "checkpoint, older",
    "schedules",
    "schedules of a project", "schedule", "fleet", "settings", "members", "audit log", "log in", "welcome",
    "not found",
)  # fmt: skip

# Numbers every control that Tab must reach; of the radios of one name it reaches only one.
CONTROLS = """() => {
  const names = new Set();
  const kinds = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  const found = [...document.querySelectorAll(kinds)].filter((element) => {
    if (element.disabled || element.type === "hidden" || element.tabIndex < 0) return false;
    if (!element.checkVisibility({ visibilityProperty: true })) return false;
    if (element.type !== "radio") return true;
    const group = `${element.name} ${element.form?.id}`;
    return !names.has(group) && names.add(group);
  });
  found.forEach((element, index) => (element.dataset.control = String(index)));
  return found.map((element) => element.outerHTML.slice(0, 120));
}"""
STILL = """() => [...document.querySelectorAll("[data-control]")]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.disabled)
  .map((element) => Number(element.dataset.control))"""
# Where the focus is: the control's number, what it is, and whether a ring is seen on it or on its label.
FOCUS = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const twin = element.type === "radio" && element.dataset.control === undefined
    ? document.querySelector(`input[type=radio][name="${element.name}"][data-control]`) : element;
  const ring = (of) => {
    const style = of && getComputedStyle(of);
    return Boolean(style) && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  };
  return {
    control: twin?.dataset.control ?? null,
    text: element.outerHTML.slice(0, 120),
    ring: ring(element) || ring(element.closest("label")) || ring(element.labels?.[0]),
  };
}"""


def test_tab_reaches_every_control_and_shows_where_it_is(
    shown: Callable[[Place], Page], everything: Everything
) -> None:
    wrong: list[str] = []
    for name in PLACES:
        page = shown(everything.place(name))
        controls = dict(enumerate(page.evaluate(CONTROLS)))
        page.evaluate("document.activeElement.blur()")  # an autofocus is no start of the way
        page.evaluate("getSelection().removeAllRanges(); scrollTo(0, 0)")
        for _ in range(3 * len(controls)):
            page.keyboard.press("Tab")
            focus: dict[str, Any] | None = page.evaluate(FOCUS)
            if focus is None:  # past the end
                if not controls:
                    break
                continue
            if not focus["ring"]:
                wrong.append(f"{name}: no ring on {focus['text']}")
            controls.pop(int(focus["control"] or -1), None)
        left = page.evaluate(STILL)  # a legend drops the lines that turn out to have no values
        wrong += [f"{name}: never reached {controls[n]}" for n in left if n in controls]
    assert not wrong, "\n".join(wrong)


def test_the_first_tab_skips_to_the_content(shown: Callable[[Place], Page], everything: Everything) -> None:
    page = shown(everything.place("tonight, busy"))
    page.keyboard.press("Tab")
    assert page.locator("a.skip").evaluate("link => link === document.activeElement")
    box = page.locator("a.skip").bounding_box()
    assert box is not None
    assert box["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_the_sheet_of_keys_opens_closes_and_gives_the_focus_back(
    shown: Callable[[Place], Page], everything: Everything
) -> None:
    page = shown(everything.place("projects"))
    link = page.locator("main a").first
    link.focus()
    page.keyboard.press("?")
    sheet = page.locator("dialog#keys")
    sheet.wait_for()
    assert sheet.evaluate("dialog => dialog.contains(document.activeElement)")
    page.keyboard.press("Escape")
    sheet.wait_for(state="hidden")
    assert link.evaluate("link => link === document.activeElement")
    shown(everything.place("new project"))
    name = page.locator("main form input[type=text]").first
    name.fill("what")
    name.press("?")
    assert name.input_value() == "what?", "a letter while somebody types is a letter"
    assert sheet.is_hidden()


def test_menus_and_dialogs_give_the_focus_back(
    shown: Callable[[Place], Page], everything: Everything
) -> None:
    page = shown(everything.place("sleep, running"))
    for opener, opened in (
        (".topbar details.menu > summary", ".topbar .menu__sheet"),
        ("[data-open-dialog=cancel]", "dialog#cancel"),
        ("[data-chart=loss] details.menu > summary", "[data-chart=loss] .menu__sheet"),
    ):
        page.locator(opener).focus()
        page.keyboard.press("Enter")
        page.locator(opened).wait_for()
        page.keyboard.press("Tab")
        assert page.locator(opened).evaluate("sheet => sheet.contains(document.activeElement)"), opener
        page.keyboard.press("Escape")
        page.locator(opened).wait_for(state="hidden")
        assert page.locator(opener).evaluate("button => button === document.activeElement"), opener


def test_a_slash_finds_by_arrows_and_enter(shown: Callable[[Place], Page], everything: Everything) -> None:
    page = shown(everything.place("sleep, running"))
    page.keyboard.press("/")
    field = page.locator("dialog#find input")
    field.wait_for()
    assert field.evaluate("field => field === document.activeElement")
    page.locator("#found a", has_text="Audit log").wait_for()
    page.keyboard.type("v7")
    hits = page.locator("#found [role=option]")
    page.locator("#found a[aria-selected=true]", has_text="v7").wait_for()
    chosen = field.get_attribute("aria-activedescendant")
    assert page.locator(f"#{chosen}").get_attribute("aria-selected") == "true"
    count = hits.count()
    assert count >= 2
    for _ in range(count):
        page.keyboard.press("ArrowDown")
    assert field.get_attribute("aria-activedescendant") == chosen, "the list goes round"
    page.keyboard.press("ArrowUp")
    last = page.locator("#found a[aria-selected=true]").get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{last}")
    # In an answer that came too late, Enter still opens what the words find.
    shown(everything.place("projects"))
    page.locator("[data-open-find]").click()
    field.wait_for()
    page.keyboard.type("audit log")
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings/audit/")
    shown(everything.place("projects"))
    page.keyboard.press("/")
    page.keyboard.type("nothing like it")
    page.locator("#found", has_text="Nothing fits").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog#find").wait_for(state="hidden")


def test_undo_is_a_button_of_the_toast(shown: Callable[[Place], Page], everything: Everything) -> None:
    page = shown(everything.place("schedule"))
    name = page.locator("h1").inner_text()
    page.locator("[data-open-dialog=delete]").click()
    page.locator("dialog#delete").get_by_role("button", name="Delete", exact=True).click()
    toast = page.locator(".toast")
    toast.get_by_text("The schedule is gone").wait_for()
    assert page.get_by_role("link", name=name, exact=True).count() == 0
    toast.get_by_role("button", name="Undo").press("Enter")
    page.locator(".toast").get_by_text("The schedule is back").wait_for()
    assert page.get_by_role("link", name=name, exact=True).count() == 1


def test_a_chart_is_zoomed_by_keys(shown: Callable[[Place], Page], everything: Everything) -> None:
    page = shown(everything.place("sleep, improved"))
    chart = page.locator("[data-chart=loss]")
    page.locator("[data-chart=loss][data-points]:not([data-points='0'])").wait_for()
    plot = chart.locator("[data-plot]")

    def span() -> tuple[float, float]:
        low, high = (float(x) for x in (chart.get_attribute("data-range") or "").split())
        return low, high

    low, high = span()
    plot.focus()
    page.keyboard.press("+")
    page.locator("[data-chart=gradient][data-following=false]").wait_for()
    closer = span()
    assert closer[1] - closer[0] == pytest.approx((high - low) / 2, rel=1e-3)
    page.keyboard.press("ArrowRight")
    assert span()[0] > closer[0]
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    assert span()[0] == 0, "nothing lies before the beginning"
    page.keyboard.press("0")
    page.locator("[data-chart=loss][data-following=true]").wait_for()
    assert span() == (low, high)


def test_a_finger_zooms_too(browser: Browser, web: Web, everything: Everything) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    place = everything.place("sleep, improved")
    context.add_cookies([{"name": COOKIE, "value": everything.sessions[place.who], "url": web.url}])
    page = context.new_page()
    page.goto(web.url + place.path)
    chart = page.locator("[data-chart=loss][data-points]")
    chart.scroll_into_view_if_needed()
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    finger = context.new_cdp_session(page)
    y = box["y"] + box["height"] / 2

    def touch(kind: str, *shares: float) -> None:
        points = [{"x": box["x"] + box["width"] * share, "y": y} for share in shares]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.3)
    for share in (0.35, 0.45, 0.6):
        touch("touchMove", share)
    touch("touchEnd")
    page.locator("[data-chart=gradient][data-following=false]").wait_for()
    context.close()


def test_the_keys_go_where_the_sheet_says(shown: Callable[[Place], Page], everything: Everything) -> None:
    page = shown(everything.place("settings"))
    rows = page.locator("dialog#keys tbody tr").evaluate_all(
        "rows => rows.map((row) => [row.cells[0].textContent, ...[...row.querySelectorAll('kbd')]"
        ".map((key) => key.textContent)])"
    )
    places = [row for row in rows if len(row) == 3]
    assert len(places) >= 4
    for label, first, second in places:
        where = page.locator(".topnav a", has_text=label).get_attribute("href")
        shown(everything.place("settings"))
        page.keyboard.press(first)
        page.keyboard.press(second)
        page.wait_for_url(f"**{where}")
        assert page.locator("h1").inner_text() == label
