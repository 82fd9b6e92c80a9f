// @ts-check
/** What people write beside a moment: numbered on every chart, listed under the charts' own bar. */
import { toast } from "./dialogs.js";
import { elapsed, integer, isNumber } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";

export class Notes {
  /**
   * @param {HTMLElement} root the cycle page's own element @param {import("./store.js").CycleStore} store
   * @param {() => void} written called when the server took something, for a page that is not live any more
   */
  constructor(root, store, written) {
    this.store = store;
    this.written = written;
    this.list = /** @type {HTMLElement} */ (root.querySelector("[data-notes]"));
    this.dialog = /** @type {HTMLDialogElement|null} */ (document.getElementById("note"));
    this.drawn = store.notes;
    /** @type {{t: number, step: number}|null} */ this.place = null;
    const form = this.dialog?.querySelector("form");
    root.querySelector("[data-note-add]")?.addEventListener("click", () => this.at(null, "t"));
    form?.addEventListener("submit", (event) => {
      event.preventDefault();
      void this._send(form);
    });
  }

  update() {
    if (this.drawn === this.store.notes) return;
    this.drawn = this.store.notes;
    this.list.hidden = !this.drawn.length;
    // A row stays the one that it was: somebody may be on it.
    const rows = new Map([...this.list.children].map((row) => [/** @type {HTMLElement} */ (row).dataset.note, row]));
    const wanted = this.drawn.map((note) => rows.get(note.id) ?? this._row(note));
    for (const row of rows.values()) if (!wanted.includes(row)) this._drop(row);
    wanted.forEach((row, i) => {
      if (this.list.children[i] !== row) this.list.insertBefore(row, this.list.children[i] ?? null);
    });
  }

  /** Whoever had the focus on it has it on the next one, or on the button that makes notes. @param {Element} row */
  _drop(row) {
    const focused = row.contains(document.activeElement), near = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    if (focused) /** @type {HTMLElement|null} */ (near?.querySelector("button") ?? document.querySelector("[data-note-add]"))?.focus();
  }

  /** Ask for the words of a note at a place; null: at the newest moment. @param {number|null} x @param {"t"|"step"} axis */
  at(x, axis) {
    if (!this.dialog) return;
    const { points } = this.store, xs = points[axis], end = xs.length - 1;
    let i = end;
    if (x !== null) while (i > 0 && xs[i] > x) i--;
    const known = (/** @type {"t"|"step"} */ name) => (axis === name ? Math.max(0, x ?? 0) : points[name][i] ?? 0);
    const now = { t: Math.max(0, this.store.seconds), step: this.store.cycle.step ?? 0 };
    this.place = x === null ? now : { t: known("t"), step: Math.round(known("step")) };
    const where = this.dialog.querySelector("[data-note-place]");
    if (where) where.textContent = interpolate(_("At %(time)s, step %(step)s. Shift-click a chart to choose the moment."), { time: elapsed(this.place.t), step: integer(this.place.step) });
    this.dialog.showModal();
    this.dialog.querySelector("textarea")?.focus();
  }

  /** @param {HTMLFormElement} form */
  async _send(form) {
    const field = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("text"));
    if (!this.place || !(await this._ask("POST", form.action, { ...this.place, text: field.value }))) return;
    field.value = "";
    this.dialog?.close();
  }

  _row(note) {
    const row = document.createElement("li"), where = document.createElement("b"), by = document.createElement("span");
    row.className = "note";
    row.dataset.note = note.id;
    where.textContent = elapsed(note.t);
    where.title = interpolate(_("step %(step)s"), { step: integer(note.step) });
    by.className = "muted";
    by.textContent = note.by;
    row.append(where, ` ${note.text} `, by);
    const address = this.list.dataset.removeUrl;
    if (address) {
      const remove = document.createElement("button");
      remove.type = "button";
      remove.className = "linklike";
      remove.textContent = "✕";
      remove.setAttribute("aria-label", interpolate(_("Remove the note “%(text)s”"), { text: note.text }));
      remove.addEventListener("click", () => void this._remove(address.replace(/[0-9a-f-]{36}$/, note.id)));
      row.append(remove);
    }
    return row;
  }

  /** @param {string} url the note's own address */
  async _remove(url) {
    if (!(await this._ask("DELETE", url))) return;
    toast(_("The note was removed."), "success", () => void this._ask("POST", `${url}/restore`));
  }

  /** @param {string} method @param {string} url @param {object} [body] @returns {Promise<boolean>} whether it was taken */
  async _ask(method, url, body) {
    const token = /** @type {HTMLInputElement|null} */ (this.dialog?.querySelector("input[name=csrfmiddlewaretoken]"));
    const headers = { "Content-Type": "application/json", "X-CSRFToken": token?.value ?? "" };
    const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) }).catch(() => null);
    if (answer?.ok) {
      this.written();
      return true;
    }
    const told = await answer?.json().catch(() => null);
    toast(told?.message ?? _("The server did not answer. The note is still here; try again."), "error");
    return false;
  }
}

/** Where the notes stand on an axis. @param {import("./store.js").CycleStore} store @param {"t"|"step"} axis */
export function notePlaces(store, axis) {
  return store.notes.map((note, i) => ({ x: note[axis], number: i + 1 })).filter(({ x }) => isNumber(x));
}
