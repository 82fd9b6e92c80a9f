// @ts-check
// Holds chosen files for the time between two pages; see keeper.js. It controls no page and touches no request.

/** Long enough to log in again in between; browsers end a worker that does nothing for half a minute. */
const HOLD_MS = 120_000;

/** @type {Map<string, File>} */
const kept = new Map();

addEventListener("message", (event) => {
  const message = /** @type {any} */ (event);
  const { act, id, file } = message.data;
  if (act === "take") message.ports[0].postMessage(kept.get(id) ?? null);
  else if (act === "drop") kept.delete(id);
  else if (act === "park") {
    kept.set(id, file);
    message.waitUntil(new Promise((resolve) => setTimeout(resolve, HOLD_MS)));
  }
});
