// @ts-check
/**
 * One clock for everything that is drawn: at most ten times a second, on an animation frame, never while hidden.
 * What does not fit into a frame comes in the next one, so that a slow machine answers in between.
 */

const EVERY = 100, BUDGET = 8;
const dirty = new Set();
/** What the last frames had no room for. @type {(() => void)[]} */
let left = [];
let last = 0, timer = 0, asked = false;

/** Draw this soon; asking twice draws once. @param {() => void} draw */
export function redraw(draw) {
  if (!left.includes(draw)) dirty.add(draw);
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
    const began = performance.now();
    if (!left.length) {
      last = began;
      left = [...dirty];
      dirty.clear();
    }
    while (left.length && performance.now() - began < BUDGET) left.shift()?.();
    if (left.length) ask();
    else plan();
  });
}

/** A pause between two long pieces of work, in which the page may answer. @returns {Promise<void>} */
export function turn() {
  return new Promise((done) => setTimeout(done));
}

document.addEventListener("visibilitychange", plan);
