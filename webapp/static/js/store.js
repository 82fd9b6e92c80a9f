// @ts-check
import { integer } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { Rows } from "./rows.js";
import { ACTIVE, TERMINAL } from "./states.js";

/**
 * A cycle as its frames tell it: a pure reducer. Applying frames 1..n in order gives the same state however they came,
 * so "state + frames == fresh state". It touches no page and no network.
 *
 * @typedef {{seq:number, epoch:number, t_ms:number, kind:string, at?:number, payload:any}} Frame
 * @typedef {{stage:string, round:number, t0:number, t1:number|null, step0:number, step1:number|null, epoch:number,
 *   n:number, ghost:boolean, cut?:number}} Stage
 * @typedef {{split:string, when:string, t:number, step:number, scores:Record<string, number>, epoch:number, n:number,
 *   ghost:boolean}} Probe
 * @typedef {{wall:number, level:string, text:string, kind:string, epoch:number, n:number, ghost:boolean}} Entry
 * @typedef {{why:string, wall:number, worker:string, lost:number, by:string, attempt:number, step:number|null}} Break
 *   where an attempt ended before its time at step `lost`, and who went on from which step
 */

export const TERMS = ["loss", "ce", "distill", "reconstruct", "anchor", "grad_norm", "lr", "noise"];
export const DEVICE = ["cpu", "memory", "gpu", "gpu_memory", "watts"];
export { ACTIVE, TERMINAL };

export class CycleStore {
  /** @param {Record<string, any>} state the live state as the server gives it */
  constructor(state) {
    this.cycle = { ...state };
    this.clear();
  }

  /** Forget all frames; the cycle's own fields stay. */
  clear() {
    this.last = 0;
    this.points = new Rows(TERMS);
    this.device = new Rows(DEVICE);
    /** @type {any[]} */ this.histograms = [];
    /** @type {{wh: number, source: string}|null} */ this.energy = this.cycle.energy ?? null;
    /** @type {Stage[]} */ this.stages = [];
    /** @type {Probe[]} */ this.probes = [];
    /** @type {any[]} */ this.decisions = [];
    /** @type {any[]} */ this.snapshots = [];
    /** @type {Entry[]} */ this.journal = [];
    /** What people wrote, by place. @type {{id: string, t: number, step: number, text: string, by: string}[]} */
    this.notes = [];
    /** @type {any} */ this.verdict = null;
    this.seconds = 0;
    /** Seconds from the start of the job to the first stage; every `t` here counts from the latter. */
    this.zero = 0;
    /**
     * Between two attempts a cycle may wait for a worker, or be paused, for hours. That time is left out of every `t`:
     * a wait is `at` its place there, and `seconds` long. @type {{at: number, seconds: number, paused: boolean, broke: boolean}[]}
     */
    this.waits = [];
    /** @type {Break[]} */ this.breaks = [];
    this._holder = "";
    this._paused = false;
    this._waited = 0;
    /** @type {number|null} */ this._waitingSince = null;
    this.progressAt = [];
    this._offset = new Map();
    /** The step that each later attempt goes on from. @type {Map<number, number>} */ this._resumed = new Map();
    this._n = 0;
  }

  /** Raw points whose loss is no finite number. */
  get gaps() {
    return this.points.gaps.reduce((a, b) => a + b, 0);
  }

  /**
   * The stream up to number `last` in short: every event word for word, the points in bins. What frames above `last`
   * add comes as usual.
   * @param {any} history as the server's `history` gives it
   */
  applyHistory(history) {
    this.clear();
    for (const frame of history.items) {
      this.last = frame.seq - 1;
      this.apply(frame);
    }
    this.last = history.last;
    const offset = (epoch) => this._offset.get(epoch) ?? 0;
    this.points.load(history.points, offset);
    this.device.load(history.device, offset);
    for (const [epoch, resume] of this._resumed) this._ghosts(epoch, resume);
    this.seconds = Math.max(this.seconds, this.points.t.at(-1) ?? 0);
    const { energy, ...now } = history.now;
    this.energy = energy;
    this.setState({ ...now, seq: history.last });
  }

  /**
   * Finer rows of the steps `from` to `to`, as the server gives them, on this store's clock.
   * @param {any} told @param {number} from @param {number} to
   */
  finer(told, from, to) {
    const rows = new Rows(TERMS);
    rows.load(told.points, (epoch) => this._offset.get(epoch) ?? 0);
    for (const [epoch, resume] of this._resumed) rows.supersede(epoch, resume);
    Object.assign(rows, { from, to });
    return rows;
  }

  /** The server's word on the cycle itself; older than what frames already told: ignored. */
  setState(state) {
    if ((state.seq ?? 0) >= (this.cycle.seq ?? 0)) this.cycle = { ...this.cycle, ...state };
  }

  /** One frame, in order. @param {Frame} frame @returns {boolean} whether it was the next one */
  apply(frame) {
    if (frame.seq !== this.last + 1) return false;
    this.last = frame.seq;
    if (frame.kind === "state") {
      this._break(frame);
      this._wait(frame);
    }
    // A note may come days after the end.
    if (frame.kind !== "note" && this._waitingSince === null) this.seconds = Math.max(this.seconds, this._clock(frame));
    const news = frame.seq > (this.cycle.seq ?? 0);
    if (news) this.cycle.seq = frame.seq;
    if (frame.kind === "state") this._state(frame, news);
    else if (frame.kind === "data") this._data(frame, news);
    else if (frame.kind === "note") this._written(frame.payload.note);
    return true;
  }

  /** The moment of a frame, on this store's clock. @param {Frame} frame */
  _clock(frame) {
    return frame.t_ms / 1000 - this._waited - this.zero;
  }

  /** While no worker holds it the clock stands still, until somebody takes the cycle again. @param {Frame} frame */
  _wait(frame) {
    const { from, to } = frame.payload.state, now = frame.t_ms / 1000;
    if (from && !ACTIVE.has(to) && !TERMINAL.has(to)) {
      this._waitingSince ??= now;
      this._paused ||= to === "paused";
    } else if (this._waitingSince !== null && to === "starting") {
      const seconds = Math.max(0, now - this._waitingSince), broke = this.breaks.length > 0;
      this.waits.push({ at: this._waitingSince - this._waited - this.zero, seconds, paused: this._paused, broke });
      this._waited += seconds;
      this._waitingSince = null;
      this._paused = false;
    }
  }

  /** An attempt that had a worker ends before its time, or somebody takes the cycle up again. @param {Frame} frame */
  _break(frame) {
    const { from, to, reason = "", step = 0, worker, attempt = 0 } = frame.payload.state, last = this.breaks.at(-1);
    if (ACTIVE.has(from) && !ACTIVE.has(to) && !TERMINAL.has(to)) {
      const why = to === "paused" ? "paused" : bare(reason);
      this.breaks.push({ why, wall: frame.t_ms / 1000, worker: this._holder, lost: step, by: "", attempt: 0, step: null });
    } else if (last && !last.by) {
      if (to === "starting") Object.assign(last, { by: worker ?? "", attempt });
      else if (to === "blocked") last.why = "blocked";
    }
    if (to === "starting") this._holder = worker ?? "";
  }

  /**
   * Seconds of the wall's clock since the first stage, on this store's clock: where a wait was, its place and its end.
   * @param {number} wall @returns {{t: number, skip: number}} `skip`: seconds to the end of the wait that it lies in
   */
  working(wall) {
    let gone = 0;
    for (const { at, seconds } of this.waits) {
      if (wall <= at + gone) break;
      if (wall < at + gone + seconds) return { t: at, skip: at + gone + seconds - wall };
      gone += seconds;
    }
    return { t: wall - gone, skip: 0 };
  }

  /** @param {Frame} frame @param {boolean} news */
  _state(frame, news) {
    const change = frame.payload.state;
    const t = this._waitingSince === null ? this._clock(frame) : this._waitingSince - this._waited - this.zero;
    if (news) {
      Object.assign(this.cycle, {
        state: change.to, attempt: change.attempt ?? this.cycle.attempt, epoch: change.epoch ?? this.cycle.epoch,
        worker: change.worker ?? (ACTIVE.has(change.to) || TERMINAL.has(change.to) ? this.cycle.worker : null),
      });
    }
    if (!ACTIVE.has(change.to)) this._closeStages(t, change.step ?? 0);
    const text = stateWords(change, this.breaks.length > 0);
    const lost = ACTIVE.has(change.from) && change.to === "queued";
    const level = { failed: "error", quarantined: "error", rejected: "warning", blocked: "warning" }[change.to] ?? "info";
    if (text) this._note(frame.t_ms / 1000, lost ? "warning" : level, text, "state", frame.epoch);
  }

  /** A note, or that one was taken away. */
  _written({ id, removed, t, step, text, by }) {
    this.notes = this.notes.filter((note) => note.id !== id);
    if (!removed) this.notes = [...this.notes, { id, t, step, text, by }].sort((a, b) => a.t - b.t);
  }

  /** @param {Frame} frame @param {boolean} news */
  _data(frame, news) {
    const { points, device, energy, events = [], resume_step: resume } = frame.payload;
    if (resume !== undefined && resume !== null) this._goesOn(frame, resume);
    // What a person did has no moment of the engine's clock, only the wall's.
    const engine = frame.payload.t !== undefined || points || device || events.some((event) => event.t !== undefined);
    const offset = engine ? this._offsetOf(frame) : this._waitingSince === null ? this._clock(frame) : this._waitingSince - this._waited - this.zero;
    if (points) this._points(points, offset, frame.epoch);
    if (device) this._device(device, offset, frame.epoch);
    if (energy) this.energy = energy;
    for (const event of events) {
      this._event(event, offset, frame.epoch);
      if (news && event.extended !== undefined) this.cycle.extended = event.extended;
    }
    this.seconds = Math.max(this.seconds, this.points.t.at(-1) ?? 0);
    if (!news) return;
    const { progress, step, total_steps: total } = frame.payload;
    if (progress !== undefined) this.cycle.progress = progress;
    if (step !== undefined) this.cycle.step = step;
    if (total !== undefined) this.cycle.total_steps = total;
    this.progressAt.push([this._clock(frame), this.cycle.progress ?? 0]);
    if (this.progressAt.length > 600) this.progressAt.splice(0, 300);
  }

  /** A new attempt says from where: in the log, and in what is told of the interruption. @param {Frame} frame @param {number} step */
  _goesOn(frame, step) {
    const last = this.breaks.at(-1), lost = last?.step === null ? last.lost : 0;
    if (last?.step === null) last.step = step;
    const text = step === 0 ? _("It begins again from the start.")
      : lost > step ? _("It goes on from step %(step)s. What came after it, up to step %(lost)s, is run again.") : _("It goes on from step %(step)s.");
    this._note(frame.t_ms / 1000, "info", interpolate(text, { step: integer(step), lost: integer(lost) }), "log", frame.epoch);
    this._supersede(frame.epoch, step);
  }

  /** What was recorded beyond the step that a new attempt goes on from is kept, as a ghost. */
  _supersede(epoch, resume) {
    const older = (item) => item.epoch < epoch && !item.ghost;
    const anchor = this.snapshots.filter((s) => older(s) && s.step === resume).at(-1);
    const beyond = (item) => (anchor ? item.n > anchor.n : resume === 0 || item.step > resume);
    for (const list of [this.stages, this.probes, this.decisions, this.snapshots, this.histograms]) {
      for (const item of list) {
        if (older(item) && beyond({ ...item, step: item.step ?? item.step0 })) item.ghost = true;
      }
    }
    const inside = this.stages.filter(older).at(-1);
    if (inside && anchor && anchor.t > inside.t0 && anchor.t < (inside.t1 ?? Infinity)) inside.cut = anchor.t;
    // An attempt that was extended goes on once more, from a later step: what it superseded at first stays so.
    this._resumed.set(epoch, Math.min(resume, this._resumed.get(epoch) ?? resume));
    this._ghosts(epoch, resume);
    this.verdict = null;
  }

  _ghosts(epoch, resume) {
    this.points.supersede(epoch, resume);
  }

  /** Engine seconds -> seconds since the cycle first started; fixed by the first frame of each attempt. */
  _offsetOf(frame) {
    let offset = this._offset.get(frame.epoch);
    if (offset === undefined) {
      offset = this._clock(frame) - (frame.payload.t ?? 0);
      if (this._offset.size === 0) {
        for (const wait of this.waits) wait.at -= offset;
        this.zero += offset;
        this.seconds = this._clock(frame);
        offset = 0;
      }
      this._offset.set(frame.epoch, offset);
    }
    return offset;
  }

  _points(columns, offset, epoch) {
    columns.t?.forEach((t, i) => this.points.push(t + offset, columns.step[i], epoch, columns, i));
  }

  _device(columns, offset, epoch) {
    columns.t.forEach((t, i) => this.device.push(t + offset, Math.floor(t), epoch, columns, i));
  }

  _event(event, offset, epoch) {
    const t = (event.t ?? 0) + offset, step = event.step ?? 0;
    this.seconds = Math.max(this.seconds, t);
    const base = { t, step, epoch, n: ++this._n, ghost: false };
    switch (event.kind) {
      case "stage_started":
        this._closeStages(t, step);
        this.stages.push({
          stage: event.stage, round: event.round ?? 1, t0: t, t1: null, step0: step, step1: null, epoch, n: base.n,
          ghost: false,
        });
        this.cycle.stage = event.stage;
        break;
      case "stage_ended":
        this._closeStages(t, step);
        break;
      case "probe":
        this.probes.push({ ...base, split: event.split, when: event.when, scores: event.scores });
        break;
      case "decision":
        this.decisions.push({ ...base, name: event.name, kept: event.kept, reason: event.reason, detail: event.detail });
        if (!event.kept && event.detail?.before) this._undo(epoch);
        this._note(this._wall(t), event.kept ? "decision" : "reverted", decisionWords(event), event.name, epoch);
        break;
      case "histogram":
        this.histograms.push({
          ...base, name: event.name, when: event.when, round: event.round, edges: event.edges, counts: event.counts,
          zeros: event.zeros,
        });
        break;
      case "snapshot":
        this.snapshots.push({ ...base, stage: event.stage });
        break;
      case "log":
        this._note(this._wall(t), event.level, event.message, "log", epoch);
        break;
      case "verdict":
        this.verdict = { ...base, verdict: event.verdict, reasons: event.reasons, metrics: event.metrics };
        break;
    }
  }

  /** A proposal was taken back: what the probe showed of it is not where the model stands. */
  _undo(epoch) {
    const last = this.probes.at(-1);
    if (last && last.epoch === epoch && last.split === "watch" && last.when === "during") last.ghost = true;
  }

  _closeStages(t, step) {
    const open = this.stages.at(-1);
    if (open && open.t1 === null) Object.assign(open, { t1: Math.max(t, open.t0), step1: Math.max(step, open.step0) });
  }

  /** Seconds since the job first started, of a moment of the attempt that runs. @param {number} t */
  _wall(t) {
    return t + this.zero + this._waited;
  }

  _note(wall, level, text, kind, epoch) {
    this.journal.push({ wall, level, text, kind, epoch, n: ++this._n, ghost: false });
  }

  // ---------------------------------------------------------------- read by the page

  /** @param {string} split @param {string} [when] */
  probesOf(split, when) {
    return this.probes.filter((p) => !p.ghost && p.split === split && (!when || p.when === when));
  }

  /** The latest probe of the kind, or undefined. @param {string} split @param {string} [when] */
  latest(split, when) {
    return this.probesOf(split, when).at(-1);
  }

  /** Progress a second over the last fifth of the frames, or null. */
  pace() {
    const marks = this.progressAt;
    if (marks.length < 10) return null;
    const [t1, p1] = marks[marks.length - 1], [t0, p0] = marks[Math.floor(marks.length * 0.8)];
    return t1 > t0 && p1 > p0 ? (p1 - p0) / (t1 - t0) : null;
  }

  /** Everything that two stores must agree on. */
  snapshot() {
    const { last, cycle, stages, probes, decisions, snapshots, histograms, journal, notes, verdict, gaps, seconds, energy } = this;
    const points = this.points.snapshot(), device = this.device.snapshot();
    return { last, cycle, points, device, stages, probes, decisions, snapshots, histograms, journal, notes, verdict, gaps, seconds, energy };
  }
}

/** "Kept: the mean ..." says neither what was proposed nor needs its first word: the level says it. */
function decisionWords(event) {
  const named = /^(Kept|Reverted): (.*)$/s.exec(event.reason);
  if (!named) return event.reason;
  return interpolate(_("%(what)s: %(reason)s"), { what: DECISIONS[event.name] ?? event.name, reason: named[2] });
}

const DECISIONS = { prune: _("Prune"), strengthen: _("Strengthen"), dream: _("Dream"), merge: _("Merge") };

/** A reason as a word: "cycle.worker_lost" as "worker_lost". @param {string} reason */
function bare(reason) {
  return reason.replace(/^cycle\./, "");
}

/** A reason is a sentence or a stable word. @param {any} change @param {boolean} again a worker had it before */
function stateWords(change, again) {
  const reason = change.reason ?? "";
  if (change.to === "starting" && change.worker) {
    if (change.attempt > 1) return interpolate(_("Resumed on %(worker)s (attempt %(attempt)s)."), change);
    return interpolate(again ? _("Resumed on %(worker)s.") : _("%(worker)s took the cycle."), change);
  }
  if (change.to === "succeeded") return reason ? interpolate(_("Done: %(reason)s."), { reason }) : _("Done.");
  const words = change.from === "paused" && change.to === "queued" ? _("Resumed; waiting for a worker.")
    : again && change.to === "running" ? _("The snapshot was loaded and checked; it goes on.") : STATE_TEXT[change.to] ?? change.to;
  if (/^[a-z_.]+$/.test(reason)) return REASONS[bare(reason)] ?? interpolate(_("%(words)s (%(reason)s)"), { words, reason });
  return reason || words;
}

const REASONS = {
  worker_lost: _("The worker stopped reporting. The cycle goes on from its last snapshot on the next free worker."),
  worker_stopping: _("The worker was stopped. The cycle goes on from its last snapshot on the next free worker."),
  trainer_died: _("The trainer process ended by itself. The cycle goes on from its last snapshot."),
  silent: _("The trainer process said nothing for too long and was ended. The cycle goes on from its last snapshot."),
  frozen: _("The trainer process was frozen from outside and was ended. The cycle goes on from its last snapshot."),
  out_of_memory: _("The device ran out of memory. The cycle goes on with half as many records at a time."),
  cancelled: _("Cancelled."),
  snapshot: _("Paused: the snapshot is written and the device is free."),
  window_closed: _("Its window is over: it pauses and goes on at the schedule's next time."),
  wished: _("Paused, as somebody had asked: the result could not be published before."),
  extended: _("It was ended to be extended. The cycle goes on from its last snapshot."),
  window_open: _("Its next window is open: it goes on."),
};

const STATE_TEXT = {
  starting: _("A worker took the cycle."),
  running: _("The model was loaded and checked; it begins."),
  queued: _("Waiting for a worker."),
  blocked: _("Blocked; it is looked at again by itself."),
  pausing: _("Pausing at the next step."),
  paused: _("Paused."),
  rejected: _("A gate failed; the project's checkpoint stays."),
  failed: _("Failed."),
  quarantined: _("Set aside after it failed repeatedly."),
  publishing: _("Checking and publishing the result."),
  succeeded: _("Done."),
  cancelling: _("Cancelling at the next step."),
  cancelled: _("Cancelled."),
};
