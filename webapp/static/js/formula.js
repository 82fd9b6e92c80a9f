// @ts-check
/** A cell of the matrix in words: its score, the best one before, and what follows; consolidation/metrics.py's terms. */
import { fixed, isNumber, percent } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";

/** Three digits: with two the division would not come out. @param {number} v */
const exact = (v) => fixed(v, 3);

/**
 * @param {{task: string, labels: string[], values: (number|null)[], index: number, since: number|null, past?: {label: string, best: number}|null, shares?: boolean}} cell one line of
 *   the matrix, oldest first; `since` is the column in which the task was learned, null when it never was; `past` is the
 *   best of the columns that are left out before the first; `shares`: forgetting is a share of the best
 */
export function formulaWords({ task, labels, values, index, since, past: hidden, shares = false }) {
  const now = values[index], at = { task, label: labels[index] };
  if (!isNumber(now)) return interpolate(_("%(task)s has no score after %(label)s."), at);
  const told = interpolate(_("R[%(label)s][%(task)s] = %(now)s."), { ...at, now: exact(now) });
  if (since === null || since > index) return `${told} ${_("It had not been learned yet.")}`;
  const past = values.slice(since, index).filter(isNumber);
  if (!past.length && !hidden) return `${told} ${_("No earlier score to compare with.")}`;
  const best = Math.max(hidden?.best ?? -Infinity, ...past), where = best === hidden?.best ? hidden.label : labels[values.indexOf(best, since)], top = Math.max(best, now);
  if (top <= 0) return told;
  const terms = { now: exact(now), best: exact(best), where, top: exact(top), kept: exact(now / top), lost: percent(shares ? (best - now) / best : best - now) };
  const words = shares
    ? _("Best before: %(best)s (%(where)s). Retention %(now)s / %(top)s = %(kept)s; forgetting (%(best)s − %(now)s) / %(best)s = %(lost)s.")
    : _("Best before: %(best)s (%(where)s). Retention %(now)s / %(top)s = %(kept)s; forgetting %(best)s − %(now)s = %(lost)s.");
  return `${told} ${interpolate(words, terms)}`;
}

/** Shows the words of the cell under the pointer, or of the one that the arrow keys reached. */
export class MatrixFormulas {
  /** @param {HTMLElement} card @param {{name: string, since: number|null, past: {label: string, best: number}|null}[]} tasks @param {boolean} shares */
  constructor(card, tasks, shares) {
    this.shares = shares;
    this.card = card;
    this.tasks = tasks;
    this.words = /** @type {HTMLElement} */ (card.querySelector("[data-matrix-formula]"));
    this.usual = this.words.textContent;
    const table = /** @type {HTMLTableElement} */ (card.querySelector("table"));
    this.rows = [...table.tBodies[0].rows];
    const first = this.rows[0]?.cells[this.rows[0].cells.length - 1];
    if (first) first.tabIndex = 0;
    table.addEventListener("pointerover", (event) => this._show(event.target));
    table.addEventListener("focusin", (event) => this._show(event.target));
    table.addEventListener("pointerleave", () => this._show(document.activeElement));
    table.addEventListener("focusout", () => this._show(null));
    table.addEventListener("keydown", (event) => this._move(event));
  }

  /** @param {unknown} target */
  _show(target) {
    const cell = target instanceof Element ? target.closest("td.heat") : null;
    const row = cell?.closest("tr"), task = this.tasks.find((one) => one.name === row?.dataset.task);
    if (!cell || !row || !task) {
      this.words.textContent = this.usual;
      return;
    }
    const cells = [...row.querySelectorAll("td.heat")];
    const heads = [.../** @type {HTMLTableElement} */ (row.closest("table")).tHead?.querySelectorAll("th") ?? []];
    this.words.textContent = formulaWords({
      task: task.name,
      labels: heads.map((head) => head.firstChild?.textContent?.trim() ?? ""),
      values: cells.map((one) => (/** @type {HTMLElement} */ (one).dataset.value ? Number(/** @type {HTMLElement} */ (one).dataset.value) : null)),
      index: cells.indexOf(cell),
      since: task.since,
      past: task.past,
      shares: this.shares,
    });
  }

  /** One cell is in the tab order; the arrow keys move it. @param {KeyboardEvent} event */
  _move(event) {
    const cell = event.target instanceof Element ? event.target.closest("td.heat") : null;
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!(cell instanceof HTMLTableCellElement) || !step) return;
    const row = this.rows[this.rows.indexOf(/** @type {HTMLTableRowElement} */ (cell.parentElement)) + step[0]];
    const next = row?.cells[cell.cellIndex + step[1]];
    if (!next?.matches("td.heat")) return;
    event.preventDefault();
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}
