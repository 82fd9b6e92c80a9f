// @ts-check
// <time data-when> in the browser's zone and language; "ago" stays true while the page is open.

// The page's language, in the person's own variant of it (en-GB writes 3 Aug, en-US Aug 3).
const page = document.documentElement.lang || "en";
const language = navigator.languages.find((tag) => tag.split("-")[0] === page.split("-")[0]) ?? page;
/** @type {Record<string, Intl.DateTimeFormatOptions>} */
const STYLES = {
  time: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  datetime: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  long: { dateStyle: "medium", timeStyle: "long" },
};
const full = new Intl.DateTimeFormat(language, STYLES.long);
const relative = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "narrow" });

/**
 * "12s ago", "in 3 min.", in the page's language.
 * @param {number} ms from now; negative is the past
 */
export function agoText(ms) {
  const size = Math.abs(ms) / 1000;
  const sign = ms < 0 ? -1 : 1;
  if (size < 60) return relative.format(sign * Math.floor(size), "second");
  if (size < 3600) return relative.format(sign * Math.floor(size / 60), "minute");
  if (size < 48 * 3600) return relative.format(sign * Math.floor(size / 3600), "hour");
  return relative.format(sign * Math.floor(size / 86400), "day");
}

/** @param {HTMLTimeElement} element */
function write(element) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  const style = element.dataset.when ?? "datetime";
  const text =
    style === "ago"
      ? agoText(moment.getTime() - Date.now())
      : new Intl.DateTimeFormat(language, STYLES[style] ?? STYLES.datetime).format(moment);
  if (element.textContent !== text) element.textContent = text;
  if (!element.title) element.title = full.format(moment);
}

/** @param {ParentNode} [root] */
export function localise(root = document) {
  for (const element of root.querySelectorAll("time[data-when]")) {
    if (element instanceof HTMLTimeElement) write(element);
  }
}

export function startTimes() {
  localise();
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll('time[data-when="ago"]')) {
      if (element instanceof HTMLTimeElement) write(element);
    }
  }, 5000);
  for (const field of document.querySelectorAll("[data-browser-zone]")) {
    // What was never chosen starts in the browser's zone; what was saved stays.
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (field instanceof HTMLSelectElement) {
      if (![...field.options].some((option) => option.value === zone)) continue;
      field.value = zone;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    } else if (field instanceof HTMLInputElement && zone) {
      field.value = zone;
    }
  }
}
