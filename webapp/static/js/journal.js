// @ts-check
/** What happened, in words: decisions with their reasons, warnings, changes of state. Newest first. */
import { clock, elapsed, integer } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";

const SHOWN = 300;
const LABELS = { info: _("info"), decision: _("kept"), reverted: _("reverted"), warning: _("warning"), error: _("error") };
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
    this.whole = false;
    /** @type {Map<any, HTMLElement>} */ this._rows = new Map();
    /** @type {HTMLElement|null} */ this.more = null;
    /** @type {string|null|undefined} */ this.since = undefined;
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
    const { journal, cycle } = this.store;
    // Once it is known when the job began, all of its times are the clock's.
    if (cycle.started_at !== this.since) this._rows.clear();
    else if (this.drawn === journal.length) return;
    this.since = cycle.started_at;
    this.drawn = journal.length;
    const found = (entry) => FILTERS[this.filter](entry) && entry.text.toLowerCase().includes(this.words);
    const all = journal.filter(found), entries = all.slice(this.whole ? 0 : -SHOWN).reverse();
    this.empty.hidden = entries.length > 0;
    this.empty.textContent = journal.length ? _("Nothing in the log fits.") : _("Nothing to tell yet.");
    // What is there stays there: somebody reads or marks it, further down.
    const rows = entries.map((entry) => this._rows.get(entry) ?? this._row(entry));
    this._rows = new Map(entries.map((entry, i) => [entry, rows[i]]));
    const { scrollTop } = this.list, keep = new Set(rows);
    const held = scrollTop > 0 ? rows.find((row) => row.isConnected && row.offsetTop - this.list.offsetTop >= scrollTop) : null;
    const was = held?.offsetTop ?? 0;
    for (const row of [...this.list.children]) if (!keep.has(row)) row.remove();
    rows.forEach((row, i) => {
      if (this.list.children[i] !== row) this.list.insertBefore(row, this.list.children[i] ?? null);
    });
    if (held) this.list.scrollTop = scrollTop + held.offsetTop - was;
    this._more(all.length - entries.length);
  }

  /** Below the newest: how many older ones there are. @param {number} older */
  _more(older) {
    this.more ??= this._moreRow();
    this.more.hidden = older <= 0;
    const button = /** @type {HTMLElement} */ (this.more.firstElementChild);
    button.textContent = interpolate(_("Show the %(n)s older entries"), { n: integer(older) });
    if (older > 0) this.list.append(this.more);
    else this.more.remove();
  }

  _moreRow() {
    const row = document.createElement("li"), button = document.createElement("button");
    row.className = "log__more";
    button.type = "button";
    button.className = "linklike";
    button.addEventListener("click", () => {
      this.whole = true;
      this.drawn = -1;
      this.update();
    });
    row.append(button);
    return row;
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
