// @ts-check
/** The cycle page: frames into the store, the store onto the page. */
import { Figures, cycleCharts } from "./charts.js";
import { diagnostics } from "./diagnostics.js";
import { percent, score } from "./format.js";
import { MatrixFormulas } from "./formula.js";
import { Header } from "./header.js";
import { toast } from "./dialogs.js";
import { HistogramCard } from "./histogram.js";
import { gettext as _, interpolate } from "./i18n.js";
import { Hypnogram } from "./hypnogram.js";
import { Journal } from "./journal.js";
import { Live, Stream, ahead } from "./live.js";
import { Matrix } from "./matrix.js";
import { Notes, notePlaces } from "./notes.js";
import { Notify } from "./notify.js";
import { redraw } from "./redraw.js";
import { ACTIVE, STILL } from "./states.js";
import { Steering } from "./steering.js";
import { CycleStore, TERMINAL } from "./store.js";
import { Story } from "./story.js";
import { Strip } from "./strip.js";
import { readView, writeView } from "./view.js";
import { Waiting } from "./waiting.js";

const page = JSON.parse(/** @type {HTMLElement} */ (document.getElementById("cycle-page")).textContent ?? "{}");
const root = /** @type {HTMLElement} */ (document.querySelector("[data-cycle]"));
const { framesUrl = "", historyUrl = "", pointsUrl = "", stateUrl = "", outcomeUrl = "", socketUrl = "" } = root.dataset;

const early = ahead(historyUrl, page.state.seq);
const store = new CycleStore(page.state);
const figures = new Figures(store, page.tasks, page.mode);
const running = () => ACTIVE.has(store.cycle.state);
const seconds = () => {
  return running() ? store.seconds : (store.stages.at(-1)?.t1 ?? store.seconds);
};

const header = new Header(document, store);
const waiting = new Waiting(root.querySelector("[data-waiting]"), store);
const story = new Story(root, store);
const steering = new Steering(document, store, (state) => take(state));
const hypnogram = new Hypnogram(/** @type {HTMLElement} */ (root.querySelector("[data-hypnogram]")), store, running);
const strip = new Strip(/** @type {HTMLElement} */ (root.querySelector("[data-strip]")), figures, seconds);
const matrix = new Matrix(/** @type {HTMLElement} */ (root.querySelector("[data-matrix]")), figures);
new MatrixFormulas(matrix.card, page.tasks, figures.shares);
const journal = new Journal(/** @type {HTMLElement} */ (root.querySelector("[data-journal]")), store);
const notify = new Notify(store);
const view = readView(location.hash);
/** @type {import("./rows.js").Rows|null} */
let detail = null;
const shared = {
  axis: view.axis,
  smooth: view.smooth,
  detail: () => detail,
  zoomed,
  stages: () => store.stages,
  edge: () => {
    const { points, device, probes } = store, stage = store.stages.at(-1);
    if (shared.axis === "step") return Math.max(points.step.at(-1) ?? 0, stage?.step1 ?? stage?.step0 ?? 0, probes.at(-1)?.step ?? 0);
    return Math.max(points.t.at(-1) ?? 0, device.t.at(-1) ?? 0, stage?.t1 ?? stage?.t0 ?? 0, probes.at(-1)?.t ?? 0);
  },
  ended: () => TERMINAL.has(store.cycle.state),
  notes: () => notePlaces(store, shared.axis),
  chosen: (/** @type {number} */ x) => notes.at(x, shared.axis),
  cursor: (/** @type {number|null} */ x) => hypnogram.cursor(shared.axis === "t" ? x : null),
};
const notes = new Notes(root, store, () => {
  if (ending) void stream.catchUp().catch(() => undefined);
});
const charts = await cycleCharts({ root, store, figures, shared, reason: page.mode_reason });
const histogramCard = root.querySelector("[data-chart='significance']");
const histogram = histogramCard instanceof HTMLElement ? new HistogramCard(histogramCard, store, shared.ended) : null;

/** The newest frame when the picture at hand was begun: what all of it shows, for more may come while it is drawn. */
let begun = 0;
function begin() {
  begun = store.last;
}

function words() {
  header.update();
  waiting.update();
  steering.update();
  story.update();
  strip.update();
  matrix.update();
  journal.update();
  root.dataset.seq = String(begun);
  paint();
}

/** For measurements: which frame is on the page, and when it was. */
function paint() {
  const seq = begun;
  requestAnimationFrame(() => {
    performance.clearMarks("nocturne.paint"); // a night has hundreds of thousands
    performance.mark("nocturne.paint", { detail: { seq } });
    root.dataset.painted = `${seq} ${Date.now()}`;
  });
}

function changed() {
  notify.update(); // in a hidden tab, too
  redraw(begin, true);
  hypnogram.update();
  histogram?.update();
  if (notes.drawn !== store.notes) for (const chart of charts) chart.version = undefined;
  notes.update();
  if (detail && detail.level !== 0 && store.points.level > detail.coarse) detail = null;
  for (const chart of charts) chart.update();
  // Last, for it says that all of this is on the page.
  redraw(words, true);
}

const urls = { frames: framesUrl, history: historyUrl, points: pointsUrl };
const stream = new Stream(`cycle:${page.state.id}`, urls, store, (applied) => {
  if (applied) header.heard(stream.newest, store.last > stream.liveFrom);
  else header.serverClock(store.cycle.server_now); // a welcome: the server's word of this moment
  changed();
  if (TERMINAL.has(store.cycle.state)) void ended();
  else if (turned()) void refresh();
  if (applied) {
    delete root.dataset.loading;
    restore();
  }
}, page.state.seq);
stream.early = early;
const trouble = /** @type {HTMLElement|null} */ (root.querySelector("[data-trouble]"));
let troubles = 0;
stream.onTrouble = (now) => {
  troubles = now ? troubles + 1 : 0;
  if (trouble) trouble.hidden = troubles < 2;
};
const live = new Live(socketUrl, (status) => {
  header.status = status;
  header.tick();
});

/** The verdict, as the server writes it; a server that is away is asked again, for this is what people wait for. */
async function showOutcome() {
  for (let left = 40; left > 0; left--) {
    const response = await fetch(outcomeUrl, { headers: { Accept: "text/html" } }).catch(() => null);
    if (response?.ok) {
      const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
      const found = parsed.body.firstElementChild, place = root.querySelector("[data-outcome]");
      if (found && place) place.replaceChildren(found);
      return;
    }
    if (response && response.status < 500) return;
    await new Promise((done) => setTimeout(done, 3000));
  }
}

let ending = TERMINAL.has(page.state.state);
/** The cycle ended while somebody looked: the rest of the truth comes from the server, once. */
async function ended() {
  if (ending || store.last < (store.cycle.seq ?? 0)) return;
  ending = true;
  await refresh();
  header.update();
  await showOutcome();
  for (const button of document.querySelectorAll("[data-while-running]")) button.remove();
  say();
  live.stop();
  notify.ended(document.querySelector("[data-badge]")?.textContent ?? "");
}

let turn = `${page.state.state} ${page.state.stage}`;
/** Whether it is in another state or stage than when this was last asked: the server knows more of that than a frame. */
function turned() {
  const now = `${store.cycle.state} ${store.cycle.stage}`;
  if (now === turn) return running() && !store.cycle.started_at;
  turn = now;
  return true;
}

/** The question that is under way, and the one after it. @type {{now: Promise<void>|null, next: Promise<void>|null}} */
const asking = { now: null, next: null };
/** The cycle's own fields that no frame carries: when it started, its place in the queue, its result. @returns {Promise<void>} */
function refresh() {
  if (asking.now) {
    // What is on its way may be of a moment ago.
    asking.next ??= asking.now.then(() => {
      asking.next = null;
      return refresh();
    });
    return asking.next;
  }
  asking.now = askState().finally(() => {
    asking.now = null;
  });
  return asking.now;
}

async function askState() {
  const response = await fetch(stateUrl, { headers: { Accept: "application/json" } }).catch(() => null);
  if (response?.ok) take(await response.json());
}

const BESIDE = [
  "started_at", "finished_at", "result", "error", "verdict", "reasons", "workers_alive", "waiting", "held", "queue_position",
  "can_extend", "extended", "server_now",
];
/** @param {Record<string, any>} fresh the cycle's state as the API gives it */
function take(fresh) {
  store.setState(fresh);
  header.serverClock(fresh.server_now);
  for (const key of BESIDE) if (key in fresh) store.cycle[key] = fresh[key];
  changed();
}

// ---------------------------------------------------------------- what a screen reader hears, at most every 15 s

const spoken = document.querySelector("[data-spoken]");
let saidAt = 0;
function say() {
  if (!spoken) return;
  saidAt = Date.now();
  const now = store.latest("proof", "after") ?? store.latest("watch"), lost = figures.worst(now);
  const parts = [document.querySelector("[data-badge]")?.textContent, document.querySelector("[data-sub]")?.textContent];
  const kept = figures.retention(now);
  if (kept !== null) parts.push(interpolate(figures.mode === "retention" ? _("retention %(value)s") : _("mean score %(value)s"), { value: score(kept) }));
  if (lost) parts.push(interpolate(_("worst forgetting %(value)s on %(task)s"), { value: percent(lost.value), task: lost.task }));
  spoken.textContent = parts.filter(Boolean).join(", ");
}

// ---------------------------------------------------------------- the page's own switches

for (const button of root.querySelectorAll("[data-axis]")) {
  button.addEventListener("click", () => {
    shared.axis = /** @type {"t"|"step"} */ (/** @type {HTMLElement} */ (button).dataset.axis);
    view.zoom = null;
    detail = null;
    keepView();
    for (const chart of charts) chart.turn();
  });
}

const slider = /** @type {HTMLInputElement|null} */ (root.querySelector("[data-smooth]"));
let typing = 0;
slider?.addEventListener("input", () => {
  shared.smooth = Number(slider.value);
  // Browsers count how often an address is written, and a slider tells of each pixel.
  clearTimeout(typing);
  typing = window.setTimeout(keepView, 200);
  for (const chart of charts) {
    chart.version = undefined;
    chart.update();
  }
});

for (const button of root.querySelectorAll("[data-copy-view]")) {
  button.addEventListener("click", async () => {
    keepView();
    button.closest("details")?.removeAttribute("open");
    await navigator.clipboard.writeText(location.href).then(
      () => toast(_("The link to this view was copied.")),
      () => toast(interpolate(_("Copying was not allowed. The address of this page is the link: %(url)s"), { url: location.href })),
    );
  });
}

root.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-legend] button")) keepView();
});

root.querySelector("[data-copy-diagnostics]")?.addEventListener("click", async () => {
  await navigator.clipboard.writeText(diagnostics(root, store)).then(
    () => toast(_("The diagnostics were copied: this cycle's facts and its whole log.")),
    () => toast(_("Copying was not allowed by the browser.")),
  );
});

// ---------------------------------------------------------------- how somebody looks at it: zoom, and the link to it

/** One chart was zoomed (or follows again): so do all, and finer values are asked for. */
function zoomed(from, range) {
  view.zoom = range;
  for (const chart of charts) {
    if (chart === from) continue;
    if (range) chart.zoom(range[0], range[1]);
    else chart.follow();
  }
  keepView();
  void refine(range);
}

/** Where rows stand for several points, the server has finer ones. @param {[number, number]|null} range */
async function refine(range) {
  const { points } = store;
  if (!range) detail = null;
  if (!range || points.level === 0 || !points.length) return changed();
  const inside = points[shared.axis].map((x, i) => (x >= range[0] && x <= range[1] ? i : -1)).filter((i) => i >= 0);
  if (!inside.length) return;
  const width = 2 ** points.level, steps = inside.map((i) => points.step[i]);
  const low = Math.floor(Math.min(...steps) / width) * width, high = (Math.floor(Math.max(...steps) / width) + 1) * width - 1;
  const coarse = points.level;
  const found = await stream.zoom(low, high).catch(() => null);
  if (!found || view.zoom !== range) return;
  detail = Object.assign(found, { coarse });
  for (const chart of charts) chart.version = undefined;
  changed();
  root.dataset.detail = String(found.level);
}

function keepView() {
  view.axis = shared.axis;
  view.smooth = shared.smooth;
  view.hidden = Object.fromEntries(charts.map((chart) => [chart.spec.name, [...chart.hidden]]));
  history.replaceState(history.state, "", `${location.pathname}${location.search}${writeView(view)}`);
  for (const button of root.querySelectorAll("[data-axis]")) {
    button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.axis === shared.axis));
  }
  if (slider) slider.value = String(shared.smooth);
}

/** Another link was pasted over this one. */
window.addEventListener("hashchange", () => {
  Object.assign(view, readView(location.hash));
  const turned = shared.axis !== view.axis;
  Object.assign(shared, { axis: view.axis, smooth: view.smooth });
  detail = null;
  for (const chart of charts) {
    if (turned) chart.turn();
    chart.hide([]);
    chart.follow();
  }
  restored = false;
  restore();
});

let restored = false;
/** The view that the address asks for, once there is something to look at. */
function restore() {
  if (restored || !(store.points.length || store.probes.length)) return;
  restored = true;
  for (const chart of charts) {
    const hidden = view.hidden[chart.spec.name] ?? [];
    if (hidden.length) chart.hide(hidden);
    if (view.zoom) chart.zoom(view.zoom[0], view.zoom[1]);
  }
  const { zoom } = view;
  keepView();
  if (zoom) void refine(zoom);
}

setInterval(() => {
  header.tick();
  if (document.hidden) return;
  if (Date.now() - saidAt > 15_000 && running()) say();
}, 250);
setInterval(() => {
  if (STILL.has(store.cycle.state) && !document.hidden) void refresh();
}, 5000);

changed();
if (ending) {
  header.status = { kind: "ended" };
  stream.insist();
} else {
  live.follow(stream);
}
