// @ts-check
/** The night as a sleep tracker draws it: one lane a kind of stage, bars in real time, probes as ticks. */
import { clock, duration, elapsed, plain } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { redraw } from "./redraw.js";
import { LANES, laneName, stageOf } from "./stages.js";

const NS = "http://www.w3.org/2000/svg";
const ROW = 20, BAR = 11, TOP = 8, TICKS = 10, CLOCK = 22, RIGHT = 10;
const NICE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400];

export class Hypnogram {
  /** @param {HTMLElement} host @param {import("./store.js").CycleStore} store @param {() => boolean} running */
  constructor(host, store, running) {
    this.host = host;
    this.store = store;
    this.running = running;
    this.lanes = LANES[store.cycle.kind] ?? LANES.sleep;
    this.svg = node("svg", { class: "hypno", role: "img" });
    this.host.replaceChildren(this.svg);
    this.cursorAt = null;
    this.draw = this.draw.bind(this);
    this.width = 240;
    this.left = 112;
    new ResizeObserver(() => {
      this.drawn = "";
      redraw(this.draw);
    }).observe(host);
  }

  update() {
    redraw(this.draw);
  }

  /** A hairline where the charts' cursor is. @param {number|null} t seconds */
  cursor(t) {
    this.cursorAt = t;
    redraw(this.draw);
  }

  /** Between two changes only the open bar and the line "now" move; everything else is left alone. */
  draw() {
    const now = this._now(), span = this._span(now), { stages, probes } = this.store;
    const key = [span, stages.length, this.store.waits.length, stages.at(-1)?.t1, probes.length, stages.filter((s) => s.ghost || s.cut !== undefined).length,
      this.running(), this.cursorAt, this.store.cycle.started_at].join();
    if (key !== this.drawn) {
      this.drawn = key;
      this._drawAll(now, span);
    }
    const px = this._x(now, span);
    if (this.openBar) this.openBar.setAttribute("width", String(Math.max(2, Math.round(px - this.openAt))));
    if (this.nowLine && px !== this.nowAt) {
      this.nowAt = px;
      this.nowLine.setAttribute("transform", `translate(${Math.round(px)} 0)`);
    }
  }

  _x(t, span) {
    return this.left + (Math.max(0, Math.min(t, span)) / span) * (this.width - this.left - RIGHT);
  }

  _drawAll(now, span) {
    this.width = Math.max(240, this.host.clientWidth);
    const narrow = this.width < 560, width = this.width;
    this.left = narrow ? 84 : 112;
    const left = this.left, bottom = TOP + this.lanes.length * ROW, height = bottom + TICKS + CLOCK;
    const x = (t) => this._x(t, span);
    const parts = [];
    this.lanes.forEach((lane, i) => {
      const y = TOP + i * ROW + ROW / 2;
      parts.push(node("text", { x: 0, y, class: "hypno__lane" }, laneName(lane, narrow)));
      parts.push(node("line", { x1: left, x2: width - RIGHT, y1: y, y2: y, class: "hypno__rule" }));
    });
    if (!this.store.stages.length) parts.push(node("text", { x: (left + width) / 2, y: TOP + (this.lanes.length * ROW) / 2, class: "hypno__lane hypno__empty", "text-anchor": "middle" }, this.running() || !this.store.cycle.finished_at ? (narrow ? _("Not begun yet.") : _("The stages appear here as they begin.")) : _("No stage began.")));
    this.openBar = null;
    let before = null;
    for (const stage of this.store.stages) {
      const kind = stageOf(stage.stage), row = this.lanes.indexOf(kind.lane);
      if (row < 0) continue;
      const y = TOP + row * ROW + ROW / 2, ghost = stage.ghost ? " is-ghost" : "";
      if (before && before.y !== y && before.epoch === stage.epoch) parts.push(node("line", { x1: x(stage.t0), x2: x(stage.t0), y1: before.y, y2: y, class: `hypno__step${ghost}` }));
      const end = x(stage.t1 ?? now), bar = this._bar(stage, kind, x(stage.t0), stage.cut === undefined ? end : x(stage.cut), y);
      parts.push(bar);
      if (stage.cut !== undefined) parts.push(this._bar({ ...stage, t0: stage.cut, ghost: true }, kind, x(stage.cut), end, y));
      if (stage.t1 === null) {
        this.openBar = bar;
        this.openAt = x(stage.t0);
      }
      before = { y, epoch: stage.epoch };
    }
    for (const wait of this.store.waits.filter(({ seconds, broke }) => broke || seconds >= 5)) {
      const line = node("line", { x1: x(wait.at), x2: x(wait.at), y1: TOP, y2: bottom, class: "hypno__wait" });
      const words = wait.paused ? _("Paused for %(length)s") : _("Waited %(length)s for a worker");
      line.append(node("title", {}, interpolate(words, { length: duration(wait.seconds) })));
      parts.push(line);
    }
    for (const probe of this.store.probes) {
      const proof = probe.split === "proof";
      parts.push(node("line", { x1: x(probe.t), x2: x(probe.t), y1: bottom + 1, y2: bottom + (proof ? 9 : 6), class: `hypno__tick${proof ? " hypno__tick--proof" : ""}` }));
    }
    if (this.store.stages.length) parts.push(...this._clock(span, x, height, width));
    if (this.cursorAt !== null && this.cursorAt <= span) parts.push(node("line", { x1: x(this.cursorAt), x2: x(this.cursorAt), y1: TOP, y2: bottom + 8, class: "hypno__cursor" }));
    this.nowLine = this.running() && this.store.stages.length ? this._nowLine(x(now) > width - RIGHT - 34, bottom) : null;
    this.nowAt = -1;
    if (this.nowLine) parts.push(this.nowLine);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", String(width));
    this.svg.setAttribute("height", String(height));
    this.svg.setAttribute("aria-label", this._words(now));
    this.svg.replaceChildren(...parts);
  }

  _bar(stage, kind, from, to, y) {
    const bar = node("rect", {
      x: from, y: y - BAR / 2, width: Math.max(2, to - from), height: BAR, rx: 1.5,
      class: `hypno__bar hypno__bar--${kind.token.replace("stage-", "")}${stage.ghost ? " is-ghost" : ""}`,
    });
    const rounds = this.store.stages.some((s) => !s.ghost && s.round > 1);
    const length = stage.t1 === null ? _("so far") : duration(stage.t1 - stage.t0);
    const text = rounds ? _("%(stage)s, round %(round)s: %(length)s") : _("%(stage)s: %(length)s");
    const words = interpolate(text, { stage: kind.title, round: plain(stage.round), length });
    bar.append(node("title", {}, stage.ghost ? interpolate(_("%(line)s (superseded)"), { line: words }) : words));
    return bar;
  }

  _nowLine(atEnd, bottom) {
    const group = node("g", {});
    group.append(
      node("line", { x1: 0, x2: 0, y1: 2, y2: bottom + 9, class: "hypno__now" }),
      node("text", { x: atEnd ? -5 : 5, y: 9, class: "hypno__nowtext", "text-anchor": atEnd ? "end" : "start" }, _("now")),
    );
    return group;
  }

  /** Seconds from the first start to the newest thing known; while it runs the clock goes on between frames. */
  _now() {
    return Math.max(this.store.seconds, this.store.stages.at(-1)?.t1 ?? 0, 1);
  }

  /** What the width stands for: grows by steps, so that bars do not creep. */
  _span(now) {
    if (!this.running()) return Math.max(this.store.stages.at(-1)?.t1 ?? now, 1);
    const unit = NICE.find((n) => n >= 5 && n >= now / 6) ?? 172800;
    return Math.max(10, Math.ceil((now * 1.04) / unit) * unit);
  }

  _clock(span, x, height, width) {
    const started = Date.parse(this.store.cycle.started_at ?? "");
    const fits = Math.max(2, Math.floor((width - 100) / 110));
    const unit = NICE.find((n) => span / n <= fits) ?? 172800;
    const seconds = unit < 60, marks = [];
    const origin = Number.isNaN(started) ? 0 : started / 1000 + this.store.zero;
    const zone = Number.isNaN(started) ? 0 : new Date(started).getTimezoneOffset() * 60;
    const first = Math.ceil((origin - zone) / unit) * unit + zone;
    let last = -Infinity;
    for (let at = first; marks.length < 100; at += unit) {
      const { t, skip } = this.store.working(at - origin), px = x(t);
      if (t > span || (px > width - RIGHT - 20 && marks.length)) break;
      at += Math.floor(skip / unit) * unit;
      if (skip || px - last < 64) continue;
      last = px;
      const words = Number.isNaN(started) ? elapsed(t) : clock(at * 1000, seconds);
      marks.push(node("text", { x: px, y: height - 5, class: "hypno__clock", "text-anchor": "middle" }, words));
    }
    return marks;
  }

  _words(now) {
    const said = this.store.stages.filter((s) => !s.ghost)
      .map((s) => interpolate(_("%(stage)s %(length)s"), { stage: stageOf(s.stage).title, length: duration((s.t1 ?? now) - s.t0) }));
    return said.length ? interpolate(_("The night so far: %(stages)s."), { stages: said.join(", ") }) : _("The night has not begun.");
  }
}

/** @param {string} name @param {Record<string, string|number>} attributes @param {string} [text] */
function node(name, attributes, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, typeof value === "number" ? String(Math.round(value * 10) / 10) : value);
  if (text !== undefined) made.textContent = text;
  return made;
}
