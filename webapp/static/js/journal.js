// @ts-check
/** What happened, in words: decisions with their reasons, warnings, changes of state. Newest first. */
import { clock, elapsed } from "./format.js";

const SHOWN = 300;
const LABELS = { info: "info", decision: "kept", reverted: "reverted", warning: "warning", error: "error" };
const FILTERS = {
  all: () => true,
  decisions: (entry) => entry.level === "decision" || entry.level === "reverted",
  problems: (entry) => entry.level === "warning" || entry.level === "error",
};

export class Journal {
  /** @param {HTMLElement} card @param {import("./store.js").CycleStore} store */
  constructor(card, store) {
    this.store = store;
    this.list = /** @type {HTMLElement} */ (card.querySelector("[data-log]"));
    this.empty = /** @type {HTMLElement} */ (card.querySelector("[data-log-empty]"));
    this.filter = "all";
    this.drawn = -1;
    for (const button of card.querySelectorAll("[data-log-filter]")) {
      button.addEventListener("click", () => {
        this.filter = /** @type {HTMLElement} */ (button).dataset.logFilter ?? "all";
        for (const other of card.querySelectorAll("[data-log-filter]")) other.setAttribute("aria-pressed", String(other === button));
        this.drawn = -1;
        this.update();
      });
    }
  }

  update() {
    const { journal } = this.store;
    if (this.drawn === journal.length) return;
    this.drawn = journal.length;
    const entries = journal.filter(FILTERS[this.filter]).slice(-SHOWN).reverse();
    this.empty.hidden = entries.length > 0;
    this.list.replaceChildren(...entries.map((entry) => this._row(entry)));
  }

  _row(entry) {
    const started = Date.parse(this.store.cycle.started_at ?? "");
    const row = document.createElement("li");
    row.className = `log__row log__row--${entry.level}`;
    const time = document.createElement("time");
    time.textContent = Number.isNaN(started) ? elapsed(entry.wall) : clock(started + entry.wall * 1000, true);
    const level = document.createElement("span");
    level.className = "log__level";
    level.textContent = LABELS[entry.level] ?? entry.level;
    const text = document.createElement("span");
    text.className = "log__text";
    text.textContent = entry.text;
    row.append(time, level, text);
    return row;
  }
}
