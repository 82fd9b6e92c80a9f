"""What every chart of the live page promises, point by point."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from consolidation.families.registry import family_spec
from tests.browser.conftest import shows
from tests.support import night
from tests.support.night_script import Night
from webapp.live.models import Frame, Note

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from webapp.cycles.models import Cycle

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    pytest.mark.django_db(transaction=True),
]


def payloads(seconds: float = 6.0) -> list[dict[str, Any]]:
    return list(Night(seconds=seconds).flushes())


def play(page: Page, cycle: Cycle, script: list[dict[str, Any]]) -> None:
    for payload in script:
        last = night.flush(cycle, payload)
    shows(page, last)


def many_points(count: int, first: int = 1) -> list[dict[str, Any]]:
    """Flushes of 250 points; the loss is a wave whose peaks no bin may hide."""
    script: list[dict[str, Any]] = [
        {
            "events": [{"kind": "stage_started", "stage": "NREM replay", "round": 1, "t": 0.0, "step": 0}],
            "t": 0.0, "progress": 0.0, "step": 0, "total_steps": count,
        }
    ]  # fmt: skip
    for start in range(first, first + count, 250):
        steps = list(range(start, start + 250))
        loss = [round(1 + math.sin(step / 7) + (5 if step % 1000 == 500 else 0), 4) for step in steps]
        points = {"step": steps, "t": [step / 100 for step in steps], "loss": loss, "ce": loss}
        script.append(
            {
                "points": points, "events": [], "t": steps[-1] / 100, "progress": steps[-1] / count,
                "step": steps[-1], "total_steps": count,
            }
        )  # fmt: skip
    return script


def chart(page: Page, name: str) -> Locator:
    found = page.locator(f"[data-chart={name}]")
    found.scroll_into_view_if_needed()
    return found


def drag(page: Page, name: str, start: float, end: float) -> None:
    """Zoom by hand, from one share of the chart's width to another."""
    box = chart(page, name).locator(".u-over").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=5)
    page.mouse.up()


def saved(page: Page, click: Callable[[], None]) -> bytes:
    with page.expect_download() as download:
        click()
    return Path(download.value.path()).read_bytes()


def menu(page: Page, name: str, item: str) -> bytes:
    card = chart(page, name)
    card.locator("details[data-menu] summary").click()
    return saved(page, lambda: card.locator(".menu__sheet").get_by_text(item, exact=True).click())


def stored(cycle: Cycle) -> list[dict[str, Any]]:
    """Every point as the database has it."""
    points = []
    for text in (
        Frame.objects.filter(cycle=cycle, points__isnull=False)
        .order_by("seq")
        .values_list("points", flat=True)
    ):
        columns = json.loads(text or "{}")
        for i in range(len(columns["step"])):
            points.append({name: column[i] for name, column in columns.items()})
    return points


def number(value: float | None) -> float | str:
    """As a CSV has it: nothing for what is no number."""
    return "" if value is None else value


def test_charts_are_drawn_at_most_ten_times_a_second_and_never_made_anew(seen: Page, cycle: Cycle) -> None:
    script = payloads(12)
    play(seen, cycle, script[:5])
    seen.evaluate(
        """() => { window.draws = 0;
        const card = document.querySelector('[data-chart=loss]');
        card.querySelector('canvas').dataset.mine = 'yes';
        new MutationObserver((all) => { window.draws += all.length; })
          .observe(card, { attributes: true, attributeFilter: ['data-points'] }); }"""
    )
    began = time.monotonic()
    for payload in script[5:90]:
        last = night.flush(cycle, payload)
        time.sleep(0.02)
    shows(seen, last)
    seconds = time.monotonic() - began
    draws = seen.evaluate("window.draws")
    assert 2 <= draws <= 10 * seconds + 2
    assert seen.locator("[data-chart=loss] canvas[data-mine=yes]").count() == 1


def test_a_hidden_tab_draws_nothing_and_catches_up(seen: Page, cycle: Cycle) -> None:
    script = payloads()
    play(seen, cycle, script[:10])
    hide = """hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange')); }"""
    seen.wait_for_timeout(300)
    seen.evaluate(hide, True)
    before = chart(seen, "loss").get_attribute("data-points")
    for payload in script[10:30]:
        last = night.flush(cycle, payload)
    seen.wait_for_timeout(800)
    assert chart(seen, "loss").get_attribute("data-points") == before
    seen.evaluate(hide, False)
    shows(seen, last)
    seen.wait_for_function(
        "n => Number(document.querySelector('[data-chart=loss]').dataset.points) > n", arg=int(before or 0)
    )


def test_the_cursor_is_one_over_all_charts_and_the_hypnogram(seen: Page, cycle: Cycle) -> None:
    play(seen, cycle, payloads()[:40])
    box = chart(seen, "loss").locator(".u-over").bounding_box()
    assert box is not None
    seen.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 30)
    where = """() => Object.fromEntries([...document.querySelectorAll('[data-chart] .u-over')].map((over) => {
        const name = over.closest('[data-chart]').dataset.chart;
        const x = new DOMMatrix(getComputedStyle(over.querySelector('.u-cursor-x')).transform).m41;
        return [name, x / over.clientWidth]; }))"""
    found = seen.evaluate(where)
    assert all(abs(share - 0.4) < 0.02 for share in found.values()), found
    seen.locator(".hypno__cursor").wait_for(state="attached")
    seen.locator("[data-chart=loss] .chart__tip").wait_for()
    seen.mouse.move(2, 2)
    seen.locator("[data-chart=loss] .chart__tip").wait_for(state="hidden")


def test_zoom_goes_over_all_charts_and_a_double_click_goes_back(seen: Page, cycle: Cycle) -> None:
    script = payloads()
    play(seen, cycle, script[:40])
    drag(seen, "loss", 0.2, 0.5)
    names = ("loss", "gradient", "forgetting", "retention", "device")
    for name in names:
        seen.locator(f"[data-chart={name}][data-following=false]").wait_for()
        assert chart(seen, name).get_by_role("button", name="Follow again").is_visible()
    ranges = {chart(seen, name).get_attribute("data-range") for name in names}
    play(seen, cycle, script[40:45])
    assert len(ranges) == 1
    assert {chart(seen, name).get_attribute("data-range") for name in names} == ranges
    box = chart(seen, "gradient").locator(".u-over").bounding_box()
    assert box is not None
    seen.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + 20)
    for name in names:
        seen.locator(f"[data-chart={name}][data-following=true]").wait_for()


def test_the_legend_hides_and_alt_click_leaves_one_alone(seen: Page, cycle: Cycle) -> None:
    play(seen, cycle, payloads()[:20])
    legend = chart(seen, "loss").locator("[data-legend] button:visible")
    names = legend.all_inner_texts()
    assert names == ["loss", "labels", "stored logits"]

    def pressed() -> list[str | None]:
        return [button.get_attribute("aria-pressed") for button in legend.all()]

    legend.nth(1).click()
    assert pressed() == ["true", "false", "true"]
    legend.nth(2).click(modifiers=["Alt"])
    assert pressed() == ["false", "false", "true"]
    legend.nth(2).press("Alt+Enter")
    legend.nth(2).click(modifiers=["Alt"])
    assert pressed() == ["true", "true", "true"]


def test_values_that_are_no_numbers_are_counted_gaps(seen: Page, cycle: Cycle) -> None:
    script = payloads()
    play(seen, cycle, script)
    gaps = sum(1 for point in stored(cycle) if point["loss"] is None)
    assert gaps > 0
    note = chart(seen, "loss").locator("[data-note]").inner_text()
    assert re.match(rf"{gaps} gaps? \(not finite\)", note), note
    rows = list(csv.DictReader(io.StringIO(menu(seen, "loss", "CSV of this chart").decode())))
    assert sum(1 for row in rows if row["loss"] == "") == gaps


def test_one_point_is_a_dot(seen: Page, cycle: Cycle) -> None:
    (start, first, *_) = many_points(250)
    first["points"] = {name: column[100:101] for name, column in first["points"].items()}
    ink = """() => { const canvas = document.querySelector('[data-chart=loss] canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let n = 0; for (let i = 0; i < data.length; i += 4)
          if (data[i + 3] > 200 && data[i] + data[i + 1] + data[i + 2] < 200) n += 1;
        return n; }"""
    seen.emulate_media(color_scheme="light")
    play(seen, cycle, [start])
    seen.wait_for_timeout(300)
    before = seen.evaluate(ink)
    play(seen, cycle, [first])
    seen.locator("[data-chart=loss][data-points='1']").wait_for()
    assert seen.evaluate(ink) > before


def test_many_points_become_rows_that_hide_no_peak_and_a_zoom_brings_them_back(
    seen: Page, cycle: Cycle
) -> None:
    play(seen, cycle, many_points(6_000))
    note = chart(seen, "loss").locator("[data-note]").inner_text()
    shown = re.search(r"([\d,]+) rows of 6,000 points", note)
    assert shown, note
    rows = json.loads(menu(seen, "loss", "JSON of this chart"))
    loss = rows["lines"]["loss"]
    assert len(rows["elapsed_s"]) == int(shown[1].replace(",", "")) <= 4_096
    raw = [point["loss"] for point in stored(cycle)]
    assert max(loss["high"]) == max(raw) > 5
    assert min(loss["low"]) == min(raw)
    assert sum(1 for value in loss["high"] if value and value > 4) == 6, "every peak is there"
    drag(seen, "loss", 0.1, 0.3)
    seen.locator("[data-cycle][data-detail='0']").wait_for()
    inside = json.loads(menu(seen, "loss", "JSON of this chart"))
    low, high = map(float, (chart(seen, "loss").get_attribute("data-range") or "").split())
    seconds = [x for x in inside["elapsed_s"] if low <= x <= high]
    assert low > 5
    shift = inside["elapsed_s"][0] - stored(cycle)[0]["t"]  # the page's clock begins with the first frame
    expected = [t for p in stored(cycle) if low <= (t := p["t"] + shift) <= high]
    assert seconds == pytest.approx(expected, abs=1e-6)


def test_a_page_opened_late_shows_the_same_from_history(seen: Page, cycle: Cycle) -> None:
    start, *script = many_points(60_000)
    # Small frames, so that there are more of them than are fetched one by one.
    small = []
    for payload in script:
        for at in range(0, 250, 125):
            points = {name: column[at : at + 125] for name, column in payload["points"].items()}
            small.append(payload | {"points": points, "t": points["t"][-1], "step": points["step"][-1]})
    for payload in [start, *small]:
        last = night.flush(cycle, payload)
    requests: list[str] = []
    seen.on("request", lambda request: requests.append(request.url))
    seen.reload()
    shows(seen, last)
    assert any("/history" in url for url in requests)
    rows = json.loads(menu(seen, "loss", "JSON of this chart"))
    raw = [point["loss"] for point in stored(cycle)]
    loss = rows["lines"]["loss"]
    assert (max(loss["high"]), min(loss["low"])) == (max(raw), min(raw))
    assert re.search(r"rows of 60,000 points", chart(seen, "loss").locator("[data-note]").inner_text())
    more = many_points(500, first=60_001)[1:]
    play(seen, cycle, more)
    assert re.search(r"rows of 60,500 points", chart(seen, "loss").locator("[data-note]").inner_text())


# The share of columns around a place of the picture, 0 to 1, that have ink of a line.
INKED = """(at) => {
  const canvas = document.querySelector("[data-chart=loss] canvas"), { width, height } = canvas;
  const from = Math.round(width * (at - .03)), wide = Math.round(width * .06);
  const { data } = canvas.getContext("2d").getImageData(from, 0, wide, height);
  const dark = (at) => data[at + 3] > 200 && data[at] + data[at + 1] + data[at + 2] < 400;
  const columns = new Set();
  for (let at = 0; at < data.length; at += 4) if (dark(at)) columns.add((at / 4) % wide);
  return columns.size / wide;
}"""


@pytest.mark.parametrize(
    ("moments", "joined"),
    [
        ([7.0 * n for n in range(40)], True),
        ([1.0 * n for n in range(20)] + [60.0 + n for n in range(20)], False),
        ([0.0, 4.0, 8.0, 12.0, 60.0, 64.0, 68.0], False),
    ],
    ids=["slow steps", "a silence", "a silence among few steps"],
)
def test_slow_steps_are_joined_and_a_long_silence_is_not(
    seen: Page, cycle: Cycle, moments: list[float], joined: bool
) -> None:
    """A step of a large model takes seconds; half a minute between those of a small one is another matter."""
    count = len(moments)
    points = {"step": list(range(1, count + 1)), "t": moments, "loss": [1.0] * count, "ce": [1.0] * count}
    begun = {"kind": "stage_started", "stage": "NREM replay", "round": 1, "t": 0.0, "step": 0}
    told = {"points": points, "events": [begun], "t": moments[-1], "progress": 0.5, "step": count}
    play(seen, cycle, [told | {"total_steps": 2 * count}])
    chart(seen, "loss").locator("canvas").wait_for()
    seen.wait_for_function(f"() => ({INKED})(.2) > .95")
    assert (seen.evaluate(INKED, 0.5) > 0.95) is joined


def test_smoothing_leaves_the_raw_values_where_they_are(seen: Page, cycle: Cycle) -> None:
    play(seen, cycle, payloads())
    raw = menu(seen, "loss", "CSV of this chart")
    seen.locator("[data-smooth]").fill("0.9")
    seen.wait_for_function("() => location.hash.includes('smooth=0.9')")
    box = chart(seen, "loss").locator(".u-over").bounding_box()
    assert box is not None
    seen.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 30)
    tip = seen.locator("[data-chart=loss] .chart__tip")
    tip.filter(has_text="~").wait_for()
    assert menu(seen, "loss", "CSV of this chart") == raw


def test_exports_say_what_the_database_says(seen: Page, cycle: Cycle) -> None:
    play(seen, cycle, payloads())
    points = stored(cycle)
    rows = list(csv.DictReader(io.StringIO(menu(seen, "loss", "CSV of this chart").decode())))
    assert [row["loss"] and float(row["loss"]) for row in rows] == [number(p["loss"]) for p in points]
    every = list(csv.DictReader(io.StringIO(menu(seen, "loss", "All points as CSV").decode())))
    for name in ("step", "t", "loss", "ce", "distill", "grad_norm", "lr", "noise"):
        assert [row[name] for row in every] == [str(number(p[name])) for p in points]
    body = json.loads(menu(seen, "gradient", "JSON of this chart"))
    assert body["lines"]["grad_norm"]["values"] == [p["grad_norm"] for p in points]
    assert menu(seen, "loss", "PNG")[:8] == b"\x89PNG\r\n\x1a\n"
    assert menu(seen, "significance", "PNG")[:8] == b"\x89PNG\r\n\x1a\n"
    sizes = json.loads(menu(seen, "significance", "JSON of this chart"))
    assert sum(sizes["before"]["counts"]) > 0 and sizes["after"]["round"] == 2


def test_a_link_restores_the_view(seen: Page, cycle: Cycle) -> None:
    play(seen, cycle, payloads())
    seen.get_by_role("button", name="Steps", exact=True).click()
    chart(seen, "loss").locator("[data-legend] button", has_text="labels").click()
    seen.locator("[data-smooth]").fill("0.6")
    drag(seen, "loss", 0.25, 0.5)
    seen.locator("[data-chart=loss][data-following=false]").wait_for()
    seen.wait_for_timeout(200)
    there = chart(seen, "loss").get_attribute("data-range")
    link = seen.url
    assert "#" in link
    seen.goto("about:blank")
    seen.goto(link)
    seen.locator("[data-chart=loss][data-following=false]").wait_for()
    seen.wait_for_function(  # the points come after the axes
        "had => had.every((edge, i) => Math.abs(Number("
        "document.querySelector('[data-chart=loss]').dataset.range.split(' ')[i]) - edge) <= edge / 1e4)",
        arg=[float(x) for x in (there or "").split()],
    )
    hidden = chart(seen, "loss").locator("[data-legend] button", has_text="labels")
    assert hidden.get_attribute("aria-pressed") == "false"
    assert seen.get_by_role("button", name="Steps", exact=True).get_attribute("aria-pressed") == "true"
    assert seen.locator("[data-smooth]").input_value() == "0.6"


def test_a_link_pasted_over_the_open_page_changes_its_view(seen: Page, cycle: Cycle) -> None:
    play(seen, cycle, payloads())
    seen.evaluate("location.hash = '#axis=step&zoom=200,400&smooth=0.5'")
    seen.locator("[data-chart=loss][data-following=false]").wait_for()
    seen.wait_for_function(
        "() => document.querySelector('[data-chart=loss]').dataset.range.startsWith('200 ')"
    )
    assert seen.get_by_role("button", name="Steps", exact=True).get_attribute("aria-pressed") == "true"
    assert seen.locator("[data-smooth]").input_value() == "0.5"


def test_the_device_stands_at_its_steps_after_a_late_start_too(seen: Page, cycle: Cycle) -> None:
    script = payloads()
    for payload in script:
        last = night.flush(cycle, payload)
    for number in range(420):
        body = {"events": [], "t": 7.0, "progress": 1.0, "step": 1_700 + number, "total_steps": 2_200}
        last = night.flush(cycle, body)
    seen.reload()
    shows(seen, last)
    seen.get_by_role("button", name="Steps", exact=True).click()
    body = json.loads(menu(seen, "device", "JSON of this chart"))
    assert max(body["step"]) > 300


def test_between_two_probes_a_line_is_still_seen(seen: Page, cycle: Cycle) -> None:
    play(seen, cycle, payloads())
    xs = json.loads(menu(seen, "forgetting", "JSON of this chart"))["elapsed_s"]
    between = next((a, b) for a, b in pairwise(xs[1:]) if b - a > 0.2)
    low, high = between[0] + 0.05, between[1] - 0.05
    seen.evaluate(f"location.hash = '#zoom={low:.3f},{high:.3f}'")
    seen.locator("[data-chart=forgetting][data-following=false]").wait_for()
    red = """() => { const canvas = document.querySelector('[data-chart=forgetting] canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let n = 0; for (let i = 0; i < data.length; i += 4)
          if (data[i + 3] > 200 && data[i] > 150 && data[i + 1] < 90 && data[i + 2] < 90) n += 1;
        return n; }"""
    seen.wait_for_function(f"({red})() > 100")


def test_every_chart_has_its_values_as_a_table(seen: Page, cycle: Cycle) -> None:
    play(seen, cycle, payloads())
    for name in ("retention", "forgetting", "loss", "gradient", "significance", "device"):
        card = chart(seen, name)
        card.locator(".chart__values summary").click()
        card.locator(".valuetable tbody tr").first.wait_for()
        assert card.locator(".valuetable thead th").count() >= 2


def test_it_speaks_seldom_and_moves_nothing_for_those_who_asked(seen: Page, cycle: Cycle) -> None:
    seen.emulate_media(reduced_motion="reduce")
    seen.evaluate(
        """() => { window.said = 0; new MutationObserver(() => { window.said += 1; })
        .observe(document.querySelector('[data-spoken]'),
          { childList: true, characterData: true, subtree: true }); }"""
    )
    began = time.monotonic()
    for payload in payloads(12)[:100]:
        last = night.flush(cycle, payload)
        time.sleep(0.02)
    shows(seen, last)
    assert seen.evaluate("window.said") <= 1 + (time.monotonic() - began) / 15
    moving = seen.evaluate(
        """() => [...document.querySelectorAll('*')].filter((e) => {
        const s = getComputedStyle(e);
        const one = (x) => parseFloat(x) * (x.includes('ms') ? 1 : 1000);
        const ms = (t) => Math.max(...t.split(',').map(one));
        const turns = s.animationName !== 'none' && ms(s.animationDuration) > 1;
        return ms(s.transitionDuration) > 1 || turns; }).length"""
    )
    assert moving == 0


def test_a_note_stands_on_every_chart_for_everybody_and_goes_again(seen: Page, cycle: Cycle) -> None:
    for payload in payloads()[:40]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    other = seen.context.new_page()
    other.goto(seen.url)
    shows(other, last)
    plot = seen.locator("[data-chart=loss] .u-over")
    box = plot.bounding_box()
    assert box
    plot.click(position={"x": box["width"] / 3, "y": box["height"] / 2}, modifiers=["Shift"])
    seen.get_by_role("dialog", name="Add a note").get_by_label("Note").fill("<b>rate halved</b>")
    seen.get_by_role("button", name="Add", exact=True).click()
    for page in (seen, other):
        page.locator("[data-notes] li").get_by_text("<b>rate halved</b>").wait_for()
    note = Note.objects.get()
    shown = seen.locator("[data-chart=loss]").get_attribute("data-range") or ""
    left, right = (float(x) for x in shown.split())
    assert note.t == pytest.approx(left + (right - left) / 3, rel=0.02)
    steps = [(point["t"], point["step"]) for point in stored(cycle)]
    assert note.step == max((step for t, step in steps if t <= note.t), default=0)
    seen.get_by_role("button", name="Remove the note").click()
    for page in (seen, other):
        page.locator("[data-notes] li").wait_for(state="detached")
    seen.locator(".toast").get_by_role("button", name="Undo").click()
    for page in (seen, other):
        page.locator("[data-notes] li").get_by_text("<b>rate halved</b>").wait_for()
    assert Note.objects.get().removed_at is None
    # The night has ended long since: the page hears nothing any more, and a note is there all the same.
    script = Night(seconds=3)
    night.finish(cycle, script)
    seen.locator("[data-verdict]").wait_for()
    seen.reload()
    seen.get_by_role("button", name="Add a note").click()
    seen.get_by_role("dialog", name="Add a note").get_by_label("Note").fill("good night")
    seen.get_by_role("button", name="Add", exact=True).click()
    seen.locator("[data-notes] li").get_by_text("good night").wait_for()


@pytest.mark.parametrize("family", ["mlp", "causal_lm"])
def test_what_watch_says_begins_where_proof_was(seen: Page, cycle: Cycle, family: str) -> None:
    """The records of the two probes differ, and their scores too: here by .1, or by half of a text's."""
    assert cycle.base
    if family == "causal_lm":
        shape = {
            "model_type": "gpt2", "vocab_size": 40, "n_positions": 16, "n_embd": 8, "n_layer": 1, "n_head": 2,
        }  # fmt: skip
        cycle.base.family, cycle.base.config = family, family_spec(family).validate_config(shape)
        cycle.base.save()
    assert cycle.base.objective == ("language" if family == "causal_lm" else "classification")
    seen.reload()
    seen.locator("[data-livechip][data-kind=live]").wait_for()
    script = payloads()
    for payload in script:
        for event in payload["events"]:
            if event["kind"] == "probe" and event["split"] == "watch":
                event["scores"] = {
                    task: value / 2 if family == "causal_lm" else value - 0.1
                    for task, value in event["scores"].items()
                }
    play(seen, cycle, script)
    lines = json.loads(menu(seen, "retention", "JSON of this chart"))["lines"]
    for task in ("returns", "billing"):
        watch, proof = (
            [value for value in lines[name]["values"] if value is not None]
            for name in (task, f"{task}:proof")
        )
        assert watch[0] == pytest.approx(proof[0])
        assert watch[-1] == pytest.approx(proof[-1], abs=0.03)
    lines = json.loads(menu(seen, "forgetting", "JSON of this chart"))["lines"]
    lost, proved = (
        [value for value in lines[name]["values"] if value is not None] for name in ("worst", "worst:proof")
    )
    assert lost[0] == pytest.approx(proved[0])
