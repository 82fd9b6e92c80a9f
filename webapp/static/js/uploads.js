// @ts-check
/**
 * All uploads of this person: what the server lists, and what this page sends. Knows no page.
 *
 * The server says what there is; this browser's own notes say which of it began here; the keeper may still hold the
 * file. So an upload goes on by itself after a click or a reload, and asks for its file when that is gone.
 */
import { claim } from "./claims.js";
import { bytesText } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { clear, drop, keeps, park, startKeeper, take } from "./keeper.js";
import { fingerprint, forget, isSame, recall, remember } from "./remembered.js";
import { token } from "./token.js";
import { Item } from "./upload-item.js";

/**
 * @typedef {import("./sending.js").Sending} Sending
 * @typedef {import("./sending.js").Announcement} Announcement
 * @typedef {import("./picker.js").LocalFile} LocalFile
 * @typedef {import("./upload-item.js").Phase} Phase
 * @typedef {{id: string, purpose: string, filename: string, size_bytes: number, received_bytes: number, state: string,
 *   sha256: string, error: import("./sending.js").Problem|null, result: {id: string, url: string}|null, project: string,
 *   project_id: string, resumable: boolean, duplicate_of: {name: string, url: string}|null}} Row
 */

const SOON_MS = 600, LATER_MS = 2500, HIDDEN_MS = 10_000, PARK_MS = 20_000;
const UNDER_WAY = new Set(["starting", "sending", "waiting", "offline", "login"]);

class Uploads extends EventTarget {
  constructor() {
    super();
    /** @type {Item[]} */
    this.items = [];
    this.timer = 0;
    this.silent = false;
    /** Whether the person logged out, here or in another tab: no file is held for the next page any more. */
    this.left = false;
    this.channel = new BroadcastChannel("nocturne-uploads");
    this.channel.addEventListener("message", ({ data }) => this._heard(data));
    addEventListener("pagehide", () => this._leave());
    setInterval(() => this._park(), PARK_MS);
    // A page that comes back from the browser's own cache stopped when it was left.
    addEventListener("pageshow", (event) => event.persisted && this.items.length && location.reload());
  }

  /** Whether this page is sending a file. */
  get sending() {
    return this.items.some((item) => UNDER_WAY.has(item.phase));
  }

  /** Whether what is being sent would have to be chosen again on the next page. */
  get fragile() {
    return this.sending && !keeps();
  }

  /** @param {Item} item @param {Phase} phase */
  _enter(item, phase) {
    item.phase = phase;
    this.dispatchEvent(new CustomEvent("change", { detail: item }));
    this._poll();
  }

  /** Ask the server what there is. */
  async look() {
    const asked = new Set(this.items.map((item) => item.id));
    const answer = await fetch("/api/uploads", { headers: { Accept: "application/json" }, cache: "no-store" }).catch(() => null);
    const rows = answer?.ok ? await answer.json().catch(() => null) : null;
    this.silent = !Array.isArray(rows);
    if (!this.silent) this._merge(rows, asked);
    else if (answer?.status === 401) for (const item of this.items) if (!item.sending && !item.ended) this._enter(item, "login");
    for (const item of this.items) if (item.phase === "verifying") this._enter(item, "verifying");
    this._poll();
  }

  /** @param {Row[]} rows @param {Set<string>} asked the uploads that were known when the question was put */
  _merge(rows, asked) {
    const told = new Set(rows.map((row) => row.id));
    for (const row of rows) {
      const item = this.items.find((one) => one.id === row.id) ?? this._found(row);
      if (item && !item.sending) this._apply(item, row);
    }
    const lost = this.items.filter((item) => asked.has(item.id) && !told.has(item.id) && !item.sending && !item.ended);
    for (const item of lost) if (item.id) this._lost(item);
  }

  /** @param {Row} row @returns {Item|null} */
  _found(row) {
    const over = !["receiving", "verifying"].includes(row.state);
    if (over && !recall(row.id)) return null;
    const item = new Item(row.filename, row.size_bytes, row.purpose);
    item.id = row.id;
    item.phase = "elsewhere";
    this.items.push(item);
    return item;
  }

  /** @param {Item} item @param {Row} row */
  _apply(item, row) {
    item.project = row.project;
    item.received = row.received_bytes;
    item.sha256 = row.sha256;
    item.same = row.duplicate_of;
    item.url = row.result?.url ?? "";
    if (row.state === "receiving") {
      if (!row.resumable) this._enter(item, "copying");
      else if (["elsewhere", "login"].includes(item.phase)) void this._adopt(item);
      else this._enter(item, item.phase);
      return;
    }
    this._settle(item);
    if (row.state === "verifying") this._enter(item, "verifying");
    else if (row.state === "ready") this._enter(item, "ready");
    else if (row.error) {
      item.problem = row.error;
      if (row.error.detail?.lines) item.url = `/projects/${row.project_id}/records/`; // a table there lists them
      this._enter(item, "refused");
    } else this.dismiss(item); // cancelled by the person
  }

  /** Nothing of it is sent by this page any more. @param {Item} item */
  _settle(item) {
    item.queued?.abort();
    item.queued = null;
    item.release?.();
    item.release = null;
    item.sending = null;
    item.file = null;
    drop(item.id);
  }

  /** @param {Item} item */
  _lost(item) {
    this._settle(item);
    item.problem = { code: "upload.gone", message: _("The server does not have this upload any more. Choose the file again.") };
    this._enter(item, "refused");
  }

  /** Go on with what an earlier page began, if this browser can. @param {Item} item */
  async _adopt(item) {
    const note = recall(item.id);
    if (!note) return this._enter(item, "elsewhere");
    if (note.paused) return this._enter(item, "paused");
    if (!(await this._claim(item))) return;
    const file = item.file ?? (await take(item.id));
    if (!this.items.includes(item)) return item.release?.(); // cancelled meanwhile
    if (recall(item.id)?.paused || !file) {
      item.release?.();
      item.release = null;
      return this._enter(item, recall(item.id)?.paused ? "paused" : "select");
    }
    await this._send(item, file);
  }

  /** Wait until no other tab sends it; false when that tab brought it to an end. @param {Item} item */
  async _claim(item) {
    item.release = await claim(item.id);
    if (item.release) return true;
    this._enter(item, "tab");
    item.queued = new AbortController();
    item.release = await claim(item.id, item.queued.signal);
    item.queued = null;
    return item.release !== null && !item.ended && item.phase !== "verifying";
  }

  /** @param {Item} item @param {File} file @param {Announcement} [about] */
  async _send(item, file, about) {
    const [{ Sending }] = await Promise.all([import("./sending.js"), startKeeper()]);
    item.file = file;
    item.hint = "";
    item.problem = null;
    item.sending = new Sending(file, { id: item.id, received: item.received, about }, (sending) => void this._told(item, sending, about));
    item.sending.start();
    this._park();
    this._enter(item, "starting");
    if (item.id) this.channel.postMessage({ act: "sending", id: item.id });
  }

  /** @param {Item} item @param {Sending} sending @param {Announcement} [about] */
  async _told(item, sending, about) {
    if (item.sending !== sending) return;
    item.received = sending.sent;
    item.rate = sending.pace?.rate() ?? 0;
    item.left = sending.pace?.left() ?? null;
    item.problem = sending.problem;
    if (!item.id && sending.id) {
      item.id = sending.id;
      remember(item.id, fingerprint(sending.file, about?.project ?? "", item.purpose));
      this._park();
      this.items = this.items.filter((one) => one === item || one.id !== item.id); // the list may have been first
      this.channel.postMessage({ act: "sending", id: item.id });
      void claim(item.id).then((release) => {
        if (item.sending === sending) item.release = release;
        else release?.();
      });
    }
    if (sending.phase === "sent") {
      this._settle(item);
      this._enter(item, "verifying");
    } else if (sending.phase === "gone") {
      this._stop(item);
      item.phase = "elsewhere";
      await this.look();
    } else if (sending.phase === "unreadable") {
      this._stop(item);
      item.file = null;
      item.hint = _("The file changed on your disk, or cannot be read any more.");
      this._enter(item, "select");
    } else if (sending.phase === "stopped" && !item.id) {
      this._settle(item);
      this._enter(item, "refused"); // before its first byte
    } else {
      if (sending.phase === "stopped") this._stop(item);
      this._enter(item, sending.phase);
      if (sending.phase === "stopped" && item.id) await this.look(); // it may be over on the server, too
    }
  }

  /** A new upload, or one of the same file that stopped in between. @param {File} file @param {Announcement} about */
  begin(file, about) {
    const print = fingerprint(file, about.project, about.purpose);
    const stopped = this.items.find((item) => ["select", "paused", "stopped"].includes(item.phase) && recall(item.id)?.print === print);
    if (stopped) {
      void this.choose(stopped, file);
      return stopped;
    }
    const item = new Item(file.name, file.size, about.purpose);
    this.items.unshift(item);
    void this._send(item, file, about);
    return item;
  }

  /** Have a file of the server's own computer copied; nothing is sent. @param {LocalFile} file @param {Announcement} about */
  copy(file, about) {
    const item = new Item(file.name, file.size, about.purpose);
    this.items.unshift(item);
    void this._copy(item, file.path, about);
    return item;
  }

  /** @param {Item} item @param {string} path @param {Announcement} about */
  async _copy(item, path, about) {
    const headers = { "Content-Type": "application/json", "X-CSRFToken": token() };
    const answer = await fetch("/api/uploads/local", { method: "POST", headers, body: JSON.stringify({ ...about, path }) }).catch(() => null);
    const said = await answer?.json().catch(() => null);
    if (!answer?.ok) {
      const silent = { code: "upload.silent", message: _("The server did not answer. Try again.") };
      item.problem = said?.code && said.message ? said : silent;
      return this._enter(item, "refused");
    }
    item.id = said.id;
    remember(item.id, "");
    this._apply(item, said);
  }

  /** The person chose a file to continue with. @param {Item} item @param {File} file */
  async choose(item, file) {
    if (item.sending || item.ended) return;
    const note = recall(item.id);
    if (!note || !isSame(note, file)) {
      const about = { name: item.name, size: bytesText(item.size) };
      item.hint = interpolate(_("That is another file. This upload began with %(name)s (%(size)s), unchanged since then."), about);
      return this._enter(item, item.phase);
    }
    remember(item.id, note.print);
    if (item.release || (await this._claim(item))) await this._send(item, file);
  }

  /** @param {Item} item */
  _stop(item) {
    item.sending?.stop();
    item.sending = null;
    item.release?.();
    item.release = null;
  }

  /** @param {Item} item */
  pause(item) {
    const note = recall(item.id);
    if (note) remember(item.id, note.print, true);
    this._stop(item);
    this._enter(item, "paused");
  }

  /** @param {Item} item */
  resume(item) {
    const note = recall(item.id);
    if (note) remember(item.id, note.print);
    this._enter(item, "starting");
    void this._adopt(item);
  }

  /** Take it back: the server removes what it has. @param {Item} item */
  async cancel(item) {
    this._stop(item);
    item.queued?.abort();
    this.dismiss(item);
    if (!item.id) return;
    const headers = { "Tus-Resumable": "1.0.0", "X-CSRFToken": token() };
    await fetch(`/upload/${item.id}`, { method: "DELETE", headers }).catch(() => undefined);
  }

  /** The person has seen how it ended. @param {Item} item */
  dismiss(item) {
    this._settle(item);
    this.items = this.items.filter((one) => one !== item);
    if (item.id) {
      forget(item.id);
      this.channel.postMessage({ act: "over", id: item.id });
    }
    this._enter(item, "over");
  }

  /** The person logs out on this page. What the server has stays there for the same file. */
  async logOut() {
    this.channel.postMessage({ act: "logout", id: "" });
    this._logOut();
    // Files of the page before may be held by a worker that this one has not met yet.
    await startKeeper();
    clear();
  }

  _logOut() {
    this.left = true;
    for (const item of [...this.items]) {
      if (!item.sending) continue;
      this._stop(item);
      // Announced in the next person's session, it would be theirs.
      if (item.id) this._enter(item, "login");
      else this.dismiss(item);
    }
  }

  /** Another tab did something. @param {{act: string, id: string}} word */
  _heard({ act, id }) {
    if (act === "logout") return this._logOut();
    const item = this.items.find((one) => one.id === id);
    if (act === "over" && item) {
      this._settle(item);
      this.items = this.items.filter((one) => one !== item);
      this._enter(item, "over");
    } else if (act === "sending" && (!item || ["select", "paused", "stopped"].includes(item.phase))) {
      if (item) item.phase = "elsewhere";
      void this.look();
    }
  }

  /** The page goes away: its files are held for the next one, and what the server has, it keeps. */
  _leave() {
    this._park();
    for (const item of this.items) this._stop(item);
  }

  /** The keeper forgets after a while, and a page that is ended by force says no farewell. */
  _park() {
    if (this.left) return;
    for (const item of this.items) if (item.id && item.file) park(item.id, item.file);
  }

  /** Look again while something happens that this page does not do itself. */
  _poll() {
    clearTimeout(this.timer);
    const waits = this.items.filter((item) => !item.sending && ["verifying", "copying", "tab", "elsewhere", "login"].includes(item.phase));
    if (!waits.length) return;
    const soon = waits.some((item) => ["verifying", "copying"].includes(item.phase)) && !this.silent;
    this.timer = window.setTimeout(() => void this.look(), document.hidden ? HIDDEN_MS : soon ? SOON_MS : LATER_MS);
  }
}

/** One for the page. */
export const uploads = new Uploads();
