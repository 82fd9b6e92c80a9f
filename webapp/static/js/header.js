// @ts-check
/** The head of the page: badge, the line under the title, progress, freshness, and the chip that says how it is live. */
import { age, fixed, integer, moment, plain, timeLeft } from "./format.js";
import { gettext as _, interpolate, ngettext } from "./i18n.js";
import { stageOf } from "./stages.js";
import { ACTIVE, STATES, TERMINAL, VERDICTS } from "./states.js";
import { put } from "./strip.js";

const PRESETS = { nap: _("Nap"), night: _("Night"), deep: _("Deep"), paper: _("Paper"), literal: _("Literal"), custom: _("Custom") };

// A trainer that computes says something several times a second; a long probe may take a while.
const QUIET = 20_000;

export class Header {
  /** @param {Document} root @param {import("./store.js").CycleStore} store */
  constructor(root, store) {
    this.root = root;
    this.store = store;
    this.badge = root.querySelector("[data-badge]");
    this.sub = root.querySelector("[data-sub]");
    this.fresh = root.querySelector("[data-fresh]");
    this.bar = /** @type {HTMLProgressElement|null} */ (root.querySelector("[data-progress]"));
    this.extended = /** @type {HTMLElement|null} */ (root.querySelector("[data-extended]"));
    this.chip = /** @type {HTMLElement|null} */ (root.querySelector("[data-livechip]"));
    this.heardAt = 0;
    this.delay = 0;
    /** @type {import("./live.js").Status} */ this.status = { kind: "connecting" };
  }

  update() {
    const c = this.store.cycle;
    if (this.badge) {
      const verdict = c.state === "succeeded" && c.verdict ? c.verdict : null;
      put(this.badge, verdict ? (VERDICTS[verdict] ?? verdict) : (STATES[c.state] ?? c.state));
      this.badge.className = `badge badge--${verdict ?? c.state}`;
    }
    document.body.dataset.state = c.state;
    if (this.bar) {
      const done = TERMINAL.has(c.state) && c.state !== "failed" && c.state !== "cancelled" && c.state !== "quarantined" ? 1 : c.progress;
      if (this.bar.value !== done) this.bar.value = done;
      this.bar.hidden = ["cancelled", "failed", "quarantined"].includes(c.state) && !c.progress;
    }
    put(this.sub, this._line());
    if (c.result) put(this.root.querySelector("[data-result]"), `${c.base ? " → " : " · "}v${c.result.number}`);
    if (this.extended) {
      put(this.extended, c.extended ? interpolate(_("+%(n)s %"), { n: plain(Math.round(100 * c.extended)) }) : "");
      this.extended.hidden = !c.extended;
    }
  }

  _line() {
    const c = this.store.cycle, parts = [];
    if (!TERMINAL.has(c.state) && c.stage) {
      const text = c.total_steps ? _("%(stage)s, step %(step)s of %(total)s") : c.step ? _("%(stage)s, step %(step)s") : "%(stage)s";
      parts.push(interpolate(text, { stage: stageOf(c.stage).title, step: integer(c.step), total: integer(c.total_steps) }));
    } else if (TERMINAL.has(c.state) && c.step) parts.push(interpolate(ngettext("%(n)s step", "%(n)s steps", c.step), { n: integer(c.step) }));
    if (c.preset) parts.push(interpolate(_("preset %(name)s"), { name: PRESETS[c.preset] ?? c.preset }));
    if (c.worker) parts.push(interpolate(_("worker %(name)s"), { name: c.worker }));
    if (c.started_at) parts.push(interpolate(_("started %(time)s"), { time: moment(Date.parse(c.started_at)) }));
    if (c.finished_at) parts.push(interpolate(_("ended %(time)s"), { time: moment(Date.parse(c.finished_at)) }));
    if (c.attempt > 1) parts.push(interpolate(_("attempt %(n)s"), { n: plain(c.attempt) }));
    if (c.state === "running") {
      const left = timeLeft(c.progress, this.store.seconds, this.store.pace());
      if (left) parts.push(left);
    }
    return parts.join(" · ");
  }

  /** The newest frame that was applied. @param {import("./store.js").Frame|null} frame @param {boolean} [fresh] it came live */
  heard(frame, fresh = false) {
    if (!frame?.at) return;
    this.heardAt = frame.at + (this.skew ?? 0);
    if (fresh) {
      const delay = Math.max(0, Date.now() - this.heardAt);
      this.delay = this.delay ? this.delay * 0.8 + delay * 0.2 : delay;
    }
  }

  /** The server's clock against ours, from a fresh state. @param {string|null} iso */
  serverClock(iso) {
    const server = Date.parse(iso ?? "");
    if (!Number.isNaN(server)) this.skew = Math.max(0, Date.now() - server) < 2000 ? 0 : Date.now() - server;
  }

  /** Four times a second: what is true only now. */
  tick() {
    const c = this.store.cycle, chip = this.chip;
    if (chip) {
      const words = this._chipWords();
      put(chip, words);
      chip.dataset.kind = this.status.kind;
      chip.hidden = !words;
    }
    if (!this.fresh) return;
    put(this.fresh, ACTIVE.has(c.state) && this.heardAt ? interpolate(_("last update %(age)s ago"), { age: age(Date.now() - this.heardAt) }) : "");
  }

  /** How long ago a cycle that runs was last heard of, in ms; 0 when there is nothing to hear. */
  _silent() {
    return this.store.cycle.state === "running" && this.heardAt ? Math.max(0, Date.now() - this.heardAt) : 0;
  }

  _chipWords() {
    const { kind, retryAt = 0 } = this.status;
    switch (kind) {
      case "live":
        if (this._silent() > QUIET) return interpolate(_("Live · nothing new for %(age)s"), { age: age(this._silent()) });
        if (!this.delay || !ACTIVE.has(this.store.cycle.state)) return _("Live");
        return interpolate(_("Live · %(delay)s s"), { delay: fixed(this.delay / 1000, 1) });
      case "waiting": {
        const n = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
        return interpolate(_("Live paused, retrying in %(n)s s; nothing is lost"), { n: plain(n) });
      }
      case "polling": return _("Live by polling every 3 s");
      case "away": return _("The server does not answer; asking again every 3 s");
      case "connecting": return _("Connecting…");
      case "login": return _("Logged out; log in again to follow");
      case "gone": return _("This cycle can no longer be seen");
      default: return "";
    }
  }
}
