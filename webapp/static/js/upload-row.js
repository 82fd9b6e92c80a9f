// @ts-check
// One upload as it is shown, in the drawer or on the page that began it.
import { gettext as _, interpolate } from "./i18n.js";
import { percentText, sentence, stateOf } from "./upload-words.js";
import { uploads } from "./uploads.js";

/** @typedef {import("./upload-item.js").Item} Item */

const PAUSABLE = new Set(["sending", "waiting", "offline"]);
const RESUMABLE = new Set(["paused", "stopped"]);
let rows = 0;

export class Row {
  /** @param {Item} item */
  constructor(item) {
    this.item = item;
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("upload-row"));
    this.element = /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
    this.bar = /** @type {HTMLProgressElement} */ (this.part("[data-bar]"));
    const code = this.part("[data-sha-value]");
    code.id = `sha-${(rows += 1)}`;
    this.part("[data-sha] button").setAttribute("data-copy", code.id);
    this.part("[data-open-link]").addEventListener("click", () => uploads.dismiss(item));
    this.element.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("[data-act]") : null;
      const act = button?.getAttribute("data-act");
      if (act === "pause") uploads.pause(item);
      else if (act === "resume") uploads.resume(item);
      else if (act === "cancel") void uploads.cancel(item);
      else if (act === "dismiss") uploads.dismiss(item);
    });
    this.show();
  }

  /** @param {string} selector @returns {HTMLElement} */
  part(selector) {
    const found = this.element.querySelector(selector);
    if (!(found instanceof HTMLElement)) throw new Error(`no ${selector}`);
    return found;
  }

  show() {
    const { item } = this, { phase } = item, focused = document.activeElement;
    this.element.dataset.phase = phase;
    this._put("[data-name]", item.name);
    this._put("[data-project]", item.project);
    this._put("[data-state]", stateOf(item));
    this._put("[data-figures]", sentence(item, uploads.silent));
    this.part("[data-name]").title = item.name;
    this.bar.setAttribute("aria-label", interpolate(_("%(name)s, sent"), { name: item.name }));
    this.bar.hidden = item.ended;
    if (phase === "verifying") this.bar.removeAttribute("value");
    else this.bar.value = (1000 * item.received) / item.size;
    this.bar.setAttribute("aria-valuetext", phase === "verifying" ? stateOf(item) : percentText(item));
    this._act("pause", PAUSABLE.has(phase));
    this._act("resume", RESUMABLE.has(phase));
    this._act("cancel", !item.ended && phase !== "verifying");
    this._act("dismiss", item.ended);
    this._show("[data-hint]", item.hint);
    this._show("[data-select]", phase === "select");
    if (phase === "select") this._ask();
    else this.part("[data-file-label]").querySelector("input")?.remove();
    this._show("[data-login]", phase === "login");
    this._ended(item);
    // Whoever pressed a button that is gone now stands on what took its place.
    if (focused instanceof HTMLElement && this.element.contains(focused) && !focused.checkVisibility()) this._first()?.focus();
  }

  /** A chooser of files is only there when a file is asked for. */
  _ask() {
    const label = this.part("[data-file-label]");
    if (label.querySelector("input")) return;
    const file = document.createElement("input");
    file.type = "file";
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      if (chosen) void uploads.choose(this.item, chosen);
      file.value = "";
    });
    label.prepend(file);
  }

  /** @param {Item} item */
  _ended(item) {
    this._show("[data-open]", item.phase === "ready" && item.url !== "");
    this._link("[data-open-link]", item.purpose === "checkpoint" ? _("Open the checkpoint") : _("Open the records"), item.url);
    this._show("[data-same]", item.same !== null);
    if (item.same) this._link("[data-same-link]", interpolate(_("Same content as %(name)s"), { name: item.same.name }), item.same.url);
    this._show("[data-sha]", item.sha256 !== "" && item.phase !== "refused");
    this._put("[data-sha-value]", item.sha256);
    const code = item.phase === "refused" || item.phase === "stopped" ? (item.problem?.code ?? "") : "";
    this._show("[data-code]", code !== "");
    this._put("[data-code] code", code);
  }

  /** @param {string} selector @param {string} text */
  _put(selector, text) {
    const part = this.part(selector);
    if (part.textContent !== text) part.textContent = text;
  }

  /** @param {string} selector @param {string} text @param {string} url */
  _link(selector, text, url) {
    this._put(selector, text);
    const link = /** @type {HTMLAnchorElement} */ (this.part(selector));
    if (link.getAttribute("href") !== url) link.href = url;
  }

  /** @param {string} selector @param {string|boolean} what a text is put in, too */
  _show(selector, what) {
    const part = this.part(selector);
    if (typeof what === "string") this._put(selector, what);
    part.hidden = !what;
  }

  /** @param {string} name @param {boolean} there */
  _act(name, there) {
    this.part(`[data-act=${name}]`).hidden = !there;
  }

  /** @returns {HTMLElement|null} */
  _first() {
    const all = /** @type {HTMLElement[]} */ ([...this.element.querySelectorAll("button, a, input")]);
    return all.find((one) => one.checkVisibility()) ?? null;
  }
}
