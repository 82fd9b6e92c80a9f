// @ts-check
/**
 * One chart: uPlot inside a card that the server has laid out. It follows the newest data until somebody zooms, keeps
 * the zoom while data comes, shares its cursor with the others, and has a legend, a table of values and a CSV.
 *
 * @typedef {object} Line
 * @property {string} key @property {string} label @property {string} token colour token
 * @property {number[]} [dash] @property {boolean} [dots] points only, no line @property {boolean} [ghost] drawn faint
 * @property {number} [width] @property {string} [parent] key of the line whose legend entry also rules this one
 * @property {string} [view] drawn only while the chart shows this view of several
 * @property {string} [english] the label in what is saved, which is the same in every language
 *
 * @typedef {object} Spec
 * @property {string} name @property {Line[]} lines
 * @property {(axis: "t"|"step") => (number|null)[][]} data x values, then one column a line
 * @property {() => Record<string, {low: (number|null)[], high: (number|null)[]}>} [bands] what rows merged of several
 *   points range over, by line, in the order of the data just given
 * @property {(v: number, view: string) => string} format @property {(values: number[]) => string[]} [marks] along the y axis
 * @property {string[]} [views] the first is shown first
 * @property {(min: number, max: number, view: string) => [number, number]} range of y
 * @property {() => {value: number, token: string}[]} [levels] dashed horizontals
 * @property {() => {from: number, to: number, token: string, label: string}|null} [zone] a band in y
 * @property {() => string} [note] beside the title @property {boolean} [breaks] no line across a long silence
 * @property {() => string} [version] changes whenever there is something new to draw
 * @property {() => [number, number]} [shown] rows drawn, and raw points behind them
 *
 * @typedef {object} Shared
 * @property {"t"|"step"} axis @property {number} smooth 0 to below 1
 * @property {() => import("./store.js").Stage[]} stages @property {() => boolean} ended
 * @property {() => number} edge the last x of anything on the page: all charts run over the same
 * @property {(x: number|null) => void} cursor where the pointer is
 * @property {() => {x: number, number: number}[]} notes places of what people wrote
 * @property {(x: number) => void} chosen somebody shift-clicked a moment
 * @property {(chart: Chart, zoom: [number, number]|null) => void} zoomed somebody zoomed a chart, or follows again
 */
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { el, fillTable, saveCsv, saveJson, savePng } from "./chart_values.js";
import { elapsed, integer, isNumber } from "./format.js";
import { zoomByFinger, zoomWithoutMouse } from "./gestures.js";
import { gettext as _, interpolate } from "./i18n.js";
import { faded, onTheme, token } from "./palette.js";
import { redraw } from "./redraw.js";
import { longestPause, smooth } from "./smoothing.js";
import { stageOf } from "./stages.js";

const SYNC = uPlot.sync("cycle");
const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

export class Chart {
  /** @param {HTMLElement} card @param {Spec} spec @param {Shared} shared */
  constructor(card, spec, shared) {
    this.card = card;
    this.spec = spec;
    this.shared = shared;
    this.following = true;
    this.hidden = new Set();
    this.view = spec.views?.[0] ?? "";
    this.host = /** @type {HTMLElement} */ (card.querySelector("[data-plot]"));
    this.again = /** @type {HTMLButtonElement} */ (card.querySelector("[data-follow]"));
    this.table = /** @type {HTMLDetailsElement|null} */ (card.querySelector(".chart__values"));
    /** What the store gave; `data` is the same, smoothed. */
    this.raw = this.data = [[]];
    this.draw = this.draw.bind(this);
    this._build();
    this._legend();
    this.again.addEventListener("click", () => this.followAgain());
    for (const [name, act] of [["csv", saveCsv], ["json", saveJson], ["png", savePng]]) {
      card.querySelector(`[data-${name}]`)?.addEventListener("click", () => {
        act(this);
        card.querySelector("[data-menu]")?.removeAttribute("open");
        /** @type {HTMLElement|null} */ (card.querySelector("[data-menu] > summary"))?.focus();
      });
    }
    for (const button of card.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => this.show(/** @type {HTMLElement} */ (button).dataset.view ?? ""));
    }
    this.table?.addEventListener("toggle", () => fillTable(this));
    zoomWithoutMouse(this);
    new ResizeObserver(() => this._resize()).observe(this.host);
    onTheme(() => this._rebuild());
  }

  /** New data, or another look at the same: drawn soon. */
  update() {
    redraw(this.draw);
  }

  /** To the newest data again. */
  follow() {
    this.following = true;
    this.version = undefined;
    this.again.hidden = true;
    this.update();
  }

  /** The same, because a person said so: all charts go along. */
  followAgain() {
    this.follow();
    this.shared.zoomed(this, null);
  }

  /** To a range, and stay there. @param {number} min @param {number} max */
  zoom(min, max) {
    this.following = false;
    this.again.hidden = false;
    this.card.dataset.following = "false";
    this._scale(min, max);
    this.version = undefined;
    this.update();
  }

  /** The same, because a person said so: all charts go along. @param {number} min @param {number} max */
  zoomByHand(min, max) {
    if (!(max > min)) return;
    this.zoom(min, max);
    this.card.dataset.range = `${min} ${max}`;
    this.shared.zoomed(this, [min, max]);
  }

  /** One view of several. @param {string} view */
  show(view) {
    this.view = view;
    this.card.dataset.view = view;
    for (const button of this.card.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.view === view));
    }
    this._apply();
    this.version = undefined;
    this.update();
  }

  _scale(min, max) {
    this._ours = true;
    this.plot.setScale("x", { min, max });
    this._ours = false;
  }

  /** Whether a line is to be drawn now. @param {Line} line */
  _visible(line) {
    return !this.hidden.has(line.parent ?? line.key) && (!line.view || line.view === this.view);
  }

  _smoothed() {
    const amount = this.shared.smooth;
    if (!amount) return this.raw;
    return [this.raw[0], ...this.spec.lines.map((line, i) => {
      const ys = this.raw[i + 1];
      return line.dots || line.ghost ? ys : smooth(/** @type {number[]} */ (this.raw[0]), ys, amount);
    })];
  }

  draw() {
    // Under a pointer that is pressed nothing moves: a range would begin elsewhere than where it was begun.
    if (this.pressed) return;
    const told = this.spec.version?.();
    const version = told === undefined ? undefined : `${told} ${this.following ? this._everything() : ""}`;
    if (version !== undefined && version === this.version) return;
    this.version = version;
    this.raw = this.spec.data(this.shared.axis);
    this.bands = this.spec.bands?.() ?? {};
    this.data = this._smoothed();
    this.plot.setData(this.data, false);
    const [min, max] = this.following ? this._everything() : [this.plot.scales.x.min, this.plot.scales.x.max];
    this._scale(min, max);
    this._empty();
    this._present();
    const note = this.card.querySelector("[data-note]");
    const [rows, total] = this.spec.shown?.() ?? [0, 0];
    const some = total > rows ? interpolate(_("%(rows)s rows of %(total)s points"), { rows: integer(rows), total: integer(total) }) : "";
    const words = [some, this.spec.note?.() ?? ""].filter(Boolean).join(" · ");
    if (note instanceof HTMLElement && note.textContent !== words) note.textContent = note.title = words;
    fillTable(this);
    this.card.dataset.points = String(this.data[0].length);
    this.card.dataset.following = String(this.following);
    this.card.dataset.range = `${min} ${max}`;
  }

  /** All data with a little room that grows by steps, so that the axis does not creep. */
  _everything() {
    const xs = this.data[0], least = this.shared.ended() ? 1 : this.shared.axis === "t" ? 10 : 20;
    const first = 0, last = Math.max(xs.length ? xs[xs.length - 1] : 0, this.shared.edge(), least);
    if (this.shared.ended()) return [first, last];
    const unit = niceStep(last / 8);
    return [first, Math.max(unit, Math.ceil((last * 1.02) / unit) * unit)];
  }

  _build() {
    const self = this;
    const grid = { stroke: () => token("line"), width: 1 };
    const axis = { stroke: () => token("faint"), font: FONT, grid, ticks: { show: false } };
    this.plot = new uPlot(
      {
        ...this._size(),
        padding: [10, 16, 0, 0],
        legend: { show: false },
        cursor: {
          // Only where the pointer is goes from chart to chart; zooms are told as values, by `shared.zoomed`.
          sync: { key: SYNC.key, setSeries: false, scales: ["x", null], filters: { pub: (type) => /^mouse(move|enter|leave)$/.test(type) } },
          drag: { x: true, y: false, setScale: true, dist: 5 },
          points: { size: 6, width: 1.5 },
          focus: { prox: 24 },
        },
        scales: { x: { time: false }, y: { range: (u, min, max) => self._range(u, min, max) } },
        axes: [
          { ...axis, space: 70, size: 26, gap: 4, values: (_u, marks) => marks.map((m) => this.x(m)), incrs: this.shared.axis === "t" ? TIMES : STEPS },
          { ...axis, space: 34, size: (_u, words) => this._axisWidth(words), gap: 4, values: (_u, marks) => this.spec.marks?.(marks) ?? marks.map((m) => this.spec.format(m, this.view)) },
        ],
        series: [{}, ...this.spec.lines.map((line) => this._series(line))],
        hooks: {
          drawClear: [(u) => this._behind(u)],
          drawAxes: [(u) => this._faint(u)],
          draw: [(u) => this._levels(u), (u) => this._notes(u)],
          setSelect: [(u) => this._zoomed(u)],
          setCursor: [(u) => this._cursor(u)],
        },
      },
      this.data,
      this.host,
    );
    this.plot.over.addEventListener("mousedown", () => {
      this.pressed = true;
      document.addEventListener("mouseup", () => {
        this.pressed = false;
        this.update();
      }, { once: true });
    });
    this.plot.over.addEventListener("dblclick", () => this.followAgain());
    this.plot.over.addEventListener("click", (event) => {
      if (event.shiftKey) this.shared.chosen(this.plot.posToVal(event.offsetX, "x"));
    });
    this.tip = document.createElement("div");
    this.tip.className = "chart__tip";
    this.tip.hidden = true;
    this.plot.over.append(this.tip);
    this.plot.root.setAttribute("aria-hidden", "true");
    zoomByFinger(this);
  }

  /** @param {Line} line */
  _series(line) {
    const colour = () => (line.ghost ? faded(line.token, 0.38) : token(line.token));
    return {
      label: line.label, stroke: colour, dash: line.dash, width: line.dots ? 0 : line.width ?? 1.75, spanGaps: false,
      ...(this.spec.breaks ? { gaps: (u, _s, from, to, nulls) => this._breaks(u, from, to, nulls) } : {}),
      show: this._visible(line),
      paths: line.dots ? () => null : undefined,
      points: line.dots
        ? { show: true, size: 8, width: 2, stroke: colour, fill: () => token("surface") }
        : { size: 4, stroke: colour, fill: colour },
    };
  }

  /** Between two stages nothing was measured: no line there. */
  _breaks(u, from, to, nulls) {
    const xs = u.data[0];
    // asked once a line, and the lines have their places in common
    if (this._paused?.xs !== xs || this._paused.size !== xs.length) {
      this._paused = { xs, size: xs.length, longest: longestPause(xs, this.shared.axis === "t" ? 1.5 : 50) };
    }
    const limit = this._paused.longest;
    const long = [];
    for (let i = from + 1; i <= to; i++) if (xs[i] - xs[i - 1] > limit) long.push([u.valToPos(xs[i - 1], "x", true), u.valToPos(xs[i], "x", true)]);
    return long.length ? [...nulls, ...long].sort((a, b) => a[0] - b[0]) : nulls;
  }

  /** As wide as the longest label so far, so that the plot does not breathe. @param {string[]|null} words */
  _axisWidth(words) {
    const longest = Math.max(0, ...(words ?? []).map((word) => word.length));
    this.axisWidth = Math.max(44, this.axisWidth ?? 0, Math.ceil((longest * 6.4 + 12) / 4) * 4);
    return this.axisWidth;
  }

  _range(u, min, max) {
    let low = isNumber(min) ? min : Infinity, high = isNumber(max) ? max : -Infinity;
    // A line that enters or leaves between two points has its ends outside of what is shown.
    if (!this.following) {
      for (const value of this._besides(u)) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    for (const level of this.spec.levels?.() ?? []) {
      low = Math.min(low, level.value);
      high = Math.max(high, level.value);
    }
    return low > high ? this.spec.range(NaN, NaN, this.view) : this.spec.range(low, high, this.view);
  }

  /** The values of each line nearest to the range that is shown, to its left and right. @param {any} u */
  _besides(u) {
    const xs = this.data[0], { min, max } = u.scales.x, found = [];
    if (!xs.length || !isNumber(min) || !isNumber(max)) return found;
    const first = lowerBound(xs, min), after = lowerBound(xs, max);
    this.spec.lines.forEach((line, i) => {
      if (!this._visible(line) || line.dots) return;
      const ys = this.data[i + 1] ?? [];
      let left = first - 1, right = xs[after] === max ? after + 1 : after;
      while (left >= 0 && !isNumber(ys[left])) left--;
      while (right < xs.length && !isNumber(ys[right])) right++;
      for (const value of [ys[left], ys[right]]) if (isNumber(value)) found.push(value);
    });
    return found;
  }

  /** A value of the x axis in words. @param {number} value */
  x(value) {
    return this.shared.axis === "t" ? elapsed(value) : integer(value);
  }

  /** Stage bands, behind everything. @param {any} u */
  _behind(u) {
    const { ctx } = u, { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    for (const stage of this.shared.stages()) {
      const [from, to] = this.shared.axis === "t" ? [stage.t0, stage.t1 ?? 1e12] : [stage.step0, stage.step1 ?? 1e15];
      const x0 = Math.max(left, u.valToPos(from, "x", true)), x1 = Math.min(left + width, u.valToPos(to, "x", true));
      if (x1 <= x0) continue;
      ctx.fillStyle = faded(stageOf(stage.stage).token, stage.ghost ? 0.04 : 0.09);
      ctx.fillRect(x0, top, x1 - x0, height);
    }
    const zone = this.spec.zone?.();
    if (zone) {
      const y0 = u.valToPos(zone.from, "y", true), y1 = u.valToPos(zone.to, "y", true);
      ctx.fillStyle = faded(zone.token, 0.2);
      ctx.fillRect(left, y1, width, y0 - y1);
      ctx.fillStyle = token("muted");
      ctx.font = `${11 * devicePixelRatio}px ${FONT.slice(5)}`;
      ctx.textAlign = "right";
      ctx.textBaseline = "bottom";
      ctx.fillText(zone.label, left + width - 6 * devicePixelRatio, Math.min(y1, top + height) - 3 * devicePixelRatio);
    }
    ctx.restore();
  }

  /** Under each line: what its merged rows range over, and the values before they were smoothed. @param {any} u */
  _faint(u) {
    const { ctx } = u, { left, top, width, height } = u.bbox, xs = this.raw[0];
    if (!xs.length) return;
    const first = lowerBound(xs, u.scales.x.min) - 1, last = lowerBound(xs, u.scales.x.max) + 1;
    const from = Math.max(0, first), to = Math.min(xs.length, last);
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    this.spec.lines.forEach((line, i) => {
      if (!this._visible(line) || line.dots || line.ghost) return;
      const band = this.bands?.[line.key];
      if (band) {
        ctx.strokeStyle = faded(line.token, 0.22);
        ctx.lineWidth = Math.max(1, width / Math.max(1, to - from));
        ctx.beginPath();
        for (let k = from; k < to; k++) {
          if (band.low[k] === null || band.low[k] === band.high[k]) continue;
          const x = u.valToPos(xs[k], "x", true);
          ctx.moveTo(x, u.valToPos(band.low[k], "y", true));
          ctx.lineTo(x, u.valToPos(band.high[k], "y", true));
        }
        ctx.stroke();
      }
      if (!this.shared.smooth) return;
      ctx.strokeStyle = faded(line.token, 0.28);
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      for (let k = from, pen = false; k < to; k++) {
        const y = this.raw[i + 1][k];
        if (y === null || y === undefined) {
          pen = pen && y === undefined;
          continue;
        }
        const x = u.valToPos(xs[k], "x", true), py = u.valToPos(y, "y", true);
        if (pen) ctx.lineTo(x, py);
        else ctx.moveTo(x, py);
        pen = true;
      }
      ctx.stroke();
    });
    ctx.restore();
  }

  /** Where each line stood before. @param {any} u */
  _levels(u) {
    const { ctx } = u, { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    for (const level of this.spec.levels?.() ?? []) {
      const y = Math.round(u.valToPos(level.value, "y", true)) + 0.5;
      ctx.strokeStyle = faded(level.token, 0.55);
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** Numbered flags where people wrote something. @param {any} u */
  _notes(u) {
    const { ctx } = u, { left, top, width, height } = u.bbox, unit = devicePixelRatio;
    ctx.save();
    ctx.font = `${10 * unit}px ${FONT.slice(5)}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.lineWidth = unit;
    for (const { x, number } of this.shared.notes()) {
      const at = Math.round(u.valToPos(x, "x", true)) + 0.5;
      if (at < left || at > left + width) continue;
      ctx.strokeStyle = ctx.fillStyle = token("warn");
      ctx.beginPath();
      ctx.moveTo(at, top);
      ctx.lineTo(at, top + height);
      ctx.stroke();
      const wide = (number > 9 ? 16 : 12) * unit;
      ctx.fillRect(at - wide / 2, top, wide, 12 * unit);
      ctx.fillStyle = token("surface");
      ctx.fillText(String(number), at, top + 6.5 * unit);
    }
    ctx.restore();
  }

  /** Somebody dragged over a part: its ends, read from the selection, for the scale follows only later. @param {any} u */
  _zoomed(u) {
    if (this._ours || !u.select.width) return;
    this.following = false;
    this.again.hidden = false;
    this.card.dataset.following = "false";
    const { left, width } = u.select, range = /** @type {[number, number]} */ ([u.posToVal(left, "x"), u.posToVal(left + width, "x")]);
    this.card.dataset.range = range.join(" ");
    this.shared.zoomed(this, range);
  }

  /** @param {any} u */
  _cursor(u) {
    const { idx, left } = u.cursor;
    const inside = idx !== null && idx !== undefined && left >= 0;
    this.tip.hidden = !inside || !u.cursor.event;
    if (u.cursor.event) this.shared.cursor(inside ? u.posToVal(left, "x") : null);
    if (this.tip.hidden) return;
    const rows = this.spec.lines
      .map((line, i) => ({ line, value: this.raw[i + 1]?.[idx], even: this.data[i + 1]?.[idx], shown: u.series[i + 1].show }))
      .filter((row) => row.shown && isNumber(row.value));
    if (!rows.length) {
      this.tip.hidden = true;
      return;
    }
    this.tip.classList.toggle("chart__tip--many", rows.length > 8);
    this.tip.replaceChildren(
      el("b", this.x(this.data[0][idx])),
      ...rows.map(({ line, value, even }) => {
        const row = el("span", ""), words = this.spec.format(/** @type {number} */ (value), this.view);
        row.style.setProperty("--swatch", token(line.token));
        const band = this.bands?.[line.key], low = band?.low[idx], high = band?.high[idx];
        const range = isNumber(low) && isNumber(high) && low < high ? ` (${this.spec.format(low, this.view)}–${this.spec.format(high, this.view)})` : "";
        const smoothed = isNumber(even) && even !== value ? ` ~${this.spec.format(even, this.view)}` : "";
        row.append(el("em", line.label), " ", el("i", words + range + smoothed));
        return row;
      }),
    );
    const over = u.over.getBoundingClientRect();
    const right = left > over.width / 2;
    this.tip.style.left = right ? "auto" : `${left + 12}px`;
    this.tip.style.right = right ? `${over.width - left + 12}px` : "auto";
  }

  _size() {
    const box = this.host.getBoundingClientRect();
    return { width: Math.max(120, Math.floor(box.width)), height: Math.max(100, Math.floor(box.height)) };
  }

  _resize() {
    const { width, height } = this._size();
    if (width !== this.plot.width || height !== this.plot.height) this.plot.setSize({ width, height });
  }

  /** Axis or theme changed: the same data, made new, the zoom kept where it still means something. */
  _rebuild() {
    const { min, max } = this.plot.scales.x;
    this.version = undefined;
    this.plot.destroy();
    this._build();
    if (!this.following) this._scale(min, max);
    this._legendColours();
    this.update();
  }

  /** Another x axis: the old zoom means nothing on it. */
  turn() {
    this.following = true;
    this.again.hidden = true;
    this._rebuild();
  }

  _empty() {
    const empty = this.card.querySelector("[data-empty]");
    if (!(empty instanceof HTMLElement)) return;
    empty.hidden = this.data[0].length > 0;
    if (this.shared.ended()) empty.textContent = _("Nothing was recorded.");
  }

  // ---------------------------------------------------------------- legend

  _legend() {
    const list = this.card.querySelector("[data-legend]");
    this.entries = this.spec.lines.filter((line) => !line.parent);
    list?.replaceChildren(
      ...this.entries.map((line) => {
        const button = el("button", line.label);
        button.type = "button";
        button.className = line.dash ? "chart__key chart__key--dash" : "chart__key";
        button.dataset.key = line.key;
        button.title = _("Click: show or hide. Alt-click: this one alone.");
        button.setAttribute("aria-pressed", "true");
        button.addEventListener("click", (event) => this._toggle(line.key, event.altKey));
        const item = document.createElement("li");
        item.append(button);
        return item;
      }),
    );
    this._legendColours();
  }

  _legendColours() {
    for (const button of this.card.querySelectorAll("[data-legend] button")) {
      const line = this.entries.find((one) => one.key === /** @type {HTMLElement} */ (button).dataset.key);
      if (line) /** @type {HTMLElement} */ (button).style.setProperty("--swatch", token(line.token));
    }
  }

  /** Only what has values has an entry: a term that is not part of this loss is not listed. */
  _present() {
    if (!this.data[0].length) return;
    for (const button of this.card.querySelectorAll("[data-legend] button")) {
      const at = this.spec.lines.findIndex((line) => line.key === /** @type {HTMLElement} */ (button).dataset.key) + 1;
      const item = /** @type {HTMLElement} */ (button.parentElement), line = this.spec.lines[at - 1];
      if (item.dataset.present !== "yes" && this.data[at].some(isNumber)) item.dataset.present = "yes";
      item.hidden = item.dataset.present !== "yes" || (line.view !== undefined && line.view !== this.view);
    }
  }

  _toggle(key, solo) {
    const keys = this.entries.map((line) => line.key);
    if (solo) {
      const alone = keys.every((k) => (k === key) !== this.hidden.has(k));
      this.hidden = new Set(alone ? [] : keys.filter((k) => k !== key));
    } else if (!this.hidden.delete(key)) this.hidden.add(key);
    this._apply();
  }

  /** Hide some lines. @param {string[]} keys of legend entries; unknown ones are ignored */
  hide(keys) {
    this.hidden = new Set(keys.filter((key) => this.entries.some((line) => line.key === key)));
    this._apply();
  }

  /** Show what is not hidden, and say so in the legend. */
  _apply() {
    this.spec.lines.forEach((line, i) => this.plot.setSeries(i + 1, { show: this._visible(line) }));
    for (const button of this.card.querySelectorAll("[data-legend] button")) {
      button.setAttribute("aria-pressed", String(!this.hidden.has(/** @type {HTMLElement} */ (button).dataset.key)));
    }
  }
}

/** The first place in a rising column that is not below the value. @param {any[]} xs @param {number} value */
function lowerBound(xs, value) {
  let low = 0, high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

const TIMES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 604800];
const STEPS = Array.from({ length: 13 }, (_, n) => [1, 2, 5].map((digit) => digit * 10 ** n)).flat();

/** The smallest round number not below the value. @param {number} value */
function niceStep(value) {
  for (const step of TIMES) if (step >= value) return step;
  return 10 ** Math.ceil(Math.log10(value));
}

export { uPlot };
