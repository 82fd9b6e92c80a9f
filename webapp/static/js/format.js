// @ts-check
/** Numbers, durations and clock times as the page writes them. */

const locale = document.documentElement.lang || undefined;
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const clockShort = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockLong = new Intl.DateTimeFormat(locale, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

export const MINUS = "−";
export const NONE = "–";

/** @param {number|null|undefined} v a fraction of 1 */
export function score(v) {
  return isNumber(v) ? v.toFixed(2) : NONE;
}

/** A fraction of 1 as a percentage with one decimal. @param {number|null|undefined} v */
export function percent(v) {
  return isNumber(v) ? `${signed(v * 100, 1, false)} %` : NONE;
}

/** With a sign, and a real minus. @param {number} v @param {number} digits */
export function signed(v, digits = 2, plus = true) {
  const rounded = Number(v.toFixed(digits));
  const text = Math.abs(rounded).toFixed(digits);
  if (rounded < 0) return MINUS + text;
  return plus && rounded > 0 ? `+${text}` : text;
}

/** @param {number} n */
export function integer(n) {
  return whole.format(n);
}

/** Four significant digits, for losses. @param {number|null|undefined} v */
export function compact(v) {
  if (!isNumber(v)) return NONE;
  const size = Math.abs(v);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return v.toExponential(1).replace("-", MINUS);
  return String(Number(v.toPrecision(3))).replace("-", MINUS);
}

/** Seconds on an axis: 0:05, 12:30, 1:02:03. @param {number} seconds */
export function elapsed(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
  const tail = String(s % 60).padStart(2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${tail}` : `${m}:${tail}`;
}

/** A length of time in words: 42 s, 3 min 5 s, 2 h 10 min. @param {number} seconds */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  const m = Math.round(s / 60);
  return m % 60 ? `${Math.floor(m / 60)} h ${m % 60} min` : `${m / 60} h`;
}

/** How long ago, short: 0.4 s, 12 s, 3 min. @param {number} ms */
export function age(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  return s < 90 ? `${Math.round(s)} s` : duration(s).replace(/ \d+ s$/, "");
}

/** @param {number} ms since 1970 */
export function clock(ms, seconds = false) {
  return (seconds ? clockLong : clockShort).format(new Date(ms));
}

/**
 * What is left, as an honest range; empty before 3 % or 20 s.
 * The two ends come from the mean pace and from the pace of late, widened by a seventh.
 * @param {number} progress @param {number} seconds so far @param {number|null} recent progress a second, of late
 */
export function timeLeft(progress, seconds, recent) {
  if (progress < 0.03 || seconds < 20 || progress >= 1) return "";
  const mean = ((1 - progress) * seconds) / progress;
  const late = recent && recent > 0 ? (1 - progress) / recent : mean;
  const low = Math.min(mean, late) * 0.86, high = Math.max(mean, late) * 1.16;
  if (high < 60) {
    const from = Math.max(5, Math.floor(low / 5) * 5), to = Math.max(10, Math.ceil(high / 5) * 5);
    return from === to ? `about ${to} s left` : `${from}–${to} s left`;
  }
  const unit = high < 5400 ? 60 : 3600, word = unit === 60 ? "min" : "h";
  const from = Math.floor(low / unit), to = Math.ceil(high / unit);
  if (from < 1) return `less than ${to} ${word} left`;
  return from === to ? `about ${to} ${word} left` : `${from}–${to} ${word} left`;
}

/** @param {unknown} v @returns {v is number} */
export function isNumber(v) {
  return typeof v === "number" && Number.isFinite(v);
}

/** 1st, 2nd, 3rd. @param {number} n */
export function ordinal(n) {
  const tail = n % 100 >= 11 && n % 100 <= 13 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] ?? "th";
  return `${n}${tail}`;
}

/** A size in decimal units, as the server writes it. @param {number} bytes */
export function bytesText(bytes) {
  let value = bytes;
  for (const unit of ["bytes", "KB", "MB", "GB"]) {
    if (value < 1000) return unit === "bytes" ? `${Math.round(value)} ${unit}` : `${value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return `${value.toFixed(1)} TB`;
}
