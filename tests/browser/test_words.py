"""The live page in another language: a made-up one that puts every text in brackets, with German numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import shows
from tests.support import night
from tests.support.night_script import TASKS, Night
from tests.support.script_words import texts
from tests.webapp.live.people import COOKIE, Web, session_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from webapp.accounts.models import User
    from webapp.cycles.models import Cycle

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    pytest.mark.django_db(transaction=True),
]

SCRIPTS = Path(__file__).resolve().parents[2] / "webapp" / "static" / "js"

# A page is "interactive" when all of it is read and no module has run yet.
ABROAD = """document.addEventListener("readystatechange", () => {
  if (document.readyState !== "interactive") return;
  document.documentElement.lang = "de";
  const block = document.createElement("script");
  Object.assign(block, { id: "catalogue", type: "application/json", textContent: book });
  document.body.append(block);
});"""

# Whatever a script writes, except the log: there the engine's own sentences stand too.
WRITTEN = """() => {
  const places = "[data-sub], [data-fresh], [data-livechip], .figure__note, .log__level, "
    + "[data-legend] button, [data-legend] li, [data-note], [data-matrix-foot], .hypno text, .hypno title, "
    + ".valuetable caption, .valuetable th, .valuetable td";
  const found = [...document.querySelectorAll(places)].map((node) => node.textContent);
  found.push(document.querySelector(".hypno").getAttribute("aria-label"));
  for (const cell of document.querySelectorAll("td.heat--now, [data-legend] button")) found.push(cell.title);
  return found.filter((text) => text.trim());
}"""


def bracketed() -> dict[str, str | list[str]]:
    """Every text of every script, as ⟦text⟧."""
    catalog: dict[str, str | list[str]] = {}
    for module in SCRIPTS.glob("*.js"):
        for one, many in texts(module.read_text()):
            catalog[one] = [f"⟦{one}⟧", f"⟦{many}⟧"] if many else f"⟦{one}⟧"
    return catalog


def bare(text: str) -> str:
    """The letters outside of all brackets that are no name and no number's."""
    while text != (text := re.sub(r"⟦[^⟦⟧]*⟧", "", text)):
        pass
    for name in (*TASKS, "gpu-2"):
        text = text.replace(name, "")
    return re.sub(r"\de[+−]?\d+|[\W\d_]", "", text)


@pytest.fixture
def abroad(page: Page, web: Web, alice: User) -> Page:
    """Every page has the catalogue and the language before its first script runs."""
    book = {"catalog": bracketed(), "forms": "10" + "1" * 198}
    page.add_init_script(f"const book = {json.dumps(json.dumps(book))};{ABROAD}")
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    return page


def test_all_that_a_script_writes_on_a_running_night_is_translated(
    abroad: Page, web: Web, cycle: Cycle, problems: list[str]
) -> None:
    abroad.goto(f"{web.url}/cycles/{cycle.pk}/")
    abroad.locator("[data-livechip][data-kind=live]").wait_for()
    script = list(Night(seconds=6).flushes())
    for payload in script[: len(script) * 3 // 4]:
        last = night.flush(cycle, payload)
    shows(abroad, last)
    for name in ("retention", "loss", "device", "significance"):
        abroad.locator(f"[data-chart={name}] .chart__values summary").click()
        abroad.locator(f"[data-chart={name}] .valuetable tbody tr").first.wait_for()
    abroad.locator("[data-note]", has_text="⟦before / after").wait_for()
    written = abroad.evaluate(WRITTEN)
    assert [text for text in written if bare(text)] == []
    assert len(written) > 500
    sub = abroad.locator("[data-sub]").inner_text()
    stage = "NREM replay|REM dreaming|Downscaling"
    words = rf"⟦⟦({stage})⟧, step [\d.]+ of 2\.000⟧ · ⟦preset ⟦Deep⟧⟧ · ⟦worker gpu-2⟧ · ⟦started "
    assert re.match(words, sub), sub
    assert re.fullmatch(r"0,\d\d", abroad.locator("[data-figure=retention] .figure__value").inner_text())
    assert re.fullmatch(r"[+−]0,\d\d ⟦.*⟧|⟦.*since waking⟧", first_note(abroad, "retention"))
    assert re.fullmatch(r"⟦(within|over) ⟦10,0 %⟧⟧", first_note(abroad, "forgetting"))
    assert abroad.locator("[data-log]").get_by_text("⟦gpu-2 took the cycle.⟧").count() == 1
    assert "⟦kept⟧" in abroad.locator(".log__level").all_inner_texts()
    foot = abroad.locator("[data-matrix-foot]").inner_text()
    assert re.match(r"⟦Worst drop from the best so far: ⟦−?\d+,\d %⟧ on [\w ]+⟧ · ⟦budget ⟦10,0 %⟧", foot)
    assert problems == []


def first_note(page: Page, figure: str) -> str:
    chip = page.locator(f"[data-figure={figure}] .figure__note .chip")
    return str(chip.evaluate("chip => chip.lastChild.textContent"))


def test_what_is_saved_or_read_by_programs_is_the_same_in_every_language(
    abroad: Page, web: Web, cycle: Cycle
) -> None:
    abroad.goto(f"{web.url}/cycles/{cycle.pk}/")
    abroad.locator("[data-livechip][data-kind=live]").wait_for()
    for payload in list(Night(seconds=6).flushes())[:30]:
        last = night.flush(cycle, payload)
    shows(abroad, last)
    lines = json.loads(saved(abroad, "retention", "json"))["lines"]
    assert lines[TASKS[-1]]["label"] == f"{TASKS[-1]} (new)"
    assert lines[f"{TASKS[0]}:proof"]["label"] == f"{TASKS[0]} (proof)"
    assert json.loads(saved(abroad, "loss", "json"))["lines"]["distill"]["label"] == "stored logits"
    first, second, *_ = saved(abroad, "loss", "csv").splitlines()
    assert first.startswith('"elapsed_s","loss","ce"')
    assert re.fullmatch(r"[\d.,e+-]*", second)
    assert second.count(",") == first.count(",")
    value = abroad.locator(f"tr[data-task={TASKS[0]}] [data-cell=now]").get_attribute("data-value")
    assert value is not None
    assert 0 < float(value) < 1
    assert re.fullmatch(
        r"[\d.]+ [\d.]+", abroad.locator("[data-chart=loss]").get_attribute("data-range") or ""
    )


def saved(page: Page, chart: str, kind: str) -> str:
    """What a chart's menu saves."""
    card = page.locator(f"[data-chart={chart}]")
    card.locator("details.menu > summary").click()
    with page.expect_download() as download:
        card.locator(f"[data-{kind}]").click()
    return Path(download.value.path()).read_text()


def test_a_cycle_that_waits_and_one_that_is_over(abroad: Page, web: Web, cycle: Cycle, alice: User) -> None:
    waits = night.sleep_cycle(cycle.project, actor=alice)
    abroad.goto(f"{web.url}/cycles/{waits.pk}/")
    abroad.locator("[data-waiting-title]", has_text="⟦Waiting for a worker (next in line)⟧").wait_for()
    assert abroad.locator("[data-waiting-words]").inner_text().startswith("⟦It begins as soon as")
    assert abroad.locator(".hypno__empty").text_content() == "⟦The stages appear here as they begin.⟧"
    script = Night(seconds=3)
    night.play(cycle, script)
    night.finish(cycle, script)
    abroad.goto(f"{web.url}/cycles/{cycle.pk}/")
    abroad.locator("[data-badge]", has_text="⟦Improved⟧").wait_for()
    abroad.locator("[data-sub]", has_text=re.compile(r"^⟦[12]\.\d\d\d steps⟧")).wait_for()
    abroad.locator("[data-log]").get_by_text("⟦Checking and publishing the result.⟧").wait_for()
