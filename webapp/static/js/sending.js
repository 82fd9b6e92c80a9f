// @ts-check
/**
 * One file on its way by tus. A broken network, a sleeping server and an ended session are waited out: the server's own
 * offset says where to go on. tus-js-client gives up after a list of delays, so waiting is done here.
 */
import "../vendor/tus/tus.min.js";
import { Pace } from "./pace.js";
import { token } from "./token.js";

/**
 * @typedef {{code: string, message: string}} Problem
 * @typedef {{project: string, purpose: string, form: Record<string, unknown>}} Announcement
 * @typedef {"starting"|"sending"|"waiting"|"offline"|"login"|"unreadable"|"stopped"|"gone"|"sent"} Phase
 */

const tus = /** @type {any} */ (globalThis).tus;
const CHUNK_BYTES = 64 * 2 ** 20;
const BACKOFF_MS = [250, 500, 1000, 2000, 4000, 8000, 15_000];
/** So often one answer is asked for again before the person is told of it. */
const MOST_ANSWERS = 10;
const LOGIN_MS = 15_000, WATCH_MS = 2000, SILENT_MS = 45_000, SILENT_OFFLINE_MS = 6000;
const AGAIN = new Set([408, 409, 423, 425, 429, 500, 502, 503, 504]);

/** @param {string} text @returns {Problem|null} */
function problemIn(text) {
  try {
    const { code, message } = JSON.parse(text);
    return typeof code === "string" && typeof message === "string" ? { code, message } : null;
  } catch {
    return null;
  }
}

/** Whether the file on the person's disk is still what was chosen. @param {File} file */
async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

export class Sending {
  /**
   * @param {File} file
   * @param {{id: string, received: number, about?: Announcement}} what an upload that the server knows and how much of
   *   it was there last, or else what to announce
   * @param {(sending: Sending) => void} told of every change
   */
  constructor(file, { id, received, about }, told) {
    this.file = file;
    this.id = id;
    this.told = told;
    /** @type {Phase} */
    this.phase = "starting";
    this.sent = received;
    /** @type {Problem|null} */
    this.problem = null;
    /** @type {Pace|null} */
    this.pace = null;
    this.tries = 0;
    this.timer = 0;
    this.over = false;
    this.movedAt = performance.now();
    this.upload = new tus.Upload(file, this._options(id, about));
    this._again = () => this._retryNow();
    addEventListener("online", this._again);
    addEventListener("focus", this._again);
    this.watch = setInterval(() => this._watch(), WATCH_MS);
  }

  /** @param {string} id @param {Announcement|undefined} about */
  _options(id, about) {
    const at = new URL("/upload/", location.href).href;
    return {
      endpoint: id ? null : at,
      uploadUrl: id ? at + id : null,
      metadata: about && { project: about.project, purpose: about.purpose, filename: this.file.name, form: JSON.stringify(about.form) },
      chunkSize: CHUNK_BYTES,
      retryDelays: null,
      storeFingerprintForResuming: false,
      onBeforeRequest: (/** @type {any} */ request) => request.setHeader("X-CSRFToken", token()),
      onUploadUrlAvailable: () => this._known(),
      onProgress: (/** @type {number} */ sent) => this._moved(sent),
      onSuccess: () => this._end("sent"),
      onError: (/** @type {any} */ error) => void this._failed(error),
    };
  }

  start() {
    this.upload.start();
  }

  /** Break off without a word to the server: what it has, it keeps. */
  stop() {
    this._release();
    void this.upload.abort();
  }

  /** The server has the upload under an id now. */
  _known() {
    // With an endpoint the library would begin a new upload whenever this one is refused.
    this.upload.options.endpoint = null;
    this.id = new URL(this.upload.url).pathname.split("/").filter(Boolean).pop() ?? "";
    this._enter("sending");
  }

  /** @param {number} sent */
  _moved(sent) {
    // The first report of each request is the server's offset, and no byte of it was sent just now.
    if (!this.pace || sent < this.sent) this.pace = new Pace(this.file.size, sent);
    this.pace.mark(sent);
    if (sent > this.sent) this.tries = 0;
    this.sent = sent;
    this.movedAt = performance.now();
    this._enter("sending");
  }

  /** @param {any} error */
  async _failed(error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    const problem = problemIn(error.originalResponse?.getBody() ?? "");
    this.pace = null;
    if (status === 0) {
      if (!(await readable(this.file))) return this._end("unreadable");
      return this._later(navigator.onLine ? "waiting" : "offline");
    }
    if (status === 401) return this._later("login");
    // Asked for its offset, an upload that takes no more bytes answers 409; it may have all of them.
    const asked = error.originalRequest.getMethod() === "HEAD";
    if (this.id && (status === 404 || status === 410 || (status === 409 && asked))) return this._end("gone");
    if (AGAIN.has(status) && (status > 500 || this.tries < MOST_ANSWERS || !problem)) return this._later("waiting");
    this.problem = problem ?? { code: "server.error", message: "" };
    return this._end("stopped");
  }

  /** @param {Phase} phase */
  _later(phase) {
    if (this.over) return;
    const wait = phase === "login" ? LOGIN_MS : BACKOFF_MS[Math.min(this.tries, BACKOFF_MS.length - 1)];
    this.tries += 1;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this._retryNow(), wait);
    this._enter(phase);
  }

  _retryNow() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.movedAt = performance.now();
    this.upload.start();
  }

  /** A dead line may stay silent for minutes before the browser says so. The last answer takes its time by right. */
  _watch() {
    if (this.phase !== "sending" || this.sent >= this.file.size) return;
    const silent = performance.now() - this.movedAt;
    if (silent < (navigator.onLine ? SILENT_MS : SILENT_OFFLINE_MS)) return;
    void this.upload.abort();
    this.pace = null;
    this._later(navigator.onLine ? "waiting" : "offline");
  }

  _release() {
    this.over = true;
    clearTimeout(this.timer);
    this.timer = 0;
    clearInterval(this.watch);
    removeEventListener("online", this._again);
    removeEventListener("focus", this._again);
  }

  /** @param {Phase} phase */
  _end(phase) {
    if (this.over) return;
    this._release();
    this._enter(phase);
  }

  /** @param {Phase} phase */
  _enter(phase) {
    this.phase = phase;
    this.told(this);
  }
}
