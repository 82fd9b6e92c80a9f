"""The report in a real browser: drawn under its own strict policy, saved, and opened without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import night
from tests.support.night_script import Night

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from webapp.cycles.models import Cycle

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def drawn(page: Page) -> dict[str, object]:
    """What shows that the style sheet was let in and the pictures have their size."""
    found: dict[str, object] = page.evaluate(
        """() => ({
          font: getComputedStyle(document.body).fontVariantNumeric,
          bars: [...document.querySelectorAll(".bar")].filter((bar) => bar.getBBox().width > 1).length,
          line: getComputedStyle(document.querySelector(".line")).fill,
          width: document.documentElement.scrollWidth,
        })"""
    )
    return found


def test_saved_and_opened_without_a_network_it_is_the_same_page(
    seen: Page, cycle: Cycle, tmp_path: Path
) -> None:
    script = Night(seconds=6)
    night.play(cycle, script)
    night.finish(cycle, script)
    problems: list[str] = []
    seen.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    seen.goto(seen.url.split("?")[0] + "report/")
    seen.set_viewport_size({"width": 360, "height": 800})
    online = drawn(seen)
    assert online == {"font": "tabular-nums", "bars": online["bars"], "line": "none", "width": 360}
    assert isinstance(online["bars"], int)
    assert online["bars"] >= 5
    assert seen.pdf(format="A4").startswith(b"%PDF-")
    with seen.expect_download() as download:
        seen.get_by_role("link", name="Save as a file").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    asked: list[str] = []
    seen.on("request", lambda request: asked.append(request.url))
    seen.goto(file.as_uri())
    assert drawn(seen) == online
    assert asked == [file.as_uri()]
    assert problems == []
