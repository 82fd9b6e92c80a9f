// @ts-check
/** The head of the page: badge, the line under the title, progress, freshness, and the chip that says how it is live. */
import { age, clock, integer, ordinal, timeLeft } from "./format.js";
import { ACTIVE, TERMINAL } from "./store.js";
import { stageOf } from "./stages.js";
import { put } from "./strip.js";

const WORDS = {
  scheduled: "Scheduled", queued: "Waiting", blocked: "Blocked", starting: "Starting", running: "Running", pausing: "Pausing",
  paused: "Paused", cancelling: "Cancelling", publishing: "Publishing", succeeded: "Succeeded", rejected: "Rejected",
  cancelled: "Cancelled", failed: "Failed", quarantined: "Quarantined",
};

export class Header {
  /** @param {Document} root @param {import("./store.js").CycleStore} store */
  constructor(root, store) {
    this.root = root;
    this.store = store;
    this.badge = root.querySelector("[data-badge]");
    this.sub = root.querySelector("[data-sub]");
    this.fresh = root.querySelector("[data-fresh]");
    this.bar = /** @type {HTMLProgressElement|null} */ (root.querySelector("[data-progress]"));
    this.waiting = /** @type {HTMLElement|null} */ (root.querySelector("[data-waiting]"));
    this.chip = /** @type {HTMLElement|null} */ (root.querySelector("[data-livechip]"));
    this.heardAt = 0;
    this.delay = 0;
    /** @type {import("./live.js").Status} */ this.status = { kind: "connecting" };
  }

  update() {
    const c = this.store.cycle;
    if (this.badge) {
      const verdict = c.state === "succeeded" && c.verdict ? c.verdict : null;
      put(this.badge, verdict ? verdict[0].toUpperCase() + verdict.slice(1) : (WORDS[c.state] ?? c.state));
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
    this._waiting();
  }

  _line() {
    const c = this.store.cycle, parts = [];
    if (ACTIVE.has(c.state) && c.stage) {
      const steps = c.total_steps ? `, step ${integer(c.step)} of ${integer(c.total_steps)}` : c.step ? `, step ${integer(c.step)}` : "";
      parts.push(stageOf(c.stage).title + steps);
    } else if (TERMINAL.has(c.state) && c.step) parts.push(`${integer(c.step)} steps`);
    if (c.preset) parts.push(`preset ${c.preset[0].toUpperCase()}${c.preset.slice(1)}`);
    if (c.worker) parts.push(`worker ${c.worker}`);
    if (c.started_at) parts.push(`started ${clock(Date.parse(c.started_at))}`);
    if (c.finished_at) parts.push(`ended ${clock(Date.parse(c.finished_at))}`);
    if (c.attempt > 1) parts.push(`attempt ${c.attempt}`);
    if (c.state === "running") {
      const left = timeLeft(c.progress, this.store.seconds, this.store.pace());
      if (left) parts.push(left);
    }
    return parts.join(" · ");
  }

  _waiting() {
    const c = this.store.cycle, box = this.waiting;
    if (!box) return;
    const waits = ["scheduled", "queued", "blocked"].includes(c.state);
    box.hidden = !waits;
    if (!waits) return;
    const nobody = c.workers_alive === 0;
    const place = c.queue_position ? ` (${c.queue_position === 1 ? "next" : `${ordinal(c.queue_position)}`} in line)` : "";
    put(box.querySelector("[data-waiting-title]"), nobody ? "No worker" : `Waiting for a worker${place}`);
    put(box.querySelector("[data-waiting-words]"), nobody
      ? "Nothing takes cycles at the moment. Start a worker on this machine, and the cycle begins by itself:"
      : c.attempt ? "It goes on from its last snapshot as soon as a worker is free. This page follows by itself."
        : "It begins as soon as a worker is free. This page follows by itself; you may close it.");
    const command = box.querySelector("[data-waiting-command]");
    if (command instanceof HTMLElement) command.hidden = !nobody;
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
    put(this.fresh, ACTIVE.has(c.state) && this.heardAt ? `last update ${age(Date.now() - this.heardAt)} ago` : "");
  }

  _chipWords() {
    const { kind, retryAt = 0 } = this.status;
    switch (kind) {
      case "live": return this.delay && ACTIVE.has(this.store.cycle.state) ? `Live · ${(this.delay / 1000).toFixed(1)} s` : "Live";
      case "waiting": return `Live paused, retrying in ${Math.max(1, Math.ceil((retryAt - Date.now()) / 1000))} s; nothing is lost`;
      case "polling": return "Live by polling every 3 s";
      case "connecting": return "Connecting…";
      case "login": return "Logged out; log in again to follow";
      case "gone": return "This cycle can no longer be seen";
      default: return "";
    }
  }
}
