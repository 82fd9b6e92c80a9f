// @ts-check
// The box that "/" opens over any page: words in, what fits out, arrows and Enter. Without scripts its link is a page.
import { gettext as _, interpolate, ngettext } from "./i18n.js";

const PAUSE_MS = 120;

/** @param {HTMLDialogElement} dialog */
class Finder {
  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.dialog = dialog;
    this.form = /** @type {HTMLFormElement} */ (dialog.querySelector("[data-find]"));
    this.field = /** @type {HTMLInputElement} */ (dialog.querySelector("input[name=q]"));
    this.list = /** @type {HTMLElement} */ (dialog.querySelector("[role=listbox]"));
    this.count = dialog.querySelector("[data-found-count]");
    this.timer = 0;
    /** @type {AbortController|null} */ this.asking = null;
    /** What the list answers. @type {string|null} */ this.shown = null;
    this.field.addEventListener("input", () => this._later());
    this.field.addEventListener("keydown", (event) => this._key(event));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this._open(false);
    });
    this.list.addEventListener("pointermove", ({ target }) => {
      const hit = target instanceof Element ? target.closest("a[role=option]") : null;
      if (hit) this._choose(hit);
    });
  }

  _later() {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.ask(), PAUSE_MS);
  }

  /** Fetch what fits the words as they stand; an older answer is dropped. */
  async ask() {
    clearTimeout(this.timer);
    const text = this.field.value.trim();
    if (text === this.shown) return;
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    try {
      const url = `${this.form.action}?part&q=${encodeURIComponent(text)}`;
      const answer = await fetch(url, { signal: asking.signal, headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      this.list.replaceChildren(...page.body.childNodes);
      this.shown = text;
      this._tell(text);
    } catch (error) {
      if (asking.signal.aborted) return;
      const words = document.createElement("p");
      words.className = "found__none bad";
      words.textContent = _("The server did not answer. Type on, or press Enter to search on a page of its own.");
      this.list.replaceChildren(words);
      this.shown = null;
    }
  }

  /** @param {string} text */
  _tell(text) {
    const hits = this._hits();
    this.field.setAttribute("aria-expanded", String(hits.length > 0));
    this._choose(text ? (hits[0] ?? null) : null);
    this.list.scrollTop = 0;
    if (!this.count) return;
    this.count.textContent = text ? interpolate(ngettext("%(n)s result", "%(n)s results", hits.length), { n: hits.length }) : "";
  }

  _hits() {
    return [...this.list.querySelectorAll("a[role=option]")];
  }

  /** @param {Element|null} hit */
  _choose(hit) {
    for (const one of this._hits()) one.setAttribute("aria-selected", String(one === hit));
    if (hit) this.field.setAttribute("aria-activedescendant", hit.id);
    else this.field.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void this._open(true);
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const hits = this._hits();
    if (!hits.length) return;
    const at = hits.findIndex((hit) => hit.getAttribute("aria-selected") === "true");
    const next = at < 0 ? (step > 0 ? 0 : hits.length - 1) : (at + step + hits.length) % hits.length;
    this._choose(hits[next]);
    hits[next].scrollIntoView({ block: "nearest" });
  }

  /** What is chosen, once the list answers the words as they stand; without a choice, the page of the search. @param {boolean} aside */
  async _open(aside) {
    await this.ask();
    const hit = this.list.querySelector("a[aria-selected=true]");
    const url = hit instanceof HTMLAnchorElement ? hit.href : `${this.form.action}?q=${encodeURIComponent(this.field.value.trim())}`;
    if (aside) window.open(url, "_blank", "noopener");
    else location.assign(url);
  }
}

/** @type {Finder|null} */
let finder = null;

/** What fits the words that already stand in the box. @param {HTMLDialogElement} dialog it is open */
export function startFinder(dialog) {
  void (finder ??= new Finder(dialog)).ask();
}
