"""Records through the browser: bad lines in a table, a warning beside the set, names like formulas."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.consolidation.formats.folders import BERT, numbers, packed
from tests.consolidation.formats.folders import model as hf_folder
from tests.consolidation.text_helpers import tokenizer_json

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# Where pictures go for whoever wants to look: a folder, or nothing.
PICTURES = os.environ.get("NOCTURNE_PICTURES")


def picture(page: Page, name: str) -> None:
    """The page in light, dark and at 360 px."""
    if not PICTURES:
        return
    for look, width in (("light", 1440), ("dark", 1440), ("light", 360), ("dark", 360)):
        page.emulate_media(color_scheme=look)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 1060})
        page.screenshot(path=Path(PICTURES) / f"{name}-{look}-{width}.png", full_page=True)
    page.set_viewport_size({"width": 1440, "height": 1060})
    page.emulate_media(color_scheme="light")


def narrow(page: Page) -> None:
    """Nothing may be wider than a small phone."""
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1440, "height": 1060})


def send(page: Page, path: Path, content: str) -> None:
    path.write_text(content)
    page.locator("input[type=file]").set_input_files(path)
    page.locator("[data-send]").click()


def test_bad_lines_a_warning_and_a_good_table(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("Tables")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    page.goto(page.url + "records/")
    picture(page, "empty")
    page.get_by_label("Add a task").fill('=HYPERLINK("http://a.example")')
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator("input[type=file]").wait_for(state="attached")
    picture(page, "no-records")

    rows = ["1,2,0" if n % 3 else "1,=SUM(A1),0" for n in range(99)]
    send(page, tmp_path / "bad.csv", "\n".join(["a,b,y", *rows]))
    shown = page.locator("[data-preview] tbody tr")
    assert shown.nth(1).locator("td").all_inner_texts() == ["1", "2", "0"]
    refused = page.locator("[data-refused]")
    refused.wait_for()
    assert "Line 2: column b holds something" in refused.inner_text()
    assert "33 lines are bad in all" in refused.inner_text()
    refused_id = page.request.get(f"{site.url}/api/uploads").json()[0]["id"]
    link = page.get_by_role("link", name="See the bad lines")
    records = page.url
    # As the drawer tells it to who went to another page meanwhile.
    note = "(id) => localStorage.setItem('nocturne-uploads', JSON.stringify({ [id]: { at: Date.now() } }))"
    page.evaluate(note, refused_id)
    page.goto(f"{site.url}/schedules/")
    page.locator("[data-drawer-list]").wait_for()
    link.click()
    page.wait_for_url(records)
    send(page, tmp_path / "bad.csv", "\n".join(["a,b,y", *rows]))
    with page.expect_navigation():
        link.click()
    assert page.url == records
    fold = page.get_by_text("33 bad lines, the first 20").first
    fold.focus()
    page.keyboard.press("Enter")
    table = page.get_by_role("group", name="Bad lines")
    assert table.locator("tbody tr").count() == 20
    assert table.locator("tbody tr").nth(1).inner_text().startswith("5")
    picture(page, "refused")
    narrow(page)

    page.get_by_text("Whose they are, and until when").click()
    page.get_by_label("Owner", exact=True).fill("Ann")
    page.get_by_label("Purpose", exact=True).fill("support")
    page.get_by_label("Expires on").fill("2040-01-31")
    page.get_by_label("Records without owner").select_option("yes")
    same = ["1,2,0"] * 40 + [f"{n},2,1" for n in range(40)]
    send(page, tmp_path / "memories.csv", "\n".join(["a,b,y", *same]))
    page.locator("[data-ready]").wait_for()
    page.reload()
    warning = page.locator(".set__notes")
    assert "39 of 80 records (49%) repeat an earlier one" in warning.inner_text()
    assert "owner, purpose, expiry" in page.locator(".set").first.inner_text()
    picture(page, "warned")
    narrow(page)
    assert problems == []


def test_the_first_rows_are_shown_and_their_columns_are_told(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    """A bare BERT gets a head, its tokenizer after it, and reads a table whose names say nothing."""
    files = hf_folder(BERT, numbers(BERT, prefix="", head="none"))
    (tmp_path / "bert.zip").write_bytes(packed(files, "zip"))
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json())
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("Moods")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    project = page.url
    page.goto(project + "upload/")
    page.locator("input[type=file]").set_input_files(tmp_path / "bert.zip")
    page.get_by_text("A new head for a BERT").click()
    page.get_by_label("Head", exact=True).select_option("sequence-classification")
    page.get_by_label("Classes of the head").fill("3")
    page.get_by_role("button", name=re.compile("^Upload")).first.click()
    page.locator("[data-ready-link]").click(timeout=30_000)
    page.get_by_text("A new head for 3 classes was added").wait_for()
    page.locator("input[type=file]").set_input_files(tmp_path / "tokenizer.json")
    page.get_by_role("button", name="Attach").click()
    page.locator("[data-ready-link]").click(timeout=30_000)
    page.get_by_text("tokenizer.json").first.wait_for()

    page.goto(project + "records/")
    page.get_by_label("Add a task").fill("moods")
    page.get_by_role("button", name="Add", exact=True).click()
    (tmp_path / "export.zip").write_bytes(b"PK")
    page.locator("input[type=file]").set_input_files(tmp_path / "export.zip")
    page.locator("[data-unread]").wait_for()
    assert page.get_by_role("textbox", name="Text", exact=True).is_visible()
    table = 'feeling,said\nup,good morning\ndown,"bad, very bad"\n'
    (tmp_path / "moods.csv").write_text(table)
    page.locator("input[type=file]").set_input_files(tmp_path / "moods.csv")
    rows = page.locator("[data-preview] tbody tr")
    rows.first.wait_for()
    assert rows.nth(1).locator("td").all_inner_texts() == ["down", "bad, very bad"]
    page.get_by_label("Hide values").check()
    assert rows.nth(1).locator("td").all_inner_texts() == ["••••", "•••• •••• •••"]
    said = {"feeling": ["up", "down"] * 2, "said": ["good morning", "bad, very bad", "bad", "good"]}
    pq.write_table(pa.table(said), tmp_path / "moods.parquet")
    page.locator("input[type=file]").set_input_files(tmp_path / "moods.parquet")
    page.locator("[data-preview] thead").get_by_text("string").first.wait_for()
    assert rows.nth(1).locator("td").all_inner_texts() == ["••••", "•••• •••• •••"]
    picture(page, "columns-of-parquet")
    text, label = page.get_by_label("Text", exact=True), page.get_by_label("Label", exact=True)
    button, unsaid = page.locator("[data-send]"), page.locator("[data-unsaid]")
    assert (text.input_value(), label.input_value()) == ("", "")
    assert unsaid.is_visible() and button.is_disabled()
    text.select_option("said")
    assert button.is_disabled()
    label.select_option("said")
    assert unsaid.is_hidden()
    button.click()
    page.locator("[data-refused-words]").get_by_text("4 labels").wait_for()
    assert button.is_disabled()
    label.select_option("feeling")
    narrow(page)
    button.click()
    page.locator("[data-ready]").wait_for()
    page.reload()
    assert page.locator(".set title").first.text_content() == "Label down: 2 rows"
    long = "words that go on for longer than a label does"
    (tmp_path / "pairs.csv").write_text(f"one,other,verdict\n{long},{long} too,up\n")
    page.locator("input[type=file]").set_input_files(tmp_path / "pairs.csv")
    page.locator("[data-by-values]").wait_for()
    assert (text.input_value(), label.input_value()) == ("one", "verdict")
    assert page.get_by_label("Second text").input_value() == "other"
    assert button.is_enabled()
    (tmp_path / "ids.csv").write_text("y,0,1,owner\n1,4,5,ann\n")
    page.locator("input[type=file]").set_input_files(tmp_path / "ids.csv")
    page.locator("[data-preview] thead").get_by_text("y", exact=True).wait_for()
    assert button.is_enabled() and unsaid.is_hidden(), "a table of numbers needs no columns told"
    assert problems == []


def test_the_form_says_which_outputs_are_the_task_s_own(
    site: Site, owner_page: Page, problems: list[str], tmp_path: Path
) -> None:
    page = owner_page
    page.goto(f"{site.url}/projects/new/")
    page.get_by_label("Name").fill("Heads")
    page.get_by_role("button", name="Make the project").click()
    page.wait_for_url(re.compile(r"/projects/[0-9a-f-]{36}/$"))
    page.goto(page.url + "records/")
    page.get_by_label("Add a task").fill("moods")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Classes").fill("4")
    page.get_by_text("Labels are some of the model’s outputs only").click()
    page.get_by_label("From column").fill("2")
    page.get_by_label("To column").fill("3")
    send(page, tmp_path / "moods.csv", "a,b,y\n1,2,0\n3,4,1\n")
    page.locator("[data-ready]").wait_for()
    picture(page, "heads")
    narrow(page)
    page.reload()
    assert "2 to 3 of 4" in page.locator(".set").first.inner_text()
    page.get_by_role("link", name="Open").first.click()
    page.get_by_text("2 to 3 of the model’s 4 outputs").wait_for()
    picture(page, "heads-set")
    assert problems == []


def test_a52_a_name_like_a_formula_is_text_in_a_spreadsheet(site: Site, owner_page: Page) -> None:
    """The export writes the names of tasks into its first line."""
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain", 'with "quotes"', "a=1"]
    found = owner_page.evaluate(
        "async (names) => {"
        " const { csvText } = await import(document.querySelector('script[src*=\"/js/\"]').src"
        "   .replace(/js\\/[^/]*$/, 'js/chart_values.js'));"
        " return names.map(csvText); }",
        names,
    )
    assert found == [
        '"\'=1+1"', '"\'+1"', '"\'-1"', '"\'@SUM(A1)"', '"\'\t=1"', '"\'\r=1"', '"plain"',
        '"with ""quotes"""', '"a=1"',
    ]  # fmt: skip
