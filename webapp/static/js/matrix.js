// @ts-check
/** The live columns of the retention matrix; the past ones come from the server. */
import { isNumber, percent } from "./format.js";

/** The number in a cell: hundredths, cut, so that 0.996 is no 100. @param {number} v */
function hundredths(v) {
  return String(Math.floor(100 * v + 1e-9));
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
      if (base && base.classList.contains("heat--none") && evening) this._fill(base, evening.scores[task.name], "proof, when it fell asleep");
      const cell = /** @type {HTMLElement|null} */ (row.querySelector("[data-cell='now']"));
      if (cell && now) this._fill(cell, now.scores[task.name], now.split === "proof" ? "proof probe" : "watch probe, so far");
    }
    const { result } = store.cycle, head = this.card.querySelector("[data-now-head]");
    if (result && head && morning) head.textContent = `v${result.number}`;
    if (this.foot) this._foot(morning ?? store.latest("watch"));
  }

  /** @param {HTMLElement} cell @param {number|undefined} value @param {string} word */
  _fill(cell, value, word) {
    if (!isNumber(value)) return;
    const text = hundredths(value);
    if (cell.dataset.value === String(value)) return;
    cell.textContent = text;
    for (const name of [...cell.classList]) if (name.startsWith("heat--")) cell.classList.remove(name);
    cell.classList.add(`heat--${Math.max(0, Math.min(10, Math.round(10 * value)))}`);
    cell.setAttribute("title", word);
    cell.dataset.value = String(value);
  }

  _foot(probe) {
    const lost = this.figures.worst(probe?.scores), budget = this.figures.store.cycle.forgetting_budget;
    if (!lost) return;
    const over = this.figures.store.cycle.kind === "sleep" && lost.value > budget;
    const words = this.figures.store.cycle.kind === "sleep" ? ` · budget ${percent(budget)}${over ? ", exceeded" : ""}` : "";
    const name = document.createElement("b");
    name.textContent = lost.task;
    const since = this.figures.mode === "score" ? "since it fell asleep" : "from the best so far";
    this.foot.replaceChildren(`Worst drop ${since}: `, `${percent(lost.value)} on `, name, words);
  }
}
