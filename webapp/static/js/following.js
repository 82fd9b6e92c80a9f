// @ts-check
// Rows of running cycles on the home page and on a project's: they follow the stream of each, as the cycle's own page
// does, but keep nothing of it. What a row cannot say by itself (a state, a verdict) makes the page ask the server.
import { integer } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { Live, Stream } from "./live.js";
import { redraw } from "./redraw.js";
import { refreshNow } from "./refresh.js";
import { stageOf } from "./stages.js";

/** @type {Live|null} */
let live = null;

/** A stream's sink that remembers only how far it is. */
class Row {
  /** @param {string} id @param {number} seq the last number that the page was served with */
  constructor(id, seq) {
    this.id = id;
    this.last = seq;
    this.told = { progress: 0, step: 0, total_steps: 0, stage: "" };
    this.draw = () => this._draw();
  }

  /** The row may have been exchanged since. */
  get element() {
    return document.querySelector(`[data-follow-cycle="${this.id}"]`);
  }

  clear() {
    this.last = 0;
  }

  /** @param {Record<string, any>} state */
  setState(state) {
    this._tell(state);
  }

  /** @param {import("./store.js").Frame} frame */
  apply(frame) {
    this.last = frame.seq;
    if (frame.kind === "state") refreshNow();
    if (frame.kind !== "data") return true;
    const { progress, step, total_steps, events = [] } = frame.payload;
    const begun = events.filter((/** @type {any} */ event) => event.kind === "stage_started").at(-1);
    this._tell({ progress, step, total_steps, stage: begun?.stage });
    return true;
  }

  /** @param {Record<string, any>} news */
  _tell(news) {
    for (const key of ["progress", "step", "total_steps", "stage"]) if (news[key] !== undefined) this.told[key] = news[key];
    redraw(this.draw);
  }

  _draw() {
    const { progress, step, total_steps: total, stage } = this.told, row = this.element;
    const bar = row?.querySelector("progress"), words = row?.querySelector("[data-row-now]");
    if (bar) bar.value = progress;
    if (!words || !stage) return;
    const now = stageOf(stage).title;
    words.textContent = total
      ? interpolate(_("%(stage)s · step %(step)s of %(total)s"), { stage: now, step: integer(step), total: integer(total) })
      : now;
  }
}

/** Follow what the page shows now, and nothing else. */
function follow() {
  const shown = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-follow-cycle]")]);
  if (!live && !shown.length) return;
  live ??= new Live("/ws/live", () => undefined);
  const topics = new Set();
  for (const { dataset } of shown) {
    const id = dataset.followCycle ?? "", topic = `cycle:${id}`;
    topics.add(topic);
    const known = live.streams.get(topic);
    // What the server just wrote may be older than what the stream told.
    if (known) /** @type {Row} */ (known.sink).draw();
    else live.follow(new Stream(topic, { frames: `/api/cycles/${id}/frames` }, new Row(id, Number(dataset.seq)), () => undefined));
  }
  for (const topic of live.streams.keys()) if (!topics.has(topic)) live.leave(topic);
}

follow();
document.addEventListener("refreshed", follow);
