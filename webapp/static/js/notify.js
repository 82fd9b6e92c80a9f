// @ts-check
// What the tab says while nobody looks at it: progress in its title, and a notice at the end for whoever asked.
import { toast } from "./dialogs.js";
import { plain } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { ACTIVE, STATES, TERMINAL } from "./states.js";

export class Notify {
  /** @param {import("./store.js").CycleStore} store */
  constructor(store) {
    this.store = store;
    this.title = document.title;
    this.key = `notify:${store.cycle.id}`;
    this.button = /** @type {HTMLElement|null} */ (document.querySelector("[data-notify]"));
    if (!this.button) return;
    this.button.hidden = !("Notification" in window) || TERMINAL.has(store.cycle.state);
    this.button.addEventListener("click", () => void this._turn());
    this._show();
  }

  /** Asked for in this tab, and still allowed by the browser. */
  get wanted() {
    return sessionStorage.getItem(this.key) === "1" && Notification.permission === "granted";
  }

  _show() {
    this.button?.setAttribute("aria-pressed", String(this.wanted));
  }

  async _turn() {
    if (this.wanted) {
      sessionStorage.removeItem(this.key);
      toast(_("You will not be notified."));
    } else if ((await Notification.requestPermission()) === "granted") {
      sessionStorage.setItem(this.key, "1");
      toast(_("This browser tells you when it ends, as long as this tab stays open."), "success");
    } else {
      toast(_("The browser does not allow notifications from this page. Allow them beside its address, then try again."), "warning");
    }
    this._show();
  }

  /** The title follows the progress; it is rewritten only when it says something else. */
  update() {
    const { state, progress } = this.store.cycle;
    const done = ["paused", "blocked"].includes(state) ? STATES[state]
      : ACTIVE.has(state) && progress ? interpolate(_("%(percent)s %"), { percent: plain(Math.floor(100 * progress)) }) : "";
    const title = done ? `${done} · ${this.title}` : this.title;
    if (document.title !== title) document.title = title;
  }

  /** The cycle has ended: say how. @param {string} how one or two words */
  ended(how) {
    this.title = `${how} · ${this.title}`;
    this.update();
    if (!this.wanted) return;
    const [name] = this.title.split(" · ").slice(1);
    sessionStorage.removeItem(this.key);
    try {
      const notice = new Notification(interpolate(_("%(cycle)s has ended: %(how)s"), { cycle: name, how }), { tag: this.key });
      notice.addEventListener("click", () => {
        window.focus();
        notice.close();
      });
    } catch {
      // Some phones allow notices from service workers only: the title tells it there.
    }
  }
}
