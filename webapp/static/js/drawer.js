// @ts-check
/** The drawer at the foot of every page: uploads go on while a person walks through Nocturne. */
import { Row } from "./upload-row.js";
import { countText, sentence, stateOf, summary } from "./upload-words.js";
import { uploads } from "./uploads.js";

/** @typedef {import("./upload-item.js").Item} Item */

const OPEN_KEY = "nocturne-drawer", SAY_MS = 15_000, SHOW_MS = 100, WITHIN_MS = 1000;

class Drawer {
  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
    /** @param {string} name @returns {HTMLElement} */
    const part = (name) => /** @type {HTMLElement} */ (document.querySelector(`[data-drawer-${name}]`));
    this.toggle = part("toggle");
    this.words = part("words");
    this.bar = /** @type {HTMLProgressElement} */ (part("progress"));
    this.list = part("list");
    this.voice = part("say");
    /** @type {Map<Item, Row>} */
    this.rows = new Map();
    /** What was said last of each, and when anything was. @type {Map<Item, string>} */
    this.said = new Map();
    this.saidAt = 0;
    this.due = false;
    this.shown = false;
    this.toggle.addEventListener("click", () => this.open(this.list.hidden));
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.list.hidden) return;
      this.open(false);
      this.toggle.focus();
    });
    uploads.addEventListener("change", () => this._soon());
    this.open(sessionStorage.getItem(OPEN_KEY) === "1");
  }

  /** @param {boolean} open */
  open(open) {
    this.list.hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
    sessionStorage.setItem(OPEN_KEY, open ? "1" : "0");
    this._soon();
  }

  /** Nobody reads figures faster than that. */
  _soon() {
    if (this.due) return;
    this.due = true;
    setTimeout(() => {
      this.due = false;
      this.show();
    }, SHOW_MS);
  }

  show() {
    const items = uploads.items.filter((item) => !item.here);
    const inside = this.box.contains(document.activeElement);
    for (const [item, row] of this.rows) {
      if (items.includes(item)) continue;
      row.element.parentElement?.remove();
      this.rows.delete(item);
      this.said.delete(item);
    }
    for (const item of items) this._row(item).show();
    this.box.hidden = items.length === 0;
    if (!items.length) return;
    if (inside && !this.box.contains(document.activeElement)) this.toggle.focus();
    const text = this.list.hidden ? summary(items) : countText(items);
    if (this.words.textContent !== text) this.words.textContent = text;
    const going = items.filter((item) => !item.ended);
    // What has ended covers no further page.
    if (!this.shown && !going.length) this.open(false);
    this.shown = true;
    const size = going.reduce((sum, item) => sum + item.size, 0);
    this.bar.hidden = size === 0;
    this.bar.value = size ? (1000 * going.reduce((sum, item) => sum + item.received, 0)) / size : 0;
    this._say(items);
  }

  /** @param {Item} item */
  _row(item) {
    let row = this.rows.get(item);
    if (row) return row;
    row = new Row(item);
    this.rows.set(item, row);
    const line = document.createElement("li");
    line.append(row.element);
    // The newest first, as the store has them.
    const place = uploads.items.filter((one) => this.rows.has(one)).indexOf(item);
    this.list.insertBefore(line, this.list.children[place] ?? null);
    return row;
  }

  /** A change of state is told when it comes, how far it is only now and then. @param {Item[]} items */
  _say(items) {
    const fresh = items.filter((item) => this.said.get(item) !== item.phase);
    for (const item of fresh) {
      this.said.set(item, item.phase);
      if (item.waitsForPerson) this.open(true);
    }
    const now = performance.now(), told = fresh.filter((item) => item.ended || item.waitsForPerson || item.phase === "offline");
    if (told.length) this.voice.textContent = told.map((item) => [item.name, stateOf(item), sentence(item, false)].join(", ")).join(" ");
    else if (now - this.saidAt > SAY_MS && this.saidAt) this.voice.textContent = summary(items);
    else if (this.saidAt) return;
    this.saidAt = now;
  }
}

/**
 * A page of ours goes on with the uploads, and so does this one when it is loaded again; only what leaves for good is
 * asked about. Where the browser does not tell where it goes, a click on a link or a form says it.
 */
function warnBeforeLeaving() {
  let within = -Infinity;
  /** @param {string} url */
  const mark = (url) => {
    if (new URL(url, location.href).origin === location.origin) within = performance.now();
  };
  const { navigation } = /** @type {any} */ (globalThis);
  if (navigation) navigation.addEventListener("navigate", (/** @type {any} */ event) => mark(event.destination.url));
  else {
    document.addEventListener("submit", () => mark(location.href), true);
    document.addEventListener("click", ({ target }) => {
      const link = target instanceof Element ? target.closest("a") : null;
      if (link?.href) mark(link.href);
    }, true);
  }
  addEventListener("beforeunload", (event) => {
    if (uploads.sending && (uploads.fragile || performance.now() - within > WITHIN_MS)) event.preventDefault();
  });
}

/** Before a log-out: nothing is sent any more, and no file is held. */
export const letGo = () => uploads.logOut();

const box = document.querySelector("[data-drawer]");
if (box instanceof HTMLElement) {
  new Drawer(box);
  warnBeforeLeaving();
  void uploads.look();
}
