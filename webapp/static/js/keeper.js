// @ts-check
/**
 * Keeps the files of running uploads from one page to the next: every click in Nocturne loads a new page, and a File
 * that was chosen on the old one is gone with it. A service worker outlives pages, and what is posted to it is a
 * reference, so nothing is copied. The other ways were tried with a file of 2 GB in Chromium: IndexedDB copies all of
 * it to its own folder, a shared worker ends with the last page that knows it, and handles of files exist in Chromium
 * only and must be chosen with another dialog. Without a service worker (plain http on another computer, some private
 * windows) the drawer asks for the same file again.
 */

const ANSWER_MS = 2000;

/** @type {ServiceWorker|null} */
let worker = null;
/** @type {Promise<ServiceWorker|null>|null} */
let starting = null;

/** Whether files are kept at all; known after `startKeeper`. */
export function keeps() {
  return worker !== null;
}

/** Safe to call again. */
export function startKeeper() {
  starting ??= start();
  return starting;
}

async function start() {
  if (!("serviceWorker" in navigator)) return null;
  try {
    const script = new URL("./keeper-worker.js", import.meta.url), scope = new URL("./keeper/", import.meta.url);
    const found = await navigator.serviceWorker.register(script, { scope: scope.pathname });
    worker = found.active ?? found.waiting ?? found.installing;
  } catch {
    worker = null; // a private window, or switched off
  }
  return worker;
}

/** At once, so that it can be called while the page goes away. @param {string} id @param {File} file */
export function park(id, file) {
  worker?.postMessage({ act: "park", id, file });
}

/** @param {string} id @returns {Promise<File|null>} */
export async function take(id) {
  const keeper = await startKeeper();
  if (!keeper) return null;
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    setTimeout(resolve, ANSWER_MS, null);
    port1.onmessage = (event) => resolve(event.data);
    keeper.postMessage({ act: "take", id }, [port2]);
  });
}

/** @param {string} id */
export function drop(id) {
  worker?.postMessage({ act: "drop", id });
}
