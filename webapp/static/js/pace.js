// @ts-check
// How fast and how long, from what was sent so far.

const WINDOW_MS = 4000;

export class Pace {
  /** @param {number} size bytes in all @param {number} [sent] bytes that were there before */
  constructor(size, sent = 0) {
    this.size = size;
    /** @type {{at: number, sent: number}[]} */
    this.marks = [{ at: performance.now(), sent }];
  }

  /** @param {number} sent bytes so far */
  mark(sent) {
    const at = performance.now();
    this.marks.push({ at, sent });
    while (this.marks.length > 2 && at - this.marks[1].at > WINDOW_MS) this.marks.shift();
  }

  /** Bytes a second over the last seconds; 0 before anything is known. */
  rate() {
    const first = this.marks[0], last = this.marks[this.marks.length - 1];
    const seconds = (last.at - first.at) / 1000;
    return seconds > 0.3 ? (last.sent - first.sent) / seconds : 0;
  }

  /** Seconds that are left, or null before it can be said. */
  left() {
    const rate = this.rate();
    return rate > 0 ? (this.size - this.marks[this.marks.length - 1].sent) / rate : null;
  }
}
