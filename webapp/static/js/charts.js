// @ts-check
/** The charts of a cycle: what is drawn, from which frames, and what is compared with what. */
import { Chart, uPlot } from "./chart.js";
import { bytesText, compact, isNumber, percent, plain, score, scoresOf, shortPercent } from "./format.js";
import { gettext as _, interpolate, ngettext } from "./i18n.js";
import { taskDash, taskToken } from "./palette.js";
import { turn } from "./redraw.js";

/** @typedef {{name: string, place: number, role: string, best: number|null}} Task */
/** @typedef {{split: string, scores: Record<string, number>}} Probe */

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

  /**
   * The score of a probe as the proof probe would tell it, which the best so far is of. The records of watch and proof
   * differ, and what they scored when the model fell asleep too; by as much a score on watch is moved, or by the same
   * share where scores differ in size from text to text.
   * @param {Task} task @param {Probe} [probe]
   */
  score(task, probe) {
    const value = probe?.scores[task.name];
    if (!isNumber(value) || probe?.split !== "watch") return value;
    const [watch, proof] = this._evening(task.name);
    if (!isNumber(watch) || !isNumber(proof)) return value;
    if (this.shares) return watch > 0 && proof > 0 ? (value * proof) / watch : value;
    return Math.min(1, Math.max(0, value + proof - watch));
  }

  /** What the two probes scored when it fell asleep: looked up once for all that is drawn. @param {string} name of the task */
  _evening(name) {
    const count = this.store.probes.length;
    if (this.evening?.count !== count) this.evening = { count, of: new Map() };
    const { of } = this.evening;
    if (!of.has(name)) of.set(name, ["watch", "proof"].map((split) => this.store.latest(split, "before")?.scores[name]));
    return of.get(name);
  }

  /** What the first chart draws of a probe. @param {Task} task @param {Probe} [probe] */
  shown(task, probe) {
    const value = this.score(task, probe);
    if (this.mode === "score") return value ?? null;
    const best = this.best(task);
    return best && isNumber(value) ? value / best : null;
  }

  /** Mean retention of the old tasks, or of their scores without a past. @param {Probe} [probe] */
  retention(probe) {
    const values = this.old.map((task) => this.shown(task, probe)).filter(isNumber);
    return values.length && values.length === this.old.length ? values.reduce((a, b) => a + b) / values.length : null;
  }

  /** Whether what is lost is told as a share of the best: a language model's scores differ in size from text to text. */
  get shares() {
    return this.store.cycle.objective === "language";
  }

  /** Best so far minus now, or that as a share of the best. @param {Task} task @param {Probe} [probe] */
  lost(task, probe) {
    const best = this.best(task), now = this.score(task, probe);
    if (!isNumber(best) || !isNumber(now)) return null;
    return this.shares ? (best - now) / best : best - now;
  }

  /** Of the old task that lost most. @param {Probe} [probe] */
  worst(probe) {
    let found = null;
    for (const task of this.old) {
      const value = this.lost(task, probe);
      if (isNumber(value) && (!found || value > found.value)) found = { task: task.name, value };
    }
    return found;
  }

  /** Mean of what was lost. @param {Probe} [probe] */
  forgetting(probe) {
    const lost = this.old.map((task) => this.lost(task, probe)).filter(isNumber);
    return lost.length ? lost.reduce((a, b) => a + b) / lost.length : null;
  }
}

/** Columns of some probes: x, then one column a reader. */
function probeTable(probes, axis, readers) {
  return [probes.map((p) => p[axis]), ...readers.map((read) => probes.map((p) => read(p) ?? null))];
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

/**
 * Rows as columns of a chart: x, then for each name the rows that count and, of the first, the superseded ones.
 * @param {import("./rows.js").Rows} rows @param {import("./rows.js").Rows|null} detail finer rows of some steps
 * @param {"t"|"step"} axis @param {string[]} names
 */
function rowTable(rows, detail, axis, names) {
  const order = [];
  const [low, high] = detail ? [detail.from, detail.to] : [1, 0];
  for (let i = 0; i < rows.length; i++) if (rows.step[i] < low || rows.step[i] > high) order.push({ of: rows, i });
  if (detail) for (let i = 0; i < detail.length; i++) order.push({ of: detail, i });
  const x = ({ of, i }) => of[axis][i];
  if (detail || !rising(rows[axis])) order.sort((a, b) => x(a) - x(b) || a.of.epoch[a.i] - b.of.epoch[b.i]);
  const once = order.filter((one, k) => k === order.length - 1 || x(one) !== x(order[k + 1]));
  const live = ({ of, i }) => !of.ghost[i];
  const column = (kind, name, keep) => once.map((one) => (keep(one) ? one.of[kind][name][one.i] : null));
  const data = [once.map(x), ...names.map((name) => column("last", name, live)), column("last", names[0], (one) => !live(one))];
  const bands = {};
  if (rows.merged || detail?.merged) {
    for (const name of names) bands[name] = { low: column("low", name, live), high: column("high", name, live) };
  }
  return { data, bands };
}

const unit = (min, max) => {
  if (Number.isNaN(min)) return [0, 1];
  // The scores of a language model, 1 / perplexity, would all lie on the floor of a picture up to 1.
  if (max > 0 && max < 0.2) return [0, max * 1.25];
  const low = Math.floor((min - 0.02) * 10) / 10, high = Math.max(1, Math.ceil(max * 20) / 20);
  return [Math.max(0, Math.min(low, high - 0.2)), high];
};

/** What was measured by the clock, on the axis of steps too. @param {any} spec @param {() => import("./rows.js").Rows} rows */
function onSteps(spec, rows) {
  const data = (axis) => {
    const table = spec.data("t"), points = rows();
    if (axis === "t") return table;
    let at = 0;
    return [table[0].map((t) => {
      while (at < points.length && points.t[at] <= t) at += 1;
      return at ? points.step[at - 1] : 0;
    }), ...table.slice(1)];
  };
  return { ...spec, data, breaks: false };
}

/**
 * Lines labelled in the person's language, and in English for what is saved.
 * @param {(_: (text: string) => string) => import("./chart.js").Line[]} make
 * @returns {import("./chart.js").Line[]}
 */
function labelled(make) {
  const english = make((text) => text);
  return make(_).map((line, i) => ({ ...line, english: english[i].label }));
}

/** The faint line of what another attempt superseded. @param {(text: string) => string} _ */
const ghost = (_, key, label, token) => ({
  key: `${key}:ghost`, label: interpolate(_("%(line)s (superseded)"), { line: label }), token, ghost: true, parent: key,
});

/** What the night took, and how that is known. @param {{wh: number, source: string}|null} energy */
export function energyParts(energy) {
  if (!energy) return null;
  const { wh } = energy;
  const [text, n] = wh < 1 ? [_("%(n)s mWh"), wh * 1000] : wh < 1000 ? [_("%(n)s Wh"), wh] : [_("%(n)s kWh"), wh / 1000];
  return { amount: interpolate(text, { n: compact(n) }), how: energy.source === "measured" ? _("measured") : _("estimated") };
}

/** One after another, so that no task is long enough to be felt. @returns {Promise<Chart[]>} */
export async function cycleCharts({ root, store, figures, shared, reason }) {
  /** @param {string} name */
  const card = (name) => /** @type {HTMLElement|null} */ (root.querySelector(`[data-chart="${name}"]`));
  const charts = [];
  const version = () => [store.probes.length, store.stages.length, store.stages.at(-1)?.t1, store.probes.filter((p) => p.ghost).length, shared.ended()].join();
  const retention = card("retention"), forgetting = card("forgetting"), loss = card("loss"), gradient = card("gradient");
  const ghosts = (split) => store.probes.filter((p) => p.ghost && p.split === split);
  const shownTasks = figures.tasks.filter((task) => task.role !== "later");

  if (retention) {
    const readers = shownTasks.map((task) => (probe) => figures.shown(task, probe));
    /** A line a task. @param {string} suffix of its key @param {(task: Task) => string} text @param {object} [look] of one beside the task's own */
    const lines = (suffix, text, look) => shownTasks.map((task) => ({
      key: task.name + suffix, label: interpolate(text(task), { task: task.name }), token: taskToken(task.place), dash: taskDash(task.place),
      ...(look ? { parent: task.name, ...look } : {}),
    }));
    await turn();
    charts.push(new Chart(retention, {
      name: figures.mode === "retention" ? "retention" : "scores",
      lines: labelled((_) => [
        ...lines("", (task) => (task.role === "newest" ? _("%(task)s (new)") : "%(task)s")),
        ...lines(":proof", () => _("%(task)s (proof)"), { dots: true }),
        ...lines(":ghost", () => _("%(task)s (superseded)"), { ghost: true }),
      ]),
      data: (axis) => joined([
        probeTable(store.probesOf("watch"), axis, readers),
        probeTable(store.probesOf("proof"), axis, readers),
        probeTable(ghosts("watch"), axis, readers),
      ]),
      format: score,
      marks: scoresOf,
      range: unit,
      version,
      levels: () => {
        const evening = store.latest("watch", "before") ?? store.latest("proof", "before");
        return evening ? shownTasks.map((task) => ({ value: figures.shown(task, evening), token: taskToken(task.place) })).filter((l) => isNumber(l.value)) : [];
      },
      note: () => reason || _("score / best so far · ring: proof · line: as watch tells · dashed: when it fell asleep"),
    }, shared));
  }
  if (forgetting) {
    const readers = [(probe) => figures.worst(probe)?.value, (probe) => figures.forgetting(probe)];
    const budget = store.cycle.forgetting_budget;
    await turn();
    charts.push(new Chart(forgetting, {
      name: "forgetting",
      lines: labelled((_) => [
        { key: "worst", label: _("worst task"), token: "bad", width: 2 },
        { key: "mean", label: _("mean"), token: "muted", dash: [5, 3] },
        { key: "worst:proof", label: _("worst task (proof)"), token: "bad", dots: true, parent: "worst" },
        ghost(_, "worst", _("worst task"), "bad"),
      ]),
      data: (axis) => joined([
        probeTable(store.probesOf("watch"), axis, readers),
        probeTable(store.probesOf("proof"), axis, readers.slice(0, 1)),
        probeTable(ghosts("watch"), axis, readers.slice(0, 1)),
      ]),
      format: (v) => shortPercent(v, 1),
      range: (min, max) => (Number.isNaN(min) ? [0, Math.max(0.1, budget * 2)] : [Math.min(0, Math.floor(min * 20) / 20), Math.max(budget * 1.6, Math.ceil(max * 20 + 0.2) / 20)]),
      version,
      zone: () => (store.cycle.kind === "sleep" && store.probes.length ? { from: 0, to: budget, token: "good", label: interpolate(_("budget %(budget)s"), { budget: percent(budget) }) } : null),
      note: () => {
        const lost = figures.worst(store.latest("proof", "after") ?? store.latest("watch"));
        if (!lost) return figures.shares ? _("share of the best score that is lost, old tasks") : _("best so far − now, old tasks");
        return interpolate(figures.mode === "score" ? _("since it fell asleep · worst: %(task)s") : _("worst: %(task)s"), { task: lost.task });
      },
    }, shared));
  }
  const positive = (min, max) => (Number.isNaN(min) ? [0, 1] : [Math.min(0, min * 1.05), max > 0 ? max * 1.08 : 1]);
  /** What rows of one kind give a chart. @param {() => import("./rows.js").Rows} rows @param {string[]} names */
  const measured = (rows, names, detail = () => null) => {
    let bands = {};
    return {
      data: (axis) => {
        const table = rowTable(rows(), detail(), axis, names);
        bands = table.bands;
        return table.data;
      },
      bands: () => bands,
      shown: () => {
        const finer = detail();
        const inside = finer ? finer.length + rows().step.filter((step) => step < finer.from || step > finer.to).length : rows().length;
        return [inside, rows().total];
      },
      breaks: true,
    };
  };
  const points = () => store.points;
  const gaps = () => (store.gaps ? interpolate(ngettext("%(n)s gap (not finite)", "%(n)s gaps (not finite)", store.gaps), { n: plain(store.gaps) }) : "");
  if (loss) {
    await turn();
    charts.push(new Chart(loss, {
      name: "loss",
      lines: labelled((_) => [
        { key: "loss", label: _("loss"), token: "text", width: 1.75 },
        { key: "ce", label: _("labels"), token: "task-1", width: 1.25 },
        { key: "distill", label: _("stored logits"), token: "task-2", width: 1.25 },
        { key: "reconstruct", label: _("denoising"), token: "task-3", width: 1.25 },
        { key: "anchor", label: _("anchor"), token: "task-4", width: 1.25 },
        ghost(_, "loss", _("loss"), "text"),
      ]),
      ...measured(points, ["loss", "ce", "distill", "reconstruct", "anchor"], shared.detail),
      format: compact,
      range: positive,
      note: () => [gaps(), _("by term")].filter(Boolean).join(" · "),
    }, shared));
  }
  if (gradient) {
    await turn();
    charts.push(new Chart(gradient, {
      name: "gradient",
      lines: labelled((_) => [
        { key: "grad_norm", label: _("gradient norm"), token: "accent" },
        { key: "noise", label: _("noise"), token: "task-4", width: 1.25 },
        ghost(_, "grad_norm", _("gradient norm"), "accent"),
      ]),
      ...measured(points, ["grad_norm", "noise"], shared.detail),
      format: compact,
      range: positive,
      note: () => gaps() || _("noise beside it"),
    }, shared));
  }
  const device = card("device");
  if (device) {
    const names = ["cpu", "gpu", "memory", "gpu_memory", "watts"];
    await turn();
    charts.push(new Chart(device, {
      name: "device",
      views: ["use", "memory", "power"],
      lines: labelled((_) => [
        { key: "cpu", label: _("processor"), token: "accent", view: "use" },
        { key: "gpu", label: _("GPU"), token: "task-4", view: "use" },
        { key: "memory", label: _("memory"), token: "accent", view: "memory" },
        { key: "gpu_memory", label: _("GPU memory"), token: "task-4", view: "memory" },
        { key: "watts", label: _("power"), token: "task-2", view: "power" },
        { ...ghost(_, "cpu", _("processor"), "accent"), view: "use" },
      ]),
      ...onSteps(measured(() => store.device, names), points),
      format: (v, view) => (view === "use" ? shortPercent(v, 0) : view === "memory" ? bytesText(v) : interpolate(_("%(n)s W"), { n: compact(v) })),
      range: (min, max, view) => (view === "use" ? [0, 1] : Number.isNaN(min) ? [0, 1] : [0, max * 1.15 || 1]),
      note: () => {
        const energy = energyParts(store.energy);
        return [store.cycle.worker, energy && interpolate(_("%(amount)s, %(how)s"), energy)].filter(Boolean).join(" · ");
      },
    }, shared));
  }
  return charts;
}

function rising(xs) {
  for (let i = 1; i < xs.length; i++) if (xs[i] <= xs[i - 1]) return false;
  return true;
}
