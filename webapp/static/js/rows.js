// @ts-check
/**
 * Measured values as rows, and rows merged into aligned power-of-two bins that hide nothing: last, low, high, count. The
 * server keeps the same (webapp/live/bins.py), and a test holds the two against each other.
 *
 * @typedef {(number|null)[]} Column
 */

/** Rows kept before neighbours are merged. */
export const MOST_ROWS = 4096;

/** A table of rows: plain arrays, one a column, that charts can take as they are. */
export class Rows {
  /** @param {string[]} names @param {number} most rows, before neighbours are merged */
  constructor(names, most = MOST_ROWS) {
    this.names = names;
    this.most = most;
    this.clear();
  }

  clear() {
    /** @type {number[]} */ this.t = [];
    /** @type {number[]} */ this.step = [];
    /** @type {number[]} */ this.epoch = [];
    /** @type {boolean[]} */ this.ghost = [];
    /** Raw points behind each row. @type {number[]} */ this.count = [];
    /** Raw points whose first column is no finite number. @type {number[]} */ this.gaps = [];
    /** @type {Record<string, Column>} */ this.last = {};
    /** @type {Record<string, Column>} */ this.low = {};
    /** @type {Record<string, Column>} */ this.high = {};
    for (const name of this.names) this.last[name] = [];
    // Until rows are merged a row is one point, so low and high are the very same arrays.
    this.low = { ...this.last };
    this.high = { ...this.last };
    this.level = 0;
    /** A row may stand for several points; of the device that is so at level 0 too, for looks of one second. */
    this.merged = false;
    this.total = 0;
    /** Of finer rows of a range: the steps they stand for. */ this.from = 0;
    this.to = -1;
    /** The level of the rows that they stand in for. */ this.coarse = 0;
  }

  get length() {
    return this.t.length;
  }

  /**
   * One raw point.
   * @param {number} t seconds on the page's clock @param {number} step what bins are aligned by: the step, or of the
   * device the engine's whole second @param {number} epoch @param {Record<string, any[]>} columns
   * @param {number} i its place in them
   */
  push(t, step, epoch, columns, i) {
    this.t.push(t);
    this.step.push(step);
    this.epoch.push(epoch);
    this.ghost.push(false);
    this.count.push(1);
    this.total += 1;
    let gap = 0;
    this.names.forEach((name, place) => {
      const given = columns[name]?.[i];
      const value = typeof given === "number" && Number.isFinite(given) ? given : null;
      if (place === 0 && value === null) gap = 1;
      this.last[name].push(value);
      if (this.merged) {
        this.low[name].push(value);
        this.high[name].push(value);
      }
    });
    this.gaps.push(gap);
    if (this.length > this.most) this.merge();
  }

  /** What history tells: the same columns, already merged. @param {any} told @param {(epoch: number) => number} offset of the engine's clock */
  load(told, offset) {
    const { level } = told;
    this.clear();
    this.epoch = told.epoch;
    this.t = told.t.map((t, i) => t + offset(told.epoch[i]));
    this.step = told.key;
    this.count = told.count;
    this.gaps = told.gaps;
    this.ghost = told.key.map(() => false);
    this.level = level;
    this.merged = level > 0 || told.count.some((count) => count > 1);
    this.total = told.count.reduce((a, b) => a + b, 0);
    for (const name of this.names) {
      const given = told[name];
      this.last[name] = given ? given.last : told.key.map(() => null);
      this.low[name] = !this.merged ? this.last[name] : given ? given.low : [...this.last[name]];
      this.high[name] = !this.merged ? this.last[name] : given ? given.high : [...this.last[name]];
    }
  }

  /** Which bin of a level a row belongs to. */
  _bin(i, level) {
    return Math.floor(this.step[i] / 2 ** level);
  }

  /** Merge neighbours into bins of twice the width until half of the room is free again. */
  merge() {
    do this.level += 1;
    while (!this._merge() && this.level < 40);
  }

  _merge() {
    const starts = [0];
    for (let i = 1; i < this.length; i++) {
      if (this.epoch[i] !== this.epoch[i - 1] || this.ghost[i] !== this.ghost[i - 1] || this._bin(i, this.level) !== this._bin(i - 1, this.level)) starts.push(i);
    }
    const ends = [...starts.slice(1), this.length];
    const pick = (column) => ends.map((end) => column[end - 1]);
    const sum = (column) => starts.map((from, b) => {
      let total = 0;
      for (let i = from; i < ends[b]; i++) total += column[i];
      return total;
    });
    const fold = (column, better) => starts.map((from, b) => {
      let best = null;
      for (let i = from; i < ends[b]; i++) {
        const value = column[i];
        if (value !== null && (best === null || better(value, best))) best = value;
      }
      return best;
    });
    const low = {}, high = {}, last = {};
    for (const name of this.names) {
      low[name] = fold(this.low[name], (a, b) => a < b);
      high[name] = fold(this.high[name], (a, b) => a > b);
      last[name] = fold(this.last[name], () => true);
    }
    [this.t, this.step, this.epoch, this.ghost] = [this.t, this.step, this.epoch, this.ghost].map(pick);
    [this.count, this.gaps] = [this.count, this.gaps].map(sum);
    Object.assign(this, { low, high, last, merged: true });
    return this.length <= this.most / 2;
  }

  /** Rows of attempts before `epoch` that lie beyond a step are ghosts from now on. */
  supersede(epoch, resume) {
    for (let i = 0; i < this.length; i++) {
      if (this.epoch[i] < epoch && (resume === 0 || this.step[i] > resume)) this.ghost[i] = true;
    }
  }

  /** The same rows as plain data: what two tables are compared by. */
  snapshot() {
    const { t, step, epoch, ghost, count, gaps, last, low, high, level, total } = this;
    return { t, step, epoch, ghost, count, gaps, last, low, high, level, total };
  }
}
