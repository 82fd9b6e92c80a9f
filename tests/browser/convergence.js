// @ts-check
/**
 * A tab without its page: the real store and the real stream, whose network, clock and socket do what a test says.
 * `first` is the state that the page was made with; `pageSize` cuts what is fetched into pages, so that catching up takes
 * several requests.
 */
async ([first, urls, pageSize]) => {
  const { CycleStore } = await import("/static/js/store.js");
  const { Live, Stream } = await import("/static/js/live.js");
  const { Rows } = await import("/static/js/rows.js");
  const real = (window.real ??= { fetch: window.fetch, setTimeout: window.setTimeout });

  // ---------------------------------------------------------------- a clock that stands until it is told to go on

  const timers = new Map();
  let now = 0, number = 0;
  window.setTimeout = (run, wait = 0) => (timers.set((number += 1), { run, due: now + wait }), number);
  window.clearTimeout = (which) => void timers.delete(which);

  // ---------------------------------------------------------------- a network that fails, or lets answers wait

  let failing = 0, busy = 0, waiting = 0, gate = null, open = () => undefined;
  window.fetch = async (url, how) => {
    busy += 1;
    try {
      if (failing > 0) {
        failing -= 1;
        return new Response("{}", { status: 503 });
      }
      const answer = await real.fetch.call(window, String(url).replace("limit=2000", `limit=${pageSize}`), how);
      const text = await answer.text();
      waiting += 1;
      await gate;
      waiting -= 1;
      return new Response(text, { status: answer.status });
    } finally {
      busy -= 1;
    }
  };

  // ---------------------------------------------------------------- what is tested

  const copy = (value) => JSON.parse(JSON.stringify(value));
  const store = new CycleStore(copy(first));
  let short = false; // whether rows came in bins, by history
  store.clear = () => {
    CycleStore.prototype.clear.call(store);
    short = false;
  };
  store.applyHistory = (history) => {
    CycleStore.prototype.applyHistory.call(store, history);
    short = true;
  };
  const stream = new Stream(`cycle:${first.id}`, urls, store, () => undefined, first.seq);
  const asked = new Set();

  /** What was begun goes on by itself; a failure is the stream's own to mend. */
  const begin = (promise) => {
    const done = promise.catch(() => undefined).finally(() => asked.delete(done));
    asked.add(done);
  };

  /** Until nothing happens any more without time, messages or a held answer. */
  async function quiet() {
    for (let still = 0; still < 2; ) {
      await new Promise((go) => real.setTimeout.call(window, go, 0));
      const stands = waiting > 0 || (!asked.size && !stream._fetching);
      still = busy === waiting && stands ? still + 1 : 0;
    }
  }

  async function pass(milliseconds) {
    const until = now + milliseconds;
    for (;;) {
      const [next] = [...timers].filter(([, timer]) => timer.due <= until).sort(([, a], [, b]) => a.due - b.due);
      if (!next) break;
      timers.delete(next[0]);
      now = next[1].due;
      next[1].run();
      await quiet();
    }
    now = until;
  }

  // ---------------------------------------------------------------- what it is held against

  const truth = [];
  const apart = (value, level) => {
    const rows = Object.assign(new Rows(value.names), structuredClone(value.snapshot()), { level });
    // A row is a ghost when its last step is: of a bin that an attempt's first step cuts, all of it.
    const bin = (i) => `${rows.epoch[i]} ${rows._bin(i, level)}`;
    const ghosts = new Set(rows.ghost.flatMap((ghost, i) => (ghost ? [bin(i)] : [])));
    rows.ghost = rows.ghost.map((_, i) => ghosts.has(bin(i)));
    rows._merge();
    const { t, ...rest } = rows.snapshot();
    return { ...rest, t: t.map((x) => Math.round(x * 1e6) / 1e6) };
  };
  const said = (value) => ({ ...value.snapshot(), zero: value.zero });

  /** Only from frames, in order: as a page that is opened now. `most` rows before neighbours are merged. */
  function fresh(upTo, most) {
    const made = new CycleStore(copy(first));
    if (most) made.points.most = made.device.most = most;
    for (const frame of truth.slice(0, upTo)) made.apply(frame);
    return made;
  }

  /** What differs between the store and a fresh one of its number; `state`: the cycle, when all is said to be there. */
  function differences(state) {
    const wrong = [];
    const differ = (name, mine, theirs) => {
      const [a, b] = [mine, theirs].map((value) => JSON.stringify(value) ?? "undefined");
      if (a === b) return;
      let at = 0;
      while (a[at] === b[at]) at += 1;
      wrong.push(`${name}: ${a.slice(Math.max(0, at - 60), at + 60)} | ${b.slice(Math.max(0, at - 60), at + 60)}`);
    };
    for (const frame of [truth[store.last - 1], truth[store.last + 1]]) {
      if (frame && store.apply(frame)) wrong.push(`frame ${frame.seq} was applied out of turn`);
    }
    const mine = said(store), theirs = said(fresh(store.last, 0)), raw = fresh(store.last, Infinity);
    for (const name of ["points", "device"]) {
      const { level } = store[name];
      differ(`${name} merged`, apart(store[name], level), apart(raw[name], level));
    }
    // These are not from frames alone: the server's own word may be newer, until the frames are there too.
    const unlike = new Set(["cycle", "energy"]);
    if (short) for (const name of ["points", "device", "seconds"]) unlike.add(name);
    for (const name of Object.keys(theirs)) if (!unlike.has(name)) differ(name, mine[name], theirs[name]);
    if (state) {
      differ("last", store.last, truth.length);
      differ("energy", store.energy, theirs.energy);
      for (const name of ["state", "attempt", "epoch", "seq", "worker", "stage", "progress", "step", "total_steps"]) {
        differ(`cycle.${name}`, store.cycle[name], state[name]);
      }
    }
    return wrong;
  }

  /** What a zoom brings for some bins of the store, against the points themselves. */
  async function zoomed(from, share) {
    // A stream that was compacted has nothing finer than bins of 16 steps.
    const width = 2 ** Math.max(4, store.points.level), last = Math.max(0, ...store.points.step);
    const low = Math.floor((from * last) / width) * width;
    const high = (Math.floor((low + share * (last - low)) / width) + 1) * width - 1;
    const found = await stream.zoom(low, high), raw = fresh(store.last, Infinity).points;
    const inside = raw.step.map((step, i) => (step >= low && step <= high ? i : -1)).filter((i) => i >= 0);
    const pick = (column) => inside.map((i) => column[i]);
    for (const name of ["t", "step", "epoch", "ghost", "count", "gaps"]) raw[name] = pick(raw[name]);
    for (const kind of ["last", "low", "high"]) {
      raw[kind] = Object.fromEntries(raw.names.map((name) => [name, pick(raw[kind][name])]));
    }
    raw.total = inside.length;
    const [mine, theirs] = [found, raw].map((rows) => JSON.stringify(apart(rows, found.level)));
    return mine === theirs ? [] : [`steps ${low} to ${high}: ${mine.slice(0, 300)} | ${theirs.slice(0, 300)}`];
  }

  const then = (run) => async (...given) => {
    run(...given);
    await quiet();
    return store.last;
  };
  window.tab = {
    tell: (frames) => truth.push(...frames),
    differences,
    zoomed,
    pass,
    sub() {
      let words = null;
      Live.prototype._subscribe.call({ _say: (message) => (words = message) }, stream);
      return words;
    },
    hear: then((messages) => messages.forEach((message) => stream.hear(message))),
    poll: then(() => begin(stream.catchUp())),
    history: then(() => begin(stream._fetchHistory())),
    fail: (count) => void (failing = count),
    hold: () => void (gate ??= new Promise((go) => (open = go))),
    release: then(() => {
      open();
      gate = null;
    }),
  };
}
