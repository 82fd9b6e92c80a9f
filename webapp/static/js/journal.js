// @ts-check
/** What happened, in words: decisions with their reasons, warnings, changes of state. Newest first. */
import { clock, elapsed } from "./format.js";
import { gettext as _ } from "./i18n.js";

const SHOWN = 300;
const LABELS = { info: "info", decision: "kept", reverted: "reverted", warning: "warning", error: "error" };
const FILTERS = {
  all: () => true,
  decisions: (entry) => entry.level === "decision" || entry.level === "reverted",
  problems: (entry) => entry.level === "warning" || entry.level === "error",
};

/** When an entry was written: the clock's time, or since the start where that is not known. */
export function entryTime(entry, cycle) {
  const started = Date.parse(cycle.started_at ?? "");
  return Number.isNaN(started) ? elapsed(entry.wall) : clock(started + entry.wall * 1000, true);
}

export class Journal {
  /** @param {HTMLElement} card @param {import("./store.js").CycleStore} store */
  constructor(card, store) {
    this.store = store;
    this.list = /** @type {HTMLElement} */ (card.querySelector("[data-log]"));
    this.empty = /** @type {HTMLElement} */ (card.querySelector("[data-log-empty]"));
    this.filter = "all";
    this.words = "";
    this.drawn = -1;
    const search = /** @type {HTMLInputElement|null} */ (card.querySelector("[data-log-search]"));
    search?.addEventListener("input", () => {
      this.words = search.value.trim().toLowerCase();
      this.drawn = -1;
      this.update();
    });
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
    const found = (entry) => FILTERS[this.filter](entry) && entry.text.toLowerCase().includes(this.words);
    const entries = journal.filter(found).slice(-SHOWN).reverse();
    this.empty.hidden = entries.length > 0;
    this.empty.textContent = journal.length ? _("Nothing in the log fits.") : _("Nothing to tell yet.");
    this.list.replaceChildren(...entries.map((entry) => this._row(entry)));
  }

  _row(entry) {
    const row = document.createElement("li");
    row.className = `log__row log__row--${entry.level}`;
    const time = document.createElement("time");
    time.textContent = entryTime(entry, this.store.cycle);
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
