// @ts-check
/** The card of a cycle that stands still: why it does, since when, and what lets it go on. */
import { moment, ordinal } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { STILL } from "./states.js";
import { put } from "./strip.js";

export class Waiting {
  /** @param {HTMLElement|null} box @param {import("./store.js").CycleStore} store */
  constructor(box, store) {
    this.box = box;
    this.store = store;
  }

  update() {
    const c = this.store.cycle, { box } = this;
    if (!box) return;
    box.hidden = !STILL.has(c.state) && c.state !== "pausing";
    if (box.hidden) return;
    const { title, words = "", more = "", code = "", command = false } = this._told();
    box.className = `card card--callout waiting waiting--${c.state}`;
    put(box.querySelector("[data-waiting-title]"), title);
    put(box.querySelector("[data-waiting-words]"), words);
    put(box.querySelector("[data-waiting-more]"), more);
    put(box.querySelector("[data-waiting-code] code"), code);
    for (const [selector, there] of [["[data-waiting-code]", code], ["[data-waiting-command]", command]]) {
      const part = box.querySelector(String(selector));
      if (part instanceof HTMLElement) part.hidden = !there;
    }
  }

  /** @returns {{title: string, words?: string, more?: string, code?: string, command?: boolean}} */
  _told() {
    const c = this.store.cycle, begun = Boolean(c.attempt || c.step);
    const since = Date.parse(c.held?.since ?? "");
    /** @param {string} bare @param {string} dated with %(time)s */
    const title = (bare, dated) => (Number.isNaN(since) ? bare : interpolate(dated, { time: moment(since) }));
    if (c.state === "blocked") {
      return {
        title: title(_("Blocked"), _("Blocked since %(time)s")), words: c.error?.message ?? "", code: c.error?.code,
        more: _("It is looked at again by itself every few seconds."),
      };
    }
    if (c.state === "pausing") {
      return { title: _("Pausing"), words: this._by(), more: _("A snapshot is written, then the device is free for others. Nothing is lost.") };
    }
    if (c.state === "paused") {
      return {
        title: title(_("Paused"), _("Paused since %(time)s")), words: this._by(),
        more: begun ? _("The device is free for others. Resumed, it goes on from its snapshot; nothing is lost.")
          : _("It had not begun. Resumed, it takes its old place in the queue."),
      };
    }
    if (c.workers_alive === 0) return { title: _("No worker"), words: _("Nothing takes cycles at the moment. Start a worker on this machine, and the cycle begins by itself:"), command: true };
    if (c.waiting) {
      const behind = c.waiting.code === "cycle.project_blocked";
      return { title: behind ? _("Waiting for a blocked cycle") : _("No worker can take it"), words: c.waiting.message };
    }
    const place = c.queue_position;
    return {
      title: place === 1 ? _("Waiting for a worker (next in line)")
        : place ? interpolate(_("Waiting for a worker (%(place)s in line)"), { place: ordinal(place) }) : _("Waiting for a worker"),
      words: begun ? _("It goes on from its last snapshot as soon as a worker is free. This page follows by itself.")
        : _("It begins as soon as a worker is free. This page follows by itself; you may close it."),
    };
  }

  /** Who paused it, or why it pauses by itself. */
  _by() {
    const { by, reason } = this.store.cycle.held ?? {};
    if (by) return interpolate(_("Paused by %(name)s."), { name: by });
    return reason ? interpolate(_("Paused by itself: %(reason)s."), { reason }) : "";
  }
}
