// @ts-check
/** The buttons that steer a cycle: there when its state allows them, and sent without leaving the page. */
import { toast } from "./dialogs.js";
import { integer } from "./format.js";
import { gettext as _, interpolate, ngettext } from "./i18n.js";
import { STILL } from "./states.js";
import { put } from "./strip.js";

const PAUSABLE = new Set(["queued", "blocked", "starting", "running"]);
const CANCELLABLE = new Set([...STILL, "starting", "running", "pausing"]);
/** So many times its plan on top at most, as the server says too. */
const MOST = 4;
/** @type {Record<string, string>} */
const DONE = {
  pause: _("It pauses; the device is free for others, and nothing is lost."),
  resume: _("It goes on where it was."),
  extend: _("It will go on for longer."),
  cancel: "",
};

export class Steering {
  /**
   * @param {Document} root @param {import("./store.js").CycleStore} store
   * @param {(state: Record<string, any>) => void} told takes the cycle's state as the server answers
   */
  constructor(root, store, told) {
    this.root = root;
    this.store = store;
    this.told = told;
    /** @param {string} selector */
    const find = (selector) => /** @type {HTMLElement|null} */ (root.querySelector(selector));
    this.group = find("[data-steering]");
    this.dialog = /** @type {HTMLDialogElement|null} */ (root.getElementById("cancel"));
    this.parts = {
      pause: find("[data-steer=pause]"), resume: find("[data-steer=resume]"),
      extend: find("[data-steer-menu]"), cancel: find("[data-steer-cancel]"),
    };
    for (const form of root.querySelectorAll("form[data-steer]")) form.addEventListener("submit", (event) => void this._send(event));
  }

  update() {
    const c = this.store.cycle, { parts } = this;
    if (!this.group) return;
    const focused = document.activeElement;
    this._show(parts.pause, PAUSABLE.has(c.state));
    this._show(parts.resume, c.state === "paused");
    this._show(parts.extend, Boolean(c.can_extend) && !["cancelling", "publishing"].includes(c.state));
    this._show(parts.cancel, CANCELLABLE.has(c.state));
    for (const choice of parts.extend?.querySelectorAll("button") ?? []) choice.hidden = (c.extended ?? 0) + Number(choice.value) / 100 > MOST;
    // Whoever pressed a button that is gone now stands on what took its place.
    if (focused instanceof HTMLElement && this.group.contains(focused) && !focused.checkVisibility()) this._first()?.focus();
    this._cancel();
  }

  /** @param {HTMLElement|null} part @param {boolean} there */
  _show(part, there) {
    if (!part || part.hidden === !there) return;
    part.hidden = !there;
    if (part instanceof HTMLDetailsElement) part.open = false;
  }

  /** @returns {HTMLElement|null} */
  _first() {
    const all = /** @type {HTMLElement[]} */ ([...(this.group?.querySelectorAll("button, summary") ?? [])]);
    return all.find((one) => one.checkVisibility()) ?? null;
  }

  /** What is lost with it, in the open dialog too. */
  _cancel() {
    const c = this.store.cycle, { dialog } = this, begun = Boolean(c.attempt || c.step);
    if (!dialog) return;
    if (dialog.open && !CANCELLABLE.has(c.state)) dialog.close();
    const parts = { "[data-cancel-unbegun]": !begun, "[data-cancel-begun]": begun, "[data-cancel-instead]": begun && PAUSABLE.has(c.state) };
    for (const [selector, there] of Object.entries(parts)) {
      const part = dialog.querySelector(selector);
      if (part instanceof HTMLElement && part.hidden === there) part.hidden = !there;
    }
    const lost = c.step ? interpolate(ngettext("That is %(n)s step.", "That is %(n)s steps.", c.step), { n: integer(c.step) }) : "";
    put(dialog.querySelector("[data-cancel-lost]"), lost);
  }

  /** @param {SubmitEvent} event */
  async _send(event) {
    const form = /** @type {HTMLFormElement} */ (event.target), word = form.dataset.steer ?? "";
    event.preventDefault();
    if (form.dataset.sending) return;
    form.dataset.sending = "1";
    form.setAttribute("aria-busy", "true");
    const button = /** @type {HTMLButtonElement|null} */ (event.submitter);
    const body = word === "extend" ? JSON.stringify({ share: Number(button?.value) / 100 }) : undefined;
    const token = /** @type {HTMLInputElement|null} */ (form.querySelector("input[name=csrfmiddlewaretoken]"));
    const headers = { "Content-Type": "application/json", "X-CSRFToken": token?.value ?? "" };
    const answer = await fetch(form.dataset.api ?? "", { method: "POST", headers, body }).catch(() => null);
    const said = await answer?.json().catch(() => null);
    delete form.dataset.sending;
    form.removeAttribute("aria-busy");
    if (word === "cancel") this.dialog?.close();
    if (form.parentElement instanceof HTMLDetailsElement) {
      form.parentElement.open = false;
      form.parentElement.querySelector("summary")?.focus();
    }
    if (!answer?.ok) {
      toast(said?.message ?? _("The server did not answer, so nothing was changed. Try again."), "error");
      return;
    }
    if (DONE[word]) toast(DONE[word], "success");
    this.told(said);
  }
}
