// @ts-check
/**
 * One socket a tab, many streams on it, and HTTP under both. A stream is gapless: what the socket brings is applied only
 * in order; a hole is fetched over HTTP; a double is ignored; polling uses the same function as the socket.
 *
 * @typedef {import("./store.js").Frame} Frame
 * @typedef {object} Sink
 * @property {number} last number of the last frame applied
 * @property {(frame: Frame) => boolean} apply
 * @property {() => void} clear
 * @property {(history: any) => void} [applyHistory] @property {(told: any, from: number, to: number) => import("./rows.js").Rows} [finer]
 * @property {(state: Record<string, any>) => void} setState
 * @typedef {{kind: "connecting"|"live"|"waiting"|"polling"|"away"|"ended"|"login"|"gone", retryAt?: number}} Status
 */

const FIRST_RETRY = 500, GROWTH = 1.8, CAP = 20_000, POLL = 3_000, SILENCE = 35_000, FAILURES = 3;
// How long what is missing may take by itself, and until a request that failed is made again.
const PATIENCE = 150, RETRY = 1_000;
// What neither answers nor fails has failed.
const CONNECT = 10_000, ANSWER = 30_000;
// From so many frames on, history in short is quicker than the frames themselves.
const HISTORY_FROM = 400;
const FINAL = { 4401: "login", 4403: "gone", 4404: "gone" };

/**
 * History, asked for while the page is still being built; null where the frames themselves are quicker.
 * @param {string} url @param {number} known how many frames there are
 */
export function ahead(url, known) {
  if (known <= HISTORY_FROM) return null;
  return fetch(url, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(ANSWER) })
    .then((response) => (response.ok ? response.json() : null), () => null);
}

/** One cycle's frames on their way into a sink. */
export class Stream {
  /**
   * @param {string} topic @param {{frames: string, history?: string, points?: string}} urls @param {Sink} sink
   * @param {(frames: number) => void} onChange called after frames were applied
   * @param {number} [known] how many frames there are, as far as the page knows
   */
  constructor(topic, urls, sink, onChange, known = 0) {
    this.topic = topic;
    this.urls = urls;
    this.known = known;
    this.sink = sink;
    this.onChange = onChange;
    this.ended = "";
    /** Told whether the server failed to give what is missing. @type {(trouble: boolean) => void} */
    this.onTrouble = () => undefined;
    /** History that was asked for before this stream began. @type {Promise<any>|null} */ this.early = null;
    this.newest = null;
    this.liveFrom = Infinity; // frames above it are news, not history
    /** @type {Map<number, Frame>} */ this._pending = new Map();
    /** @type {Promise<void>|null} */ this._fetching = null;
    this._hole = 0;
  }

  /** Frames from anywhere, in any order, any number of times. @param {Frame[]} items */
  ingest(items) {
    for (const frame of items) {
      if (frame.seq > this.sink.last) this._pending.set(frame.seq, frame);
    }
    let applied = 0;
    for (let next; (next = this._pending.get(this.sink.last + 1)); applied++) {
      this._pending.delete(next.seq);
      this.newest = next;
      this.sink.apply(next);
    }
    for (const seq of this._pending.keys()) if (seq <= this.sink.last) this._pending.delete(seq);
    if (applied) this.onChange(applied);
    this._lookLater();
    return applied;
  }

  /** Whether there are frames that we do not have. */
  get _behind() {
    return this._pending.size > 0 || this.sink.last < this.known;
  }

  /** What is there and does not come by itself is fetched. */
  _lookLater(wait = PATIENCE) {
    if (this._hole || !this._behind) return;
    const before = this.sink.last;
    this._hole = window.setTimeout(() => {
      this._hole = 0;
      if (this.sink.last > before) this._lookLater();
      else if (this._behind) this._catchUpQuietly();
    }, wait);
  }

  /** Fetch whatever is above what we have, page by page; one at a time. */
  catchUp() {
    this._fetching ??= this._fetchAll().finally(() => (this._fetching = null));
    return this._fetching;
  }

  async _fetchAll() {
    if (this.known - this.sink.last > HISTORY_FROM) await this._fetchHistory();
    for (let more = true; more; ) {
      const { known } = this;
      const page = await this._get(`${this.urls.frames}?after=${this.sink.last}&limit=2000`);
      // The newest word on how many there are, unless the socket had a newer one meanwhile.
      if (this.known === known) this.known = page.last;
      if (page.compacted) await this._fetchHistory();
      else if (page.reset) this.restart();
      const before = this.sink.last;
      this.ingest(page.items);
      more = !page.compacted && (page.reset || (page.more && this.sink.last > before));
    }
  }

  /** Everything up to now at once, in as many points as a screen shows. */
  async _fetchHistory() {
    if (!this.urls.history || !this.sink.applyHistory) return;
    const history = (await this.early) ?? (await this._get(this.urls.history));
    this.early = null;
    if (history.last <= this.sink.last) return;
    this.sink.applyHistory(history);
    this.onChange(history.items.length);
    this.ingest([]);
  }

  /** Finer rows of some steps, both ends included. @param {number} low @param {number} high */
  async zoom(low, high) {
    if (!this.urls.points || !this.sink.finer) return null;
    return this.sink.finer(await this._get(`${this.urls.points}?low=${low}&high=${high}`), low, high);
  }

  /** @param {string} url */
  async _get(url) {
    const response = await fetch(url, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(ANSWER) });
    if (response.status === 401 || response.status === 403) this.ended = "login";
    if (response.status === 404) this.ended = "gone";
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    return response.json();
  }

  /** What we hold is not of this stream. */
  restart() {
    this.known = 0;
    this._pending.clear();
    this.sink.clear();
  }

  /** @param {any} message */
  hear(message) {
    if (message.type === "hello") {
      this.liveFrom = message.last;
      this.known = Math.max(this.known, message.last);
      this.sink.setState(message.state);
      this.onChange(0);
      if (this.sink.last === 0 && this._behind) this._catchUpQuietly();
      else this._lookLater();
    } else if (message.type === "frames") {
      this.ingest(message.items);
    } else if (message.type === "reset") {
      if (message.reason === "ahead") this.restart();
      this.known = Math.max(this.known, message.last ?? 0);
      this._catchUpQuietly();
    }
  }

  /** Fetch what is missing; what fails is tried again for as long as anything is. */
  _catchUpQuietly() {
    this.catchUp().then(() => this.onTrouble(false), () => {
      this.onTrouble(true);
      if (!this.ended) this._lookLater(RETRY);
    });
  }

  /** Fetch all that there is, whatever the page knows of it, until it is here. */
  insist() {
    this.catchUp().then(() => this.onTrouble(false), () => {
      this.onTrouble(true);
      if (!this.ended) window.setTimeout(() => this.insist(), POLL);
    });
  }
}

/** The socket: reconnects, resumes by number, falls back to polling and says which. */
export class Live {
  /** @param {string} url path of the socket @param {(status: Status) => void} onStatus */
  constructor(url, onStatus) {
    this.url = new URL(url, location.href);
    this.url.protocol = this.url.protocol === "https:" ? "wss:" : "ws:";
    this.onStatus = onStatus;
    /** @type {Map<string, Stream>} */ this.streams = new Map();
    /** @type {WebSocket|null} */ this._socket = null;
    this._failures = 0;
    this._heardAt = 0;
    this._stopped = false;
    this._retry = 0;
    this._poll = 0;
    this._pulse = window.setInterval(() => this._checkPulse(), 5000);
    window.addEventListener("online", () => this._now());
    document.addEventListener("visibilitychange", () => document.hidden || this._now());
  }

  /** @param {Stream} stream */
  follow(stream) {
    this.streams.set(stream.topic, stream);
    stream.insist();
    if (this._socket?.readyState === WebSocket.OPEN) this._subscribe(stream);
    else if (!this._socket && !this._retry) this._connect();
  }

  /** Hear no more of a stream. @param {string} topic */
  leave(topic) {
    this.streams.delete(topic);
    this._say({ type: "unsub", topic });
  }

  /** No more: the cycle has ended. */
  stop() {
    this._stopped = true;
    clearTimeout(this._retry);
    clearInterval(this._poll);
    clearInterval(this._pulse);
    this._socket?.close(1000);
    this.onStatus({ kind: "ended" });
  }

  /** @param {Stream} stream */
  _subscribe(stream) {
    const after = stream.sink.last;
    this._say(after ? { type: "sub", topic: stream.topic, after } : { type: "sub", topic: stream.topic });
  }

  /** @param {object} message */
  _say(message) {
    if (this._socket?.readyState === WebSocket.OPEN) this._socket.send(JSON.stringify(message));
  }

  _connect() {
    if (this._stopped) return;
    this._retry = 0;
    if (!this._poll) this.onStatus({ kind: "connecting" });
    const socket = new WebSocket(this.url);
    this._socket = socket;
    let final = "";
    const late = window.setTimeout(() => this._drop(), CONNECT);
    socket.onopen = () => {
      clearTimeout(late);
      this._heardAt = Date.now();
      for (const stream of this.streams.values()) this._subscribe(stream);
    };
    socket.onmessage = ({ data }) => {
      this._heardAt = Date.now();
      const message = JSON.parse(data);
      if (message.type === "ping") this._say({ type: "pong" });
      else if (message.type === "bye") final = FINAL[message.code] ?? "";
      else {
        if (message.type === "hello") this._connected();
        this.streams.get(message.topic)?.hear(message);
      }
    };
    socket.onclose = ({ code }) => {
      clearTimeout(late);
      if (this._socket !== socket) return;
      this._socket = null;
      if (this._stopped) return;
      final ||= FINAL[code] ?? "";
      if (final) this._end(final);
      else this._later();
    };
  }

  _connected() {
    this._failures = 0;
    clearInterval(this._poll);
    this._poll = 0;
    this.onStatus({ kind: "live" });
  }

  _later() {
    this._failures += 1;
    const ceiling = Math.min(CAP, FIRST_RETRY * GROWTH ** (this._failures - 1));
    const delay = this._failures === 1 ? ceiling * (0.5 + Math.random() / 2) : Math.random() * ceiling;
    this._retry = window.setTimeout(() => this._connect(), delay);
    if (this._failures >= FAILURES && !this._poll) {
      this._poll = window.setInterval(() => void this._pollOnce(), POLL);
      void this._pollOnce();
    }
    if (!this._poll) this.onStatus({ kind: "waiting", retryAt: Date.now() + delay });
  }

  async _pollOnce() {
    let answered = true;
    for (const stream of this.streams.values()) {
      await stream.catchUp().catch(() => (answered = false));
      if (stream.ended) {
        this._end(stream.ended);
        return;
      }
    }
    if (this._poll && !this._stopped) this.onStatus({ kind: answered ? "polling" : "away" });
  }

  /** A socket that is open and says nothing, or never opens, is left: its own end may take minutes. */
  _drop() {
    const socket = this._socket;
    if (!socket) return;
    this._socket = null;
    socket.close();
    if (!this._stopped) this._later();
  }

  /** @param {string} kind */
  _end(kind) {
    this.stop();
    this.onStatus(/** @type {Status} */ ({ kind }));
  }

  /** Retry at once: the network came back or the person came back. */
  _now() {
    if (this._stopped || !this._retry) return;
    clearTimeout(this._retry);
    this._connect();
  }

  _checkPulse() {
    if (this._socket?.readyState !== WebSocket.OPEN) return;
    if (Date.now() - this._heardAt > SILENCE) this._drop();
  }
}
