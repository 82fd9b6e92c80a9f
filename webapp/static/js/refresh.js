// @ts-check
// Pieces marked [data-refresh="seconds"] are fetched again while the page is looked at. A piece is exchanged only
// when it differs, so nothing moves when nothing happened; what somebody works in is left alone. In a piece that is
// marked [data-morph] as well, only what differs is changed, and focus and selection stay.
import { clock } from "./format.js";
import { morph } from "./morph.js";
import { localise } from "./time.js";

/** @param {Element} piece */
function busy(piece) {
  const active = document.activeElement;
  if (active instanceof HTMLElement && piece.contains(active) && active.matches("input, select, textarea, summary")) {
    return true;
  }
  // A press that spans the exchange would be lost.
  return piece.querySelector("dialog[open], details[open], :active") !== null;
}

/**
 * What a piece says, without what differs from one answer to the next though nothing happened: a row that follows the
 * stream knows more than its number says, a form's token is masked anew each time, and a script writes the moments.
 * @param {Element} piece
 */
function said(piece) {
  return piece.outerHTML
    .replace(/ data-seq="\d+"/g, "")
    .replace(/(csrfmiddlewaretoken" value=")[^"]*/g, "$1")
    .replace(/(<time datetime="[^"]*" data-when="\w+")[^>]*>[^<]*/g, "$1>");
}

/** What the server said last of each piece. @type {Map<string, string>} */
const served = new Map();
for (const piece of document.querySelectorAll("[data-refresh]")) served.set(piece.id, said(piece));

/** What a link or a button is there for, by which it is found again. @param {Element|null} element */
function purpose(element) {
  if (element instanceof HTMLAnchorElement) return ["a", element.getAttribute("href")].join();
  if (!(element instanceof HTMLButtonElement)) return "";
  const { form, name, value, dataset } = element;
  if (dataset.openDialog) return ["dialog", dataset.openDialog].join();
  return form ? ["form", form.getAttribute("action"), name, value].join() : "";
}

/** @param {Element} old @param {Element} fresh */
function exchange(old, fresh) {
  if (old.hasAttribute("data-morph")) {
    morph(old, fresh);
    localise(old);
    return;
  }
  const active = document.activeElement;
  const wanted = old.contains(active) ? purpose(active) : "";
  // The same number of progress bars: move their values, so that they glide.
  const bars = old.querySelectorAll("progress");
  const next = [...fresh.querySelectorAll("progress")].map((bar) => bar.value);
  const values = [...bars].map((bar) => bar.value);
  old.replaceWith(fresh);
  localise(fresh);
  const shown = fresh.querySelectorAll("progress");
  if (values.length === next.length) {
    shown.forEach((bar, index) => {
      bar.value = values[index];
      requestAnimationFrame(() => requestAnimationFrame(() => (bar.value = next[index])));
    });
  }
  const again = wanted ? [...fresh.querySelectorAll("a, button")].find((one) => purpose(one) === wanted) : null;
  if (again instanceof HTMLElement) again.focus({ preventScroll: true });
}

/** @returns {Promise<boolean>} whether the page shows what the server has now */
async function refresh() {
  if (document.hidden) return true;
  const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, cache: "no-store" });
  if (!answer.ok || answer.redirected) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-refresh]")) {
    const fresh = page.getElementById(old.id);
    if (!fresh || busy(old)) continue;
    const text = said(fresh);
    if (served.get(old.id) === text) continue;
    served.set(old.id, text);
    exchange(old, document.adoptNode(fresh));
  }
  document.dispatchEvent(new Event("refreshed"));
  return true;
}

let soon = 0;
/** Ask at once, though never twice within half a second: something happened that only the server can tell. */
export function refreshNow() {
  soon ||= window.setTimeout(() => {
    soon = 0;
    void refresh().catch(() => undefined);
  }, 500);
}

function wait() {
  const seconds = [...document.querySelectorAll("[data-refresh]")].map((piece) =>
    Number(piece.getAttribute("data-refresh")),
  );
  return seconds.length ? 1000 * Math.min(...seconds) : 0;
}

let failures = 0;
let told = new Date();
/** A page that cannot be renewed says since when. @param {boolean} fine */
function tell(fine) {
  failures = fine ? 0 : failures + 1;
  if (fine) told = new Date();
  const line = document.querySelector("[data-stale]");
  if (!(line instanceof HTMLElement)) return;
  line.hidden = failures < 2;
  const time = line.querySelector("time");
  if (time && !line.hidden) time.textContent = clock(told.getTime());
}

async function loop() {
  try {
    tell(await refresh());
  } catch {
    tell(false); // the page stays as it is and asks again
  }
  const ms = wait();
  if (ms) setTimeout(loop, ms);
}

const first = wait();
if (first) setTimeout(loop, first);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) void refresh().catch(() => undefined);
});
