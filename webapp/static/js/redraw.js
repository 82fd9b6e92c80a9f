// @ts-check
/**
 * One clock for everything that is drawn: at most ten times a second, on an animation frame, never while hidden.
 * What does not fit into a frame comes in the next one, so that a slow machine answers in between; and a machine on which
 * a picture takes long is asked for fewer of them, so that none queues up behind another.
 */

const EVERY = 100, SELDOM = 1000, BUDGET = 8;
/** Of what a picture takes, so much is left to everything else. */
const SHARE = 2;
let every = EVERY;
const dirty = new Set();
/** What the last frames had no room for. @type {(() => void)[]} */
let left = [];
let last = 0, timer = 0, asked = false;

/**
 * Draw this soon; asking twice draws once.
 * @param {() => void} draw @param {boolean} [again] in the next picture too, when it still waits in this one
 */
export function redraw(draw, again = false) {
  if (again || !left.includes(draw)) dirty.add(draw);
  plan();
}

function plan() {
  if (asked || timer || document.hidden || !dirty.size) return;
  const wait = last + every - performance.now();
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
    const began = performance.now();
    if (!left.length) {
      last = began;
      left = [...dirty];
      dirty.clear();
    }
    while (left.length && performance.now() - began < BUDGET) left.shift()?.();
    if (left.length) ask();
    else {
      measure(last);
      plan();
    }
  });
}

/** The next animation frame comes when this picture is on its way to the screen. @param {number} began */
function measure(began) {
  requestAnimationFrame(() => {
    const took = performance.now() - began;
    every = Math.min(SELDOM, Math.max(EVERY, 0.5 * every + 0.5 * SHARE * took));
  });
}

/** A pause between two long pieces of work, in which the page may answer. @returns {Promise<void>} */
export function turn() {
  return new Promise((done) => setTimeout(done));
}

document.addEventListener("visibilitychange", plan);
