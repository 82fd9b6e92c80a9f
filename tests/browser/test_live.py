"""The live page in a real browser: it follows, keeps a zoom, resumes, falls back, and converges."""

from __future__ import annotations

import re
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models import F

from tests.browser.conftest import shows
from tests.support import night
from tests.support.database import url_of
from tests.support.night_script import TASKS, Night
from tests.webapp.live.people import COOKIE, Web, session_of, start_web
from webapp.checkpoints.models import Score
from webapp.cycles.models import Cycle
from webapp.cycles.transitions import transition

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from webapp.accounts.models import User

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(180),
    pytest.mark.django_db(transaction=True),
]


def payloads(seconds: float = 6.0, **how: Any) -> list[dict[str, Any]]:
    return list(Night(seconds=seconds, **how).flushes())


def test_charts_matrix_and_log_fill_while_frames_come(seen: Page, cycle: Cycle) -> None:
    for payload in payloads()[:40]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    for name in ("retention", "forgetting", "loss", "gradient"):
        chart = seen.locator(f"[data-chart={name}]")
        assert chart.locator("canvas").count() == 1
        assert int(chart.get_attribute("data-points") or 0) > 1
    now = seen.locator("tr[data-task=returns] [data-cell=now]")
    assert int(now.inner_text()) > 50
    assert seen.locator("[data-figure=retention] .figure__value").inner_text() != "–"
    assert seen.locator(".hypno__bar--nrem").count() >= 1
    assert seen.locator("[data-log] li").count() >= 3
    times = seen.locator("[data-log] time").all_inner_texts()
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", time) for time in times), (
        "the clock's, from the first entry on"
    )
    seen.locator("[data-chart=loss] .chart__values summary").click()
    seen.locator("[data-chart=loss] .valuetable tbody tr").first.wait_for()
    assert seen.locator("[data-chart=loss] .valuetable tbody tr").count() > 10


def test_a_zoom_survives_new_data_until_follow_again(seen: Page, cycle: Cycle) -> None:
    script = payloads()
    for payload in script[:30]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    chart = seen.locator("[data-chart=loss]")
    chart.scroll_into_view_if_needed()
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    seen.mouse.move(box["x"] + box["width"] * 0.3, y)
    seen.mouse.down()
    seen.mouse.move(box["x"] + box["width"] * 0.6, y, steps=5)
    seen.mouse.up()
    again = chart.get_by_role("button", name="Follow again")
    again.wait_for()
    night.flush(cycle, script[30])
    seen.locator("[data-chart=loss][data-following=false]").wait_for()
    shows(seen, last + 1)
    marks = zoom_of(seen)
    for payload in script[31:50]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    assert chart.get_attribute("data-following") == "false"
    assert zoom_of(seen) == marks
    again.click()
    seen.locator("[data-chart=loss][data-following=true]").wait_for()
    assert again.is_hidden()
    assert zoom_of(seen) != marks


def zoom_of(page: Page) -> str:
    return page.locator("[data-chart=loss]").get_attribute("data-range") or ""


def test_a_restarted_server_costs_nothing(seen: Page, cycle: Cycle, web: Web, tmp_path_factory: Any) -> None:
    script = payloads()
    for payload in script[:10]:
        night.flush(cycle, payload)
    web.stop()
    seen.locator("[data-livechip]:not([data-kind=live])").wait_for()
    assert re.search(r"nothing is lost|polling|Connecting", seen.locator("[data-livechip]").inner_text())
    for payload in script[10:30]:
        last = night.flush(cycle, payload)
    web.process = start_web(
        url_of(connection.settings_dict), tmp_path_factory.mktemp("again"), web.port
    ).process
    shows(seen, last, 40_000)
    seen.locator("[data-livechip][data-kind=live]").wait_for(timeout=40_000)


def test_without_a_socket_it_polls_with_the_same_result(
    page: Page, web: Web, alice: User, cycle: Cycle
) -> None:
    page.route_web_socket(re.compile("/ws/live"), lambda socket: socket.close())
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    page.goto(f"{web.url}/cycles/{cycle.pk}/")
    page.get_by_text("Live by polling every 3 s").wait_for(timeout=30_000)
    for payload in payloads()[:12]:
        last = night.flush(cycle, payload)
    shows(page, last)


def test_the_end_comes_by_itself_with_before_and_after_and_the_download(seen: Page, cycle: Cycle) -> None:
    script = Night(seconds=3)
    night.play(cycle, script)
    made = night.finish(cycle, script)
    seen.locator("[data-verdict]", has_text="Improved").wait_for()
    link = seen.locator("[data-outcome]").get_by_role("link", name="Download v7")
    assert link.get_attribute("href") == f"/checkpoints/{made.pk}/download/"
    assert seen.locator("[data-outcome] tbody tr").count() >= len(TASKS)
    assert seen.locator("h1").inner_text() == "Sleep 7 · v6 → v7"
    assert seen.locator("[data-badge]").inner_text() == "Improved"
    assert seen.get_by_role("button", name="Cancel…").count() == 0


def test_tonight_moves_with_the_stream_and_not_with_reloads(
    page: Page, web: Web, alice: User, cycle: Cycle
) -> None:
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.route(
        f"{web.url}/",
        lambda route: route.abort() if "x-refresh" in route.request.headers else route.fallback(),
    )
    page.goto(f"{web.url}/")
    row = page.locator(f"[data-follow-cycle='{cycle.pk}']")
    script = Night(seconds=3)
    night.play(cycle, script, until=20)
    row.get_by_text(re.compile(r"· step \d+ of [\d,]+")).wait_for()
    assert row.locator("progress").evaluate("bar => bar.value") > 0
    assert len(sockets) == 1
    page.unroute_all()
    night.play(cycle, script)
    night.finish(cycle, script)
    page.get_by_text("Nothing runs now.").wait_for()
    page.locator("td", has_text="Improved").wait_for()


NOTICES = """() => { window.notices = [];
  window.Notification = class extends EventTarget {
    static permission = "default";
    static async requestPermission() { return (this.permission = "granted"); }
    constructor(title) { super(); window.notices.push(title); }
  }; }"""


def test_a_hidden_tab_tells_its_progress_and_its_end_to_whoever_asked(
    page: Page, web: Web, alice: User, cycle: Cycle
) -> None:
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    page.add_init_script(f"({NOTICES})()")
    page.goto(f"{web.url}/cycles/{cycle.pk}/")
    page.locator("[data-livechip][data-kind=live]").wait_for()
    button = page.get_by_role("button", name="Notify me")
    button.click()
    page.locator("[data-notify][aria-pressed=true]").wait_for()
    page.evaluate(
        "() => { Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    script = Night(seconds=3)
    night.play(cycle, script, until=20)
    page.wait_for_function(r"() => /^[1-9]\d? % · Sleep 7 · /.test(document.title)")
    night.play(cycle, script)
    night.finish(cycle, script)
    page.wait_for_function("() => document.title.startsWith('Improved · Sleep 7 · ')")
    assert page.evaluate("window.notices") == ["Sleep 7 has ended: Improved"]


def test_the_verdict_comes_though_the_server_was_away_at_the_end(seen: Page, cycle: Cycle) -> None:
    failures = []

    def away(route: Route) -> None:
        failures.append(route.request.url)
        route.abort() if len(failures) == 1 else route.fallback()

    seen.route("**/outcome/", away)
    script = Night(seconds=3)
    night.play(cycle, script)
    night.finish(cycle, script)
    seen.locator("[data-verdict]", has_text="Improved").wait_for()
    assert len(failures) == 2


CONVERGE = """async ([frames, state, framesUrl, seed]) => {
  const { CycleStore } = await import("/static/js/store.js");
  const { Stream } = await import("/static/js/live.js");
  let x = seed;
  const random = () => ((x = (x * 1103515245 + 12345) % 2147483648) / 2147483648);
  const fresh = new CycleStore(state);
  for (const frame of frames) fresh.apply(frame);
  const store = new CycleStore(state);
  const stream = new Stream("cycle:x", { frames: framesUrl }, store, () => {});
  const pile = [];
  for (const frame of frames) {
    if (random() < 0.1) continue;
    pile.push(frame);
    if (random() < 0.2) pile.push(frame);
  }
  for (let i = 0; i < pile.length; i++) {
    const j = Math.min(pile.length - 1, i + Math.floor(random() * 9));
    [pile[i], pile[j]] = [pile[j], pile[i]];
  }
  while (pile.length) stream.ingest(pile.splice(0, 1 + Math.floor(random() * 12)));
  await stream.catchUp();
  return [JSON.stringify(store.snapshot()) === JSON.stringify(fresh.snapshot()), store.last, fresh.last];
}"""


def test_dropped_doubled_and_reordered_frames_converge_to_the_fresh_state(seen: Page, cycle: Cycle) -> None:
    for payload in payloads()[:35]:
        night.flush(cycle, payload)
    transition(cycle.pk, to="queued", expect_from=["running"], fence=True, worker=None, reason="worker_lost")
    cycle = night.begin(cycle)
    for payload in payloads(resume_step=300, seed=9)[:25]:
        last = night.flush(cycle, payload)
    url = f"/api/cycles/{cycle.pk}/frames"
    frames = seen.evaluate("async (url) => (await (await fetch(url + '?limit=2000')).json()).items", url)
    assert len(frames) == last
    state = {"id": str(cycle.pk), "state": "queued", "seq": 0, "tasks": list(TASKS), "progress": 0}
    for seed in range(1, 21):
        same, got, all_of = seen.evaluate(CONVERGE, [frames, state, url, seed])
        assert (same, got, all_of) == (True, last, last), f"seed {seed}"


HISTORY = """async ([frames, state, history]) => {
  const { CycleStore } = await import("/static/js/store.js");
  const { Rows } = await import("/static/js/rows.js");
  const whole = new CycleStore(state), short = new CycleStore(state);
  for (const frame of frames) whole.apply(frame);
  short.applyHistory(history);
  for (const frame of frames) if (frame.seq > history.last) short.apply(frame);
  const apart = { points: 0, device: 0, cycle: 0, seconds: 0 };
  const events = (store) => ({ ...store.snapshot(), ...apart });
  const said = (store) => ["points", "device"].map((name) => {
    const rows = store[name];
    rows.level = history[name].level;
    rows._merge();
    const { t, ...rest } = rows.snapshot();
    return [rest, t];
  });
  return [events(whole), events(short), said(whole), said(short)];
}"""


def test_history_and_what_came_after_is_the_same_as_all_frames(seen: Page, cycle: Cycle) -> None:
    for payload in payloads(30.0)[:200]:
        night.flush(cycle, payload)
    transition(cycle.pk, to="queued", expect_from=["running"], fence=True, worker=None, reason="worker_lost")
    cycle = night.begin(cycle)
    # After the last step of a bin: one that is cut in two would be a ghost as a whole.
    script = list(Night(seconds=30.0, resume_step=303, seed=9).flushes())
    for payload in script[:60]:
        night.flush(cycle, payload)
    fetch = "async (url) => await (await fetch(url)).json()"
    history = seen.evaluate(fetch, f"/api/cycles/{cycle.pk}/history?points=200")
    for payload in script[60:90]:
        last = night.flush(cycle, payload)
    frames = seen.evaluate(fetch, f"/api/cycles/{cycle.pk}/frames?limit=2000")["items"]
    assert (history["points"]["level"], history["last"], len(frames)) == (4, last - 30, last)
    state = {"id": str(cycle.pk), "state": "queued", "seq": 0, "tasks": list(TASKS), "progress": 0}
    events, again, whole, short = seen.evaluate(HISTORY, [frames, state, history])
    assert again == events
    for (rows, times), (told, told_times) in zip(whole, short, strict=True):
        assert told_times == pytest.approx(times, abs=1e-6)
        assert told["total"] == rows["total"]
        assert told == rows


GHOSTS = """async ([frames, state]) => {
  const { CycleStore } = await import("/static/js/store.js");
  const store = new CycleStore(state);
  for (const frame of frames) store.apply(frame);
  const { step, epoch, ghost } = store.points;
  return step.map((s, i) => [s, epoch[i], ghost[i]]);
}"""


def test_what_a_new_attempt_supersedes_is_a_ghost(seen: Page, cycle: Cycle) -> None:
    for payload in payloads()[:35]:
        night.flush(cycle, payload)
    transition(cycle.pk, to="queued", expect_from=["running"], fence=True, worker=None, reason="worker_lost")
    cycle = night.begin(cycle)
    for payload in payloads(resume_step=300, seed=9)[:10]:
        night.flush(cycle, payload)
    url = f"/api/cycles/{cycle.pk}/frames"
    frames = seen.evaluate("async (url) => (await (await fetch(url + '?limit=2000')).json()).items", url)
    points = seen.evaluate(GHOSTS, [frames, {"id": "x", "state": "queued", "seq": 0}])
    first = points[0][1]
    assert all(ghost == (epoch == first and step > 300) for step, epoch, ghost in points)
    live = [step for step, _, ghost in points if not ghost]
    assert live == sorted(set(live)), "one value a step, whatever attempt it is from"
    seen.get_by_text("attempt 2").first.wait_for()


def test_the_clock_stands_still_while_a_cycle_waits_for_a_worker(seen: Page, cycle: Cycle) -> None:
    for payload in payloads()[:20]:
        night.flush(cycle, payload)
    transition(cycle.pk, to="queued", expect_from=["running"], fence=True, worker=None, reason="worker_lost")
    # Sixty hours later.
    Cycle.objects.filter(pk=cycle.pk).update(started_at=F("started_at") - timedelta(hours=60))
    cycle = night.begin(cycle)
    for payload in payloads(resume_step=300, seed=9)[:10]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    seen.locator(".hypno__wait title", has_text="Waited 60 h").wait_for(state="attached")
    _low, high = map(float, (seen.locator("[data-chart=loss]").get_attribute("data-range") or "").split())
    assert high < 60
    assert not re.search(r"\bh\b", seen.locator("[data-figure=time] .figure__value").inner_text())
    seen.reload()
    shows(seen, last)
    seen.locator(".hypno__wait").wait_for(state="attached")


def test_silence_is_told_and_never_dated_into_the_future(seen: Page, cycle: Cycle) -> None:
    script = payloads()
    for payload in script[:20]:
        last = night.flush(cycle, payload)
        time.sleep(0.1)
    shows(seen, last)
    time.sleep(3)
    words = seen.locator("[data-fresh]").inner_text()
    found = re.fullmatch(r"last update ([\d.]+) s ago", words)
    assert found and 2.5 < float(found[1]) < 10, words


def test_a_server_that_hangs_is_not_called_live(seen: Page, cycle: Cycle, web: Web) -> None:
    # The pulse is looked for every five seconds, and lost after thirty-five of silence.
    chip = seen.locator("[data-livechip]")
    web.process.send_signal(signal.SIGSTOP)
    try:
        seen.locator("[data-livechip]:not([data-kind=live])").wait_for(timeout=60_000)
        chip.get_by_text(re.compile("nothing is lost|does not answer|Connecting")).wait_for(timeout=20_000)
    finally:
        web.process.send_signal(signal.SIGCONT)
    seen.locator("[data-livechip][data-kind=live]").wait_for(timeout=60_000)


def test_data_that_the_server_refuses_is_told_and_asked_for_again(
    page: Page, web: Web, alice: User, cycle: Cycle
) -> None:
    script = Night(seconds=3)
    night.play(cycle, script)
    night.finish(cycle, script)
    page.context.add_cookies([{"name": COOKIE, "value": session_of(alice), "url": web.url}])
    page.route("**/api/cycles/*/frames*", lambda route: route.fulfill(status=500, body="{}"))
    page.goto(f"{web.url}/cycles/{cycle.pk}/")
    page.get_by_text("does not hand out this cycle").wait_for()
    page.unroute_all()
    page.locator("[data-chart=loss][data-points]").wait_for()
    page.get_by_text("does not hand out this cycle").wait_for(state="hidden")


def test_a_note_stands_where_the_night_is_and_a_dialog_stays_open_under_the_pointer(
    seen: Page, cycle: Cycle
) -> None:
    stage = {"kind": "stage_started", "stage": "wake probe", "round": 1, "t": 0.0, "step": 0}
    night.flush(cycle, {"events": [stage], "t": 0.0, "progress": 0.0, "step": 0, "total_steps": 9})
    last = night.flush(cycle, {"events": [], "t": 90.0, "progress": 0.1, "step": 7, "total_steps": 9})
    shows(seen, last)
    Cycle.objects.filter(pk=cycle.pk).update(started_at=F("started_at") - timedelta(seconds=90))
    shows(seen, night.flush(cycle, {"events": [], "t": 95.0, "progress": 0.2, "step": 8, "total_steps": 9}))
    seen.get_by_role("button", name="Add a note").click()
    dialog = seen.get_by_role("dialog", name="Add a note")
    dialog.get_by_text(re.compile(r"At 1:\d\d, step 8")).wait_for()
    box = dialog.bounding_box()
    assert box is not None
    seen.mouse.click(box["x"] + 6, box["y"] + 6)
    assert dialog.is_visible(), "its padding is part of it"
    field = dialog.get_by_label("Note")
    field.fill("a thought")
    inside = field.bounding_box()
    assert inside is not None
    seen.mouse.move(inside["x"] + 20, inside["y"] + 10)
    seen.mouse.down()
    seen.mouse.move(2, 2, steps=3)
    seen.mouse.up()
    assert dialog.is_visible(), "a selection that ends outside closes nothing"
    seen.mouse.click(2, 2)
    dialog.wait_for(state="hidden")


def test_the_log_says_how_much_more_there_is_and_stands_still(seen: Page, cycle: Cycle) -> None:
    def told(first: int, count: int) -> dict[str, Any]:
        events = [
            {"kind": "log", "t": 1.0, "step": n, "level": "info", "message": f"line {n}"}
            for n in range(first, first + count)
        ]
        return {"events": events, "t": 1.0, "progress": 0.1, "step": first, "total_steps": 1000}

    for first in range(0, 600, 200):
        last = night.flush(cycle, told(first, 200))
    shows(seen, last)
    log = seen.locator("[data-log]")
    more = log.get_by_role("button", name=re.compile("Show the \\d+ older entries"))
    assert log.locator("li.log__row").count() == 300
    log.evaluate("list => { list.scrollTop = 2000; }")
    row = log.locator("li", has_text="line 550")
    before = row.bounding_box()
    shows(seen, night.flush(cycle, told(600, 20)))
    after = row.bounding_box()
    assert before and after and abs(before["y"] - after["y"]) < 2
    more.click()
    assert log.locator("li.log__row").count() > 600


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_sticks_out_and_nothing_jumps(seen: Page, cycle: Cycle, width: int) -> None:
    seen.set_viewport_size({"width": width, "height": 900})
    seen.reload()
    seen.locator("[data-livechip][data-kind=live]").wait_for()
    seen.evaluate(
        """() => { window.__shift = 0; window.__moved = []; new PerformanceObserver((list) => {
        for (const e of list.getEntries()) if (!e.hadRecentInput) {
          window.__shift += e.value;
          for (const { node, previousRect: a, currentRect: b } of e.sources)
            window.__moved.push([node?.className, node?.textContent?.slice(0, 30), a.y, b.y, a.x, b.x]);
        } }).observe({ type: "layout-shift" }) }"""
    )
    for payload in payloads()[:50]:
        last = night.flush(cycle, payload)
    shows(seen, last)
    assert seen.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.evaluate("window.__shift") < 0.05, seen.evaluate("window.__moved")


def test_a_cell_of_the_matrix_tells_its_formula(seen: Page, cycle: Cycle) -> None:
    words = seen.locator("[data-matrix-formula]")
    usual = words.inner_text()
    row = seen.locator('tr[data-task="billing"]')
    scores = {
        number: value
        for number, value in Score.objects.filter(
            checkpoint__project=cycle.project, task__name="billing"
        ).values_list("checkpoint__number", "value")
    }
    cells = row.locator("td.heat")
    cells.nth(3).hover()
    best = max(scores[number] for number in scores if number < 4)
    kept, lost = scores[4] / best, 100 * (best - scores[4])
    assert words.inner_text() == (
        f"R[v4][billing] = {scores[4]:.3f}. Best before: {best:.3f} (v2). "
        f"Retention {scores[4]:.3f} / {best:.3f} = {kept:.3f}; "
        f"forgetting {best:.3f} − {scores[4]:.3f} = {lost:.1f} %."
    )
    seen.mouse.move(0, 0)
    assert words.inner_text() == usual
    seen.locator("td.heat[tabindex='0']").focus()
    seen.keyboard.press("ArrowDown")
    seen.keyboard.press("ArrowLeft")
    assert words.inner_text().startswith(f"R[v6][{TASKS[1]}] = ")
    seen.keyboard.press("Tab")
    assert words.inner_text() == usual


def test_the_log_is_searched_and_copied_whole(seen: Page, cycle: Cycle) -> None:
    seen.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for payload in payloads():
        last = night.flush(cycle, payload)
    shows(seen, last)
    rows = seen.locator("[data-log] li")
    everything = rows.count()
    seen.get_by_role("searchbox", name="Find in the log").fill("STRENGTHEN")
    found = rows.all_inner_texts()
    assert 0 < len(found) < everything
    assert all("strengthen" in text.lower() for text in found)
    seen.get_by_role("searchbox", name="Find in the log").fill("no such words")
    seen.get_by_text("Nothing in the log fits.").wait_for()
    seen.get_by_role("button", name="Copy diagnostics").click()
    seen.get_by_text("The diagnostics were copied").wait_for()
    text = seen.evaluate("navigator.clipboard.readText()")
    assert str(cycle.pk) in text
    assert text.count("Strengthen") == len(found)
    assert "recipe:\n  batch: 64" in text
