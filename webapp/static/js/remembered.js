// @ts-check
// What this browser knows of its own uploads: which file it was, and whether the person stopped it.

const KEY = "nocturne-uploads";
/** The server has given up an upload long before. */
const KEPT_MS = 7 * 86_400_000;

/** @typedef {{print: string, at: number, paused?: boolean}} Note `at`: ms since 1970 */

/** @returns {Record<string, Note>} */
function all() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {};
  } catch {
    return {};
  }
}

/** @param {Record<string, Note>} notes */
function write(notes) {
  try {
    localStorage.setItem(KEY, JSON.stringify(notes));
  } catch {
    // Storage is full or switched off: the upload itself goes on.
  }
}

/** The same file for the same purpose; its content is not read for that. @param {File} file @param {string} project @param {string} purpose */
export function fingerprint(file, project, purpose) {
  return JSON.stringify([file.name, file.size, file.lastModified, project, purpose]);
}

/** Whether a file is the one that was noted. @param {Note} note @param {File} file */
export function isSame(note, file) {
  const [name, size, changed] = JSON.parse(note.print);
  return name === file.name && size === file.size && changed === file.lastModified;
}

/** @param {string} id @returns {Note|null} */
export function recall(id) {
  return all()[id] ?? null;
}

/** @param {string} id @param {string} print @param {boolean} [paused] */
export function remember(id, print, paused = false) {
  const now = Date.now(), fresh = Object.entries(all()).filter(([, note]) => now - note.at < KEPT_MS);
  write({ ...Object.fromEntries(fresh), [id]: { print, at: now, paused } });
}

/** @param {string} id */
export function forget(id) {
  const { [id]: _gone, ...rest } = all();
  write(rest);
}
