// @ts-check
/** Under the night's picture: that it was interrupted, when and why, and from where it went on. */
import { integer, moment, plain } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { put } from "./strip.js";

/** Why an attempt ended before its time; %(worker)s had it. @type {Record<string, string>} */
const WHY = {
  worker_lost: _("%(worker)s stopped reporting at %(time)s."),
  worker_stopping: _("%(worker)s was stopped at %(time)s."),
  trainer_died: _("The process on %(worker)s ended by itself at %(time)s."),
  silent: _("The process on %(worker)s fell silent at %(time)s."),
  frozen: _("The process on %(worker)s was frozen at %(time)s."),
  out_of_memory: _("%(worker)s ran out of memory at %(time)s."),
  paused: _("Paused at %(time)s."),
  blocked: _("Blocked at %(time)s."),
};

export class Story {
  /** @param {HTMLElement} root @param {import("./store.js").CycleStore} store */
  constructor(root, store) {
    this.line = /** @type {HTMLElement|null} */ (root.querySelector("[data-story]"));
    this.ghost = /** @type {HTMLElement|null} */ (root.querySelector("[data-ghost-note]"));
    this.store = store;
  }

  update() {
    const { breaks, stages, points, cycle } = this.store;
    // While it stands still for a reason of its own, the card above says so.
    const last = ["paused", "blocked"].includes(cycle.state) ? undefined : breaks.at(-1);
    if (this.ghost) this.ghost.hidden = !stages.some((stage) => stage.ghost || stage.cut !== undefined) && !points.ghost.includes(true);
    if (!this.line) return;
    this.line.hidden = !last;
    if (!last) return;
    const parts = [this._ended(last), this._resumed(last)];
    if (breaks.length > 1) parts.push(interpolate(_("%(n)s interruptions in all; the log has each."), { n: plain(breaks.length) }));
    put(this.line, parts.filter(Boolean).join(" "));
  }

  /** @param {number} wall seconds since the cycle began */
  _time(wall) {
    const started = Date.parse(this.store.cycle.started_at ?? "");
    return Number.isNaN(started) ? "" : moment(started + wall * 1000);
  }

  /** @param {import("./store.js").Break} one */
  _ended({ why, wall, worker }) {
    const text = WHY[why] ?? _("It was interrupted at %(time)s.");
    return interpolate(text, { worker: worker || _("The worker"), time: this._time(wall) });
  }

  /** @param {import("./store.js").Break} one */
  _resumed({ why, by, attempt, step, lost }) {
    if (!by) return "";
    const values = { worker: by, n: plain(attempt), step: integer(step ?? 0), first: integer((step ?? 0) + 1), to: integer(lost) };
    if (step === null) return interpolate(_("%(worker)s has taken it up and loads the snapshot."), values);
    // A pause is no attempt.
    const text = why === "paused"
      ? step === 0 ? _("Begun again on %(worker)s from the start.") : _("Resumed on %(worker)s from step %(step)s.")
      : step === 0 ? _("Begun again on %(worker)s from the start (attempt %(n)s).") : _("Resumed on %(worker)s from step %(step)s (attempt %(n)s).");
    const whole = interpolate(text, values);
    return lost > step ? `${whole} ${interpolate(_("Steps %(first)s to %(to)s are run again; what they were is drawn faint."), values)}` : whole;
  }
}
