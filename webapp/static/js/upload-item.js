// @ts-check
// One upload as this page knows it, whoever sends it.

/**
 * @typedef {import("./sending.js").Sending} Sending
 * @typedef {import("./sending.js").Problem} Problem
 * @typedef {"starting"|"sending"|"waiting"|"offline"|"login"|"paused"|"tab"|"elsewhere"|"copying"
 *   |"select"|"stopped"|"verifying"|"ready"|"refused"|"over"} Phase
 */

export class Item {
  /** @param {string} name @param {number} size @param {string} purpose */
  constructor(name, size, purpose) {
    this.name = name;
    this.size = size;
    this.purpose = purpose;
    this.id = "";
    this.project = "";
    /** @type {Phase} */
    this.phase = "starting";
    this.received = 0;
    this.sha256 = "";
    this.url = "";
    /** Bytes a second, and seconds that are left; null before they are known. */
    this.rate = 0;
    /** @type {number|null} */
    this.left = null;
    /** @type {Problem|null} */
    this.problem = null;
    /** @type {{name: string, url: string}|null} */
    this.same = null;
    /** What the person did wrong a moment ago. */
    this.hint = "";
    /** A page that shows it itself; the drawer leaves it out then. */
    this.here = false;
    /** @type {File|null} */
    this.file = null;
    /** @type {Sending|null} */
    this.sending = null;
    /** @type {(() => void)|null} */
    this.release = null;
    /** @type {AbortController|null} */
    this.queued = null;
  }

  /** Whether the person has to do something. */
  get waitsForPerson() {
    return ["login", "select", "stopped", "refused"].includes(this.phase);
  }

  get ended() {
    return ["ready", "refused", "over"].includes(this.phase);
  }

  percent() {
    return Math.floor((100 * this.received) / this.size);
  }
}
