// @ts-check
// What is said of an upload: its state in a word or two, and the figures or the sentence that go with it.
import { bytesText, fixed, plain } from "./format.js";
import { gettext as _, interpolate, ngettext } from "./i18n.js";

/** @typedef {import("./upload-item.js").Item} Item */

/** @type {Record<string, string>} */
const STATES = {
  starting: _("Starting"), sending: _("Uploading"), waiting: _("Waiting"), offline: _("Offline"), login: _("Logged out"),
  paused: _("Paused"), tab: _("Uploading"), elsewhere: _("Uploading"), copying: _("Copying"), select: _("Interrupted"), stopped: _("Stopped"),
  verifying: _("Verifying"), ready: _("Ready"), refused: _("Refused"), over: _("Cancelled"),
};
/** From what needs the person most to what needs nobody. */
const ORDER = [
  "refused", "stopped", "select", "login", "offline", "waiting", "starting", "sending", "tab", "elsewhere", "copying", "paused", "verifying", "ready",
];

/** @param {Item} item */
export function stateOf(item) {
  return STATES[item.phase];
}

/** @param {Item} item */
export function percentText(item) {
  return interpolate(_("%(n)s %"), { n: plain(item.percent()) });
}

/** @param {number} seconds */
export function time(seconds) {
  const s = Math.max(1, Math.round(seconds));
  if (s < 90) return interpolate(_("%(n)s s"), { n: plain(s) });
  if (s < 5400) return interpolate(_("%(n)s min"), { n: plain(Math.round(s / 60)) });
  return interpolate(_("%(n)s h"), { n: fixed(s / 3600, 1) });
}

/** How far it is, how fast and how long. @param {Item} item */
function figures(item) {
  const parts = [percentText(item), interpolate(_("%(done)s of %(size)s"), { done: bytesText(item.received), size: bytesText(item.size) })];
  if (item.phase === "sending" && item.left !== null) {
    parts.push(interpolate(_("%(size)s/s"), { size: bytesText(item.rate) }), interpolate(_("%(time)s left"), { time: time(item.left) }));
  }
  return parts.join("\u00a0· "); // no line begins with a dot
}

/** What follows the state. @param {Item} item @param {boolean} silent whether the server answers nothing @returns {string} */
export function sentence(item, silent) {
  const at = { percent: percentText(item) };
  switch (item.phase) {
    case "offline":
      return interpolate(_("at %(percent)s. Nothing is lost; it goes on by itself."), at);
    case "waiting":
      return interpolate(_("at %(percent)s. The server does not answer now; nothing is lost, and it goes on by itself."), at);
    case "login":
      return interpolate(_("at %(percent)s. Nothing is lost."), at);
    case "paused":
      return interpolate(_("at %(percent)s."), at);
    case "select":
      return interpolate(_("at %(percent)s. Everything up to there is kept."), at);
    case "tab":
      return interpolate(_("in another tab, %(percent)s."), at);
    case "elsewhere":
      return interpolate(_("from another browser or computer, %(percent)s. It can only go on there."), at);
    case "verifying":
      return silent ? _("The server does not answer; the file is safe there.") : _("Reading every tensor and record.");
    case "stopped":
    case "refused":
      return item.problem?.message || _("Something broke on the server. Try again.");
    case "ready":
      return bytesText(item.size);
    default:
      return figures(item);
  }
}

/** @param {Item[]} items */
export function countText(items) {
  return interpolate(ngettext("%(n)s upload", "%(n)s uploads", items.length), { n: plain(items.length) });
}

/** All of them in one line. @param {Item[]} items */
export function summary(items) {
  const [first] = [...items].sort((a, b) => ORDER.indexOf(a.phase) - ORDER.indexOf(b.phase));
  const parts = items.length > 1 ? [countText(items)] : [];
  parts.push(stateOf(first));
  if (["sending", "tab", "elsewhere", "copying", "paused", "offline", "waiting"].includes(first.phase)) parts.push(percentText(first));
  return [...parts, first.name].join(" · ");
}
