// @ts-check
// One tab sends a file at a time; the others wait for their turn. Browsers offer this on safe addresses only, and
// elsewhere the server's own refusal of a second writer has to do.

/** @param {string} id */
const lockOf = (id) => `nocturne-upload-${id}`;

/**
 * @param {string} id @param {AbortSignal} [waiting] until this is aborted; without it the answer comes at once
 * @returns {Promise<(() => void)|null>} what gives it up again, or null when another tab has it
 */
export function claim(id, waiting) {
  if (!("locks" in navigator)) return Promise.resolve(() => undefined);
  return new Promise((resolve) => {
    /** @param {Lock|null} lock */
    const hold = (lock) => {
      if (!lock) return resolve(null);
      return new Promise((release) => resolve(() => release(undefined)));
    };
    const options = waiting ? { signal: waiting } : { ifAvailable: true };
    navigator.locks.request(lockOf(id), options, hold).catch(() => resolve(null));
  });
}
