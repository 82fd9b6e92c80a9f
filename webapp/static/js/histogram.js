// @ts-check
/**
 * How large the weights are, and how much they matter, before and after the downscaling: bars over powers of ten.
 * Numbers come from the newest round of the attempt that counts.
 */
import { el, save, savePng } from "./chart_values.js";
import { integer, scientific } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { faded, onTheme, token } from "./palette.js";
import { redraw } from "./redraw.js";

const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const LEFT = 8, RIGHT = 8, TOP = 12, FOOT = 26;
const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

export class HistogramCard {
  /** @param {HTMLElement} card @param {import("./store.js").CycleStore} store @param {() => boolean} ended */
  constructor(card, store, ended) {
    this.card = card;
    this.store = store;
    this.ended = ended;
    this.name = "significance";
    this.host = /** @type {HTMLElement} */ (card.querySelector("[data-plot]"));
    this.empty = /** @type {HTMLElement} */ (card.querySelector("[data-empty]"));
    this.note = /** @type {HTMLElement} */ (card.querySelector("[data-note]"));
    this.table = /** @type {HTMLDetailsElement} */ (card.querySelector(".chart__values"));
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    this.host.append(canvas);
    this.ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.plot = { ctx: this.ctx };
    this.spec = { name: "significance" };
    this.tip = el("div", "");
    this.tip.className = "chart__tip";
    this.tip.hidden = true;
    this.host.append(this.tip);
    this.drawn = "";
    this.draw = this.draw.bind(this);
    for (const button of card.querySelectorAll("[data-view]")) {
      button.addEventListener("click", () => {
        this.name = /** @type {HTMLElement} */ (button).dataset.view ?? "significance";
        this.spec.name = this.name;
        for (const other of card.querySelectorAll("[data-view]")) other.setAttribute("aria-pressed", String(other === button));
        this._again();
      });
    }
    const acts = { png: () => savePng(this), csv: () => this._save("csv"), json: () => this._save("json") };
    for (const [name, act] of Object.entries(acts)) {
      card.querySelector(`[data-${name}]`)?.addEventListener("click", () => {
        act();
        card.querySelector("[data-menu]")?.removeAttribute("open");
      });
    }
    this.host.addEventListener("pointermove", (event) => this._point(event.offsetX));
    this.host.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.table.addEventListener("toggle", () => this._table());
    new ResizeObserver(() => this._again()).observe(this.host);
    onTheme(() => this._again());
    this._legend();
  }

  update() {
    redraw(this.draw);
  }

  _again() {
    this.drawn = "";
    this.update();
  }

  /** Before and after of the newest round. @returns {{before: any, after: any}} */
  pair() {
    const mine = this.store.histograms.filter((h) => !h.ghost && h.name === this.name);
    const round = mine.at(-1)?.round;
    const of = (when) => mine.filter((h) => h.round === round && h.when === when).at(-1);
    return { before: of("before"), after: of("after") };
  }

  draw() {
    const { before, after } = this.pair();
    const key = [this.name, before?.n, after?.n, this.host.clientWidth, this.ended()].join();
    if (key === this.drawn) return;
    this.drawn = key;
    this.empty.hidden = Boolean(before);
    if (!before && this.ended()) this.empty.textContent = _("Nothing was downscaled, so there is nothing to compare.");
    this.card.dataset.points = String(before?.counts.length ?? 0);
    this.note.textContent = before ? this._words(before, after) : _("before / after downscaling");
    this._bars(before, after);
    this._table();
  }

  _words(before, after) {
    const zeros = (h) => integer(h.zeros);
    if (!after) return interpolate(_("before downscaling · %(zeros)s zeros"), { zeros: zeros(before) });
    return interpolate(_("before / after downscaling · zeros %(before)s → %(after)s"), { before: zeros(before), after: zeros(after) });
  }

  /** Bins from the first to the last that holds anything. */
  _range(before, after) {
    const full = (i) => before.counts[i] || after?.counts[i];
    let from = 0, to = before.counts.length - 1;
    while (from < to && !full(from)) from += 1;
    while (to > from && !full(to)) to -= 1;
    return [Math.max(0, from - 1), Math.min(before.counts.length - 1, to + 1)];
  }

  _bars(before, after) {
    const ratio = devicePixelRatio || 1, width = this.host.clientWidth, height = this.host.clientHeight, { ctx } = this;
    ctx.canvas.width = Math.round(width * ratio);
    ctx.canvas.height = Math.round(height * ratio);
    if (!before) return;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [from, to] = this._range(before, after), most = Math.max(...before.counts, ...(after?.counts ?? [0]), 1);
    const slot = (width - LEFT - RIGHT) / (to - from + 1), floor = height - FOOT;
    this.slots = { from, to, slot };
    ctx.strokeStyle = token("line");
    ctx.beginPath();
    for (const share of [0, 0.5, 1]) {
      const y = Math.round(floor - share * (floor - TOP)) + 0.5;
      ctx.moveTo(LEFT, y);
      ctx.lineTo(width - RIGHT, y);
    }
    ctx.stroke();
    const bar = (h, colour, shift, wide) => {
      ctx.fillStyle = colour;
      for (let i = from; i <= to; i++) {
        const tall = (h.counts[i] / most) * (floor - TOP);
        if (h.counts[i]) ctx.fillRect(LEFT + (i - from) * slot + shift, floor - Math.max(1, tall), wide, Math.max(1, tall));
      }
    };
    const each = Math.max(1, slot / 2 - 1);
    bar(before, faded("muted", 0.55), 0.5, after ? each : Math.max(1, slot - 2));
    if (after) bar(after, token("accent"), slot / 2 + 0.5, each);
    ctx.fillStyle = token("faint");
    ctx.font = FONT;
    ctx.textAlign = "center";
    const first = Math.ceil(before.edges[from]), last = Math.floor(before.edges[to + 1]);
    const step = Math.max(1, Math.ceil((last - first) / Math.max(2, width / 64)));
    for (let power = first; power <= last; power += step) {
      const share = (power - before.edges[from]) / (before.edges[to + 1] - before.edges[from]);
      ctx.fillText(ten(power), Math.min(width - 16, Math.max(16, LEFT + share * (width - LEFT - RIGHT))), height - 8);
    }
  }

  _point(x) {
    const { before, after } = this.pair();
    if (!before || !this.slots) return;
    const i = this.slots.from + Math.floor((x - LEFT) / this.slots.slot);
    this.tip.hidden = i < this.slots.from || i > this.slots.to;
    if (this.tip.hidden) return;
    const line = (words, colour, h) => {
      const row = el("span", `${words} `);
      row.style.setProperty("--swatch", token(colour));
      row.append(el("i", integer(h.counts[i])));
      return row;
    };
    this.tip.replaceChildren(el("b", span(before.edges, i)), line(_("before"), "muted", before), ...(after ? [line(_("after"), "accent", after)] : []));
    const right = x > this.host.clientWidth / 2;
    this.tip.style.left = right ? "auto" : `${x + 12}px`;
    this.tip.style.right = right ? `${this.host.clientWidth - x + 12}px` : "auto";
  }

  _legend() {
    const list = this.card.querySelector("[data-legend]");
    for (const [words, colour] of [[_("before"), "muted"], [_("after"), "accent"]]) {
      const item = el("li", words);
      item.className = "chart__key";
      item.style.setProperty("--swatch", `var(--${colour})`);
      list?.append(item);
    }
  }

  _table() {
    if (!this.table.open) return;
    const { before, after } = this.pair(), body = document.createElement("tbody");
    const row = (cells, name) => {
      const line = document.createElement("tr");
      line.append(...cells.map((text) => el(name, text)));
      return line;
    };
    if (before) {
      body.append(row([_("zero"), integer(before.zeros), after ? integer(after.zeros) : ""], "td"));
      before.counts.forEach((n, i) => {
        if (n || after?.counts[i]) body.append(row([span(before.edges, i), integer(n), after ? integer(after.counts[i]) : ""], "td"));
      });
    }
    const head = document.createElement("thead");
    head.append(row([this.name === "weights" ? "|w|" : _("significance"), _("before"), _("after")], "th"));
    this.table.querySelector("table")?.replaceChildren(head, body);
  }

  /** @param {"csv"|"json"} kind */
  _save(kind) {
    const { before, after } = this.pair();
    if (!before) return;
    if (kind === "json") {
      save(`${this.name}.json`, new Blob([JSON.stringify({ chart: this.name, before, after })], { type: "application/json" }));
      return;
    }
    const lines = before.counts.map((n, i) => [before.edges[i], before.edges[i + 1], n, after?.counts[i] ?? ""].join(","));
    const zero = ["", "", before.zeros, after?.zeros ?? ""].join(",");
    save(`${this.name}.csv`, new Blob([["log10_from,log10_to,before,after", zero, ...lines].join("\r\n")], { type: "text/csv" }));
  }
}

/** 10⁻³ @param {number} power */
function ten(power) {
  if (power === 0) return "1";
  return `10${[...String(Number(power.toFixed(2)))].map((c) => SUPERSCRIPT[c] ?? "·").join("")}`;
}

/** @param {number[]} edges @param {number} i */
function span(edges, i) {
  const value = (edge) => scientific(Number((10 ** edge).toPrecision(2)));
  return `${value(edges[i])} … ${value(edges[i + 1])}`;
}
