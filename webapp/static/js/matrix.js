// @ts-check
/** The live columns of the retention matrix; the past ones come from the server. */
import { fixed, isNumber, percent, plain } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";

/**
 * The number in a cell: hundredths, cut, so that 0.996 is no 100; below ten with one decimal. Below one rounded to two, below a
 * tenth to four: the scores of a language model are small.
 * @param {number} v
 */
function hundredths(v) {
  const parts = Math.floor(1e4 * v + 1e-9), tenths = Math.floor(parts / 10);
  if (v > 0 && v < 0.01) return fixed(100 * v, v < 0.001 ? 4 : 2);
  return parts < 1000 && tenths % 10 ? fixed(tenths / 10, 1) : plain(Math.floor(parts / 100));
}

export class Matrix {
  /** @param {HTMLElement} card @param {import("./charts.js").Figures} figures */
  constructor(card, figures) {
    this.card = card;
    this.figures = figures;
    this.foot = card.querySelector("[data-matrix-foot]");
  }

  update() {
    const { store, tasks } = this.figures;
    const evening = store.latest("proof", "before"), morning = store.latest("proof", "after");
    const now = morning ?? store.latest("watch") ?? evening;
    for (const task of tasks) {
      const row = this.card.querySelector(`tr[data-task="${CSS.escape(task.name)}"]`);
      if (!row) continue;
      const base = /** @type {HTMLElement|null} */ (row.querySelector("[data-cell='base']"));
      if (base && base.classList.contains("heat--none") && evening) this._fill(base, task, evening.scores[task.name], _("proof, when it fell asleep"));
      const cell = /** @type {HTMLElement|null} */ (row.querySelector("[data-cell='now']"));
      if (cell && now) this._fill(cell, task, this.figures.score(task, now), now.split === "proof" ? _("proof probe") : _("as the watch probe tells, so far"));
    }
    const { result } = store.cycle, head = this.card.querySelector("[data-now-head]");
    if (result && head && morning) head.textContent = `v${result.number}`;
    if (this.foot) this._foot(morning ?? store.latest("watch"));
  }

  /** @param {HTMLElement} cell @param {import("./charts.js").Task} task @param {number|undefined} value @param {string} word */
  _fill(cell, task, value, word) {
    if (!isNumber(value)) return;
    const text = hundredths(value);
    if (cell.dataset.value === String(value)) return;
    cell.textContent = text;
    for (const name of [...cell.classList]) if (name.startsWith("heat--")) cell.classList.remove(name);
    const level = (this.figures.shares && this.figures.best(task)) || 1;
    cell.classList.add(`heat--${Math.max(0, Math.min(10, Math.round((10 * value) / level)))}`);
    cell.setAttribute("title", word);
    cell.dataset.value = String(value);
  }

  _foot(probe) {
    const lost = this.figures.worst(probe), budget = this.figures.store.cycle.forgetting_budget;
    if (!lost) return;
    const allowed = lost.value > budget ? _("budget %(budget)s, exceeded") : _("budget %(budget)s");
    const words = this.figures.store.cycle.kind === "sleep" ? ` · ${interpolate(allowed, { budget: percent(budget) })}` : "";
    const name = document.createElement("b");
    name.textContent = lost.task;
    const told = this.figures.mode === "score" ? _("Worst drop since it fell asleep: %(drop)s on %(task)s") : _("Worst drop from the best so far: %(drop)s on %(task)s");
    const [before, after = ""] = told.split("%(task)s").map((part) => interpolate(part, { drop: percent(lost.value) }));
    this.foot.replaceChildren(before, name, after + words);
  }
}
