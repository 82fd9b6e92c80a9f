// @ts-check
/** The charts of a cycle: what is drawn, from which frames, and what is compared with what. */
import { Chart, uPlot } from "./chart.js";
import { compact, isNumber, percent, score } from "./format.js";
import { taskDash, taskToken } from "./palette.js";

/** @typedef {{name: string, role: string, best: number|null}} Task */

/**
 * Retention, forgetting and means as the page's own formulas have them. `mode` "retention" divides by the best score
 * known so far; "score" shows what was measured.
 */
export class Figures {
  /** @param {import("./store.js").CycleStore} store @param {Task[]} tasks @param {string} mode */
  constructor(store, tasks, mode) {
    this.store = store;
    this.tasks = tasks;
    this.mode = mode;
    this.old = tasks.filter((task) => task.role === "old");
    this.newest = tasks.find((task) => task.role === "newest");
  }

  /** The best score of a task so far; the newest task's is what it had when it fell asleep. @param {Task} task */
  best(task) {
    if (isNumber(task.best) && task.best > 0) return task.best;
    const evening = this.store.latest("proof", "before")?.scores[task.name];
    return isNumber(evening) && evening > 0 && (task.role === "newest" || this.mode === "score") ? evening : null;
  }

  /** What the first chart draws for a score. @param {Task} task @param {number|undefined} value */
  shown(task, value) {
    if (!isNumber(value)) return null;
    if (this.mode === "score") return value;
    const best = this.best(task);
    return best ? value / best : null;
  }

  /** Mean retention of the old tasks, or of their scores without a past. @param {Record<string, number>} [scores] */
  retention(scores) {
    const values = this.old.map((task) => this.shown(task, scores?.[task.name])).filter(isNumber);
    return values.length && values.length === this.old.length ? values.reduce((a, b) => a + b) / values.length : null;
  }

  /** Best so far minus now, of the old task that lost most. @param {Record<string, number>} [scores] */
  worst(scores) {
    let found = null;
    for (const task of this.old) {
      const best = this.best(task), now = scores?.[task.name];
      if (!isNumber(best) || !isNumber(now)) continue;
      if (!found || best - now > found.value) found = { task: task.name, value: best - now };
    }
    return found;
  }

  /** Mean of best so far minus now. @param {Record<string, number>} [scores] */
  forgetting(scores) {
    const lost = this.old.map((task) => {
      const best = this.best(task), now = scores?.[task.name];
      return isNumber(best) && isNumber(now) ? best - now : null;
    }).filter(isNumber);
    return lost.length ? lost.reduce((a, b) => a + b) / lost.length : null;
  }
}

/** Columns of some probes: x, then one column a reader. */
function probeTable(probes, axis, readers) {
  return [probes.map((p) => p[axis]), ...readers.map((read) => probes.map((p) => read(p.scores) ?? null))];
}

/** Several tables with columns of their own on one x, sorted as uPlot wants it. */
function joined(tables) {
  const full = tables.filter((table) => table[0].length);
  const width = tables.reduce((n, table) => n + table.length - 1, 0);
  if (!full.length) return [[], ...Array.from({ length: width }, () => [])];
  const filled = tables.map((table) => (table[0].length ? sorted(table) : [[full[0][0][0]], ...table.slice(1).map(() => [null])]));
  return uPlot.join(filled);
}

/** uPlot wants one row an x, rising; of two on one x the later one stays. */
function sorted(table) {
  const rows = new Map(table[0].map((x, i) => [x, i]));
  const order = [...rows.keys()].sort((a, b) => a - b);
  return [order, ...table.slice(1).map((column) => order.map((x) => column[rows.get(x) ?? 0]))];
}

const unit = (min, max) => {
  if (Number.isNaN(min)) return [0, 1];
  const low = Math.floor((min - 0.02) * 10) / 10, high = Math.max(1, Math.ceil(max * 20) / 20);
  return [Math.max(0, Math.min(low, high - 0.2)), high];
};

/** @returns {Chart[]} */
export function cycleCharts({ root, store, figures, shared, reason }) {
  /** @param {string} name */
  const card = (name) => /** @type {HTMLElement|null} */ (root.querySelector(`[data-chart="${name}"]`));
  const charts = [];
  const version = () => [store.probes.length, store.stages.length, store.stages.at(-1)?.t1, store.probes.filter((p) => p.ghost).length, shared.ended()].join();
  const retention = card("retention"), forgetting = card("forgetting"), loss = card("loss"), gradient = card("gradient");
  const ghosts = (split) => store.probes.filter((p) => p.ghost && p.split === split);
  const shownTasks = figures.tasks.map((task, i) => ({ task, i })).filter(({ task }) => task.role !== "later");

  if (retention) {
    const readers = shownTasks.map(({ task }) => (scores) => figures.shown(task, scores[task.name]));
    const lines = (suffix, extra) => shownTasks.map(({ task, i }) => ({
      key: task.name + suffix, label: suffix ? `${task.name} (${extra.word})` : task.role === "newest" ? `${task.name} (new)` : task.name,
      token: taskToken(i), dash: taskDash(i), ...(suffix ? { parent: task.name, ...extra } : {}),
    }));
    charts.push(new Chart(retention, {
      name: figures.mode === "retention" ? "retention" : "scores",
      lines: [...lines("", {}), ...lines(":proof", { word: "proof", dots: true }), ...lines(":ghost", { word: "superseded", ghost: true })],
      data: (axis) => joined([
        probeTable(store.probesOf("watch"), axis, readers),
        probeTable(store.probesOf("proof"), axis, readers),
        probeTable(ghosts("watch"), axis, readers),
      ]),
      format: score,
      range: unit,
      version,
      levels: () => {
        const evening = store.latest("watch", "before") ?? store.latest("proof", "before");
        return evening ? shownTasks.map(({ task, i }) => ({ value: figures.shown(task, evening.scores[task.name]), token: taskToken(i) })).filter((l) => isNumber(l.value)) : [];
      },
      note: () => reason || "score / best so far · line: watch, ring: proof · dashed: when it fell asleep",
    }, shared));
  }
  if (forgetting) {
    const readers = [(s) => figures.worst(s)?.value, (s) => figures.forgetting(s)];
    const budget = store.cycle.forgetting_budget;
    charts.push(new Chart(forgetting, {
      name: "forgetting",
      lines: [
        { key: "worst", label: "worst task", token: "bad", width: 2 },
        { key: "mean", label: "mean", token: "muted", dash: [5, 3] },
        { key: "worst:proof", label: "worst task (proof)", token: "bad", dots: true, parent: "worst" },
        { key: "worst:ghost", label: "worst task (superseded)", token: "bad", ghost: true, parent: "worst" },
      ],
      data: (axis) => joined([
        probeTable(store.probesOf("watch"), axis, readers),
        probeTable(store.probesOf("proof"), axis, readers.slice(0, 1)),
        probeTable(ghosts("watch"), axis, readers.slice(0, 1)),
      ]),
      format: (v) => `${Math.round(v * 1000) / 10} %`.replace("-", "−"),
      range: (min, max) => (Number.isNaN(min) ? [0, Math.max(0.1, budget * 2)] : [Math.min(0, Math.floor(min * 20) / 20), Math.max(budget * 1.6, Math.ceil(max * 20 + 0.2) / 20)]),
      version,
      zone: () => (store.cycle.kind === "sleep" && store.probes.length ? { from: 0, to: budget, token: "good", label: `budget ${percent(budget)}` } : null),
      note: () => {
        const lost = figures.worst((store.latest("proof", "after") ?? store.latest("watch"))?.scores);
        if (!lost) return "best so far − now, old tasks";
        return figures.mode === "score" ? `since it fell asleep · worst: ${lost.task}` : `worst: ${lost.task}`;
      },
    }, shared));
  }
  const live = (names) => (axis) => {
    const p = store.points, tables = [];
    for (const ghost of [false, true]) {
      const keep = [];
      for (let i = 0; i < p.t.length; i++) if (p.ghost[i] === ghost) keep.push(i);
      const every = keep.length === p.t.length;
      tables.push([every ? p[axis] : keep.map((i) => p[axis][i]), ...names.slice(0, ghost ? 1 : undefined).map((n) => (every ? p[n] : keep.map((i) => p[n][i])))]);
    }
    const plain = tables[1][0].length === 0 && rising(tables[0][0]);
    return plain ? [...tables[0], tables[0][0].map(() => null)] : joined(tables);
  };
  const positive = (min, max) => (Number.isNaN(min) ? [0, 1] : [Math.min(0, min * 1.05), max > 0 ? max * 1.08 : 1]);
  const gaps = () => (store.gaps ? `${store.gaps} ${store.gaps === 1 ? "gap" : "gaps"} (not finite) · ` : "");
  if (loss) {
    const terms = [["loss", "loss", "text"], ["ce", "labels", "task-1"], ["distill", "stored logits", "task-2"], ["reconstruct", "denoising", "task-3"], ["anchor", "anchor", "task-4"]];
    charts.push(new Chart(loss, {
      name: "loss",
      lines: [...terms.map(([key, label, colour], i) => ({ key, label, token: colour, width: i ? 1.25 : 1.75 })), { key: "loss:ghost", label: "loss (superseded)", token: "text", ghost: true, parent: "loss" }],
      data: live(terms.map(([key]) => key)),
      format: compact,
      range: positive,
      breaks: true,
      note: () => `${gaps()}by term`,
    }, shared));
  }
  if (gradient) {
    charts.push(new Chart(gradient, {
      name: "gradient",
      lines: [{ key: "grad_norm", label: "gradient norm", token: "accent" }, { key: "noise", label: "noise", token: "task-4", width: 1.25 }, { key: "grad_norm:ghost", label: "gradient norm (superseded)", token: "accent", ghost: true, parent: "grad_norm" }],
      data: live(["grad_norm", "noise"]),
      format: compact,
      range: positive,
      breaks: true,
      note: () => `${gaps()}noise beside it`,
    }, shared));
  }
  return charts;
}

function rising(xs) {
  for (let i = 1; i < xs.length; i++) if (xs[i] <= xs[i - 1]) return false;
  return true;
}
