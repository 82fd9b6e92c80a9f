// @ts-check
/** The design tokens as a script sees them, read again when the theme changes. */

const listeners = new Set();
let cache = new Map();

/** A token's value, e.g. "accent". @param {string} name */
export function token(name) {
  let value = cache.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    cache.set(name, value);
  }
  return value;
}

/** The token with an opacity, as a canvas takes it. @param {string} name @param {number} alpha 0 to 1 */
export function faded(name, alpha) {
  const value = token(name);
  const hex = /^#([0-9a-f]{6})$/i.exec(value);
  if (!hex) return value;
  const n = parseInt(hex[1], 16);
  return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${alpha})`;
}

/** One colour a task, everywhere: by its place in the order of learning. @param {number} index from 0 */
export function taskToken(index) {
  return `task-${(index % 8) + 1}`;
}

/** From the ninth task on the colours come again, dashed. @param {number} index from 0 */
export function taskDash(index) {
  return [undefined, [7, 3], [2, 3], [7, 3, 2, 3]][Math.floor(index / 8) % 4];
}

/** @param {() => void} listener called when the colours may have changed */
export function onTheme(listener) {
  listeners.add(listener);
}

function changed() {
  cache = new Map();
  for (const listener of listeners) listener();
}

new MutationObserver(changed).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
