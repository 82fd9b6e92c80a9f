// @ts-check
// One file on its way: announce it, send its bytes, follow what becomes of it. Knows no page.

/**
 * @typedef {{code: string, message: string}} Problem
 * @typedef {{id: string, state: string, sha256: string, error: Problem|null, result: {id: string, url: string}|null}} Status
 * @typedef {{project: string, purpose: string, form: Record<string, unknown>, token: string}} Announcement
 */

/** A refusal with a sentence for the person. */
export class Refusal extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.message);
    this.code = problem.code;
  }
}

/** The connection broke, and nobody knows why. */
export class Broken extends Error {}

/** The person pressed Cancel. */
export class Cancelled extends Error {}

const FOLLOW_MS = 600;

/** @param {string} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {any} body @param {number} status */
function refusal(body, status) {
  const known = body && typeof body.message === "string" && typeof body.code === "string";
  return known ? new Refusal(body) : new Broken(`HTTP ${status}`);
}

/**
 * Room is asked for before the first byte is sent.
 * @param {File} file @param {Announcement} about @returns {Promise<Status>}
 */
export async function announce(file, about) {
  const { project, purpose, form, token } = about;
  let answer;
  try {
    answer = await fetch("/upload/", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": token },
      body: JSON.stringify({ project, purpose, filename: file.name, size: file.size, form }),
    });
  } catch {
    throw new Broken("announce");
  }
  const body = parsed(await answer.text());
  if (!answer.ok) throw refusal(body, answer.status);
  return body;
}

/**
 * XMLHttpRequest, because fetch tells nothing of what was sent so far.
 * @param {File} file @param {string} id @param {string} token
 * @param {(sent: number) => void} onProgress @param {AbortSignal} signal
 * @returns {Promise<Status>}
 */
export function send(file, id, token, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `/upload/${id}`);
    request.setRequestHeader("X-CSRFToken", token);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      const body = parsed(request.responseText);
      if (request.status === 200 && body) resolve(body);
      else reject(refusal(body, request.status));
    });
    request.addEventListener("error", () => void explain(id).then(reject));
    request.addEventListener("abort", () => reject(new Cancelled("cancelled")));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

/** Why sending ended early: the server may have said it where the browser did not read it. @param {string} id */
async function explain(id) {
  try {
    const status = await look(id);
    if (status.error) return new Refusal(status.error);
  } catch {
    // The server is out of reach; the page says that the connection broke.
  }
  return new Broken("send");
}

/** @param {string} id @param {string} token */
export async function forget(id, token) {
  await fetch(`/upload/${id}`, { method: "DELETE", headers: { "X-CSRFToken": token } }).catch(() => undefined);
}

/** @param {string} id @returns {Promise<Status>} */
async function look(id) {
  const answer = await fetch(`/api/uploads/${id}`, { headers: { Accept: "application/json" }, cache: "no-store" });
  const body = parsed(await answer.text());
  if (answer.status >= 500) throw new Broken("status");
  if (!answer.ok) throw refusal(body, answer.status);
  return body;
}

/**
 * Ask until the file is ready or refused. A server that is away for a while is asked again: the file is safe there.
 * @param {string} id @param {() => void} onSilence
 * @returns {Promise<Status>}
 */
export async function follow(id, onSilence) {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
    let status;
    try {
      status = await look(id);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      onSilence();
      continue;
    }
    if (status.error) throw new Refusal(status.error);
    if (status.state === "ready") return status;
  }
}
