// @ts-check
/** One clock for everything that is drawn: at most ten times a second, on an animation frame, never while hidden. */

const EVERY = 100;
const dirty = new Set();
let last = 0, timer = 0, asked = false;

/** Draw this soon; asking twice draws once. @param {() => void} draw */
export function redraw(draw) {
  dirty.add(draw);
  plan();
}

function plan() {
  if (asked || timer || document.hidden || !dirty.size) return;
  const wait = last + EVERY - performance.now();
  if (wait > 0) {
    timer = window.setTimeout(() => {
      timer = 0;
      ask();
    }, wait);
  } else ask();
}

function ask() {
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    last = performance.now();
    const now = [...dirty];
    dirty.clear();
    for (const draw of now) draw();
    plan();
  });
}

document.addEventListener("visibilitychange", plan);
