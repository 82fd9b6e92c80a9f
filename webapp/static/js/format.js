// @ts-check
/** Numbers, durations and clock times as the page writes them, in its language. What is exported never comes from here. */
import { gettext as _, interpolate, ngettext } from "./i18n.js";

const locale = document.documentElement.lang || undefined;
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const two = new Intl.NumberFormat(locale, { minimumIntegerDigits: 2 });
const ordinals = new Intl.PluralRules(locale, { type: "ordinal" });
const clockShort = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockLong = new Intl.DateTimeFormat(locale, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const dated = new Intl.DateTimeFormat(locale, {
  weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
/** By the digits that are always there. */
const writers = [0, 1, 2, 3, 4, 5, 6].map((least) => new Intl.NumberFormat(locale, {
  minimumFractionDigits: least, maximumFractionDigits: least || 20, useGrouping: false,
}));

export const MINUS = "−";
export const NONE = "–";
const SECONDS = _("%(n)s s"), MINUTES = _("%(n)s min"), HOURS = _("%(n)s h"), PERCENT = _("%(n)s %");

/** All of its digits, and no sign before a zero. @param {number} v */
export function plain(v) {
  return writers[0].format(v + 0);
}

/** So many decimals, rounded as toFixed does: Intl alone makes 1.01 of 1.005. @param {number} v @param {number} digits 1 to 6 */
export function fixed(v, digits) {
  return writers[digits].format(/** @type {any} */ (v.toFixed(digits)));
}

/** Two decimals; of what is small, as a language model's scores are, three that count. @param {number|null|undefined} v a fraction of 1 */
export function score(v) {
  return isNumber(v) ? fixed(v, decimals(v)) : NONE;
}

/** Of a score as the live view writes it; the server's pages have one more where it is large. @param {number} v */
export function decimals(v) {
  return v > 0 && v < 0.1 ? Math.min(6, 2 - Math.floor(Math.log10(v))) : 2;
}

/** The scores along an axis, all with the decimals that tell them apart, but two at least. @param {number[]} values */
export function scoresOf(values) {
  const whole = (/** @type {number} */ digits) => values.every((v) => Math.abs(v * 10 ** digits - Math.round(v * 10 ** digits)) < 1e-6);
  const digits = [2, 3, 4, 5].find(whole) ?? 6;
  return values.map((v) => fixed(v, digits));
}

/** A fraction of 1 as a percentage with one decimal. @param {number|null|undefined} v */
export function percent(v) {
  return isNumber(v) ? interpolate(PERCENT, { n: signed(v * 100, 1, false) }) : NONE;
}

/** The same with as few decimals as it has, for an axis. @param {number} v @param {0|1} most decimals */
export function shortPercent(v, most) {
  const n = Math.round(v * 10 ** (most + 2)) / 10 ** most;
  return interpolate(PERCENT, { n: (n < 0 ? MINUS : "") + plain(Math.abs(n)) });
}

/** With a sign, and a real minus. @param {number} v @param {number} digits 1 to 6 */
export function signed(v, digits = 2, plus = true) {
  const rounded = Number(v.toFixed(digits));
  const text = fixed(Math.abs(rounded), digits);
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
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return scientific(v);
  return (v < 0 ? MINUS : "") + plain(Number(size.toPrecision(3)));
}

/** 1.2e−5. @param {number} v */
export function scientific(v) {
  const [digits, power] = Math.abs(v).toExponential(1).split("e");
  return `${v < 0 ? "-" : ""}${fixed(Number(digits), 1)}e${power}`.replace("-", MINUS);
}

/** Seconds on an axis: 0:05, 12:30, 1:02:03. @param {number} seconds */
export function elapsed(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
  const tail = two.format(s % 60);
  return h ? `${plain(h)}:${two.format(m)}:${tail}` : `${plain(m)}:${tail}`;
}

/** A length of time in words: 42 s, 3 min 5 s, 2 h 10 min. @param {number} seconds @param {boolean} [rough] no seconds beside minutes */
export function duration(seconds, rough = false) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return interpolate(SECONDS, { n: plain(s) });
  if (s < 3600) {
    const min = plain(Math.floor(s / 60)), rest = rough ? 0 : s % 60;
    return rest ? interpolate(_("%(min)s min %(s)s s"), { min, s: plain(rest) }) : interpolate(MINUTES, { n: min });
  }
  const m = Math.round(s / 60), h = plain(Math.floor(m / 60));
  return m % 60 ? interpolate(_("%(h)s h %(min)s min"), { h, min: plain(m % 60) }) : interpolate(HOURS, { n: h });
}

/** How long ago, short: 0.4 s, 12 s, 3 min. @param {number} ms */
export function age(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return interpolate(SECONDS, { n: fixed(s, 1) });
  return s < 90 ? interpolate(SECONDS, { n: plain(Math.round(s)) }) : duration(s, true);
}

/** The clock's time, with the day when that is not today. @param {number} ms since 1970 */
export function moment(ms) {
  const at = new Date(ms);
  return at.toDateString() === new Date().toDateString() ? clock(ms) : dated.format(at);
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
  const span = (from, to, unit) => {
    const [text, n] = from < 1 ? [_("less than %(span)s left"), plain(to)]
      : from === to ? [_("about %(span)s left"), plain(to)] : [_("%(span)s left"), `${plain(from)}–${plain(to)}`];
    return interpolate(text, { span: interpolate(unit, { n }) });
  };
  if (high < 60) return span(Math.max(5, Math.floor(low / 5) * 5), Math.max(10, Math.ceil(high / 5) * 5), SECONDS);
  const unit = high < 5400 ? 60 : 3600;
  return span(Math.floor(low / unit), Math.ceil(high / unit), unit === 60 ? MINUTES : HOURS);
}

/** @param {unknown} v @returns {v is number} */
export function isNumber(v) {
  return typeof v === "number" && Number.isFinite(v);
}

/** @type {Record<string, string>} */
const PLACES = {
  // Translators: 1st, 2nd, 3rd, 4th. A language that tells fewer apart is asked for the last one only, or the first.
  one: _("%(n)sst"), two: _("%(n)snd"), few: _("%(n)srd"), other: _("%(n)sth"),
};

/** 1st, 2nd, 3rd. @param {number} n */
export function ordinal(n) {
  return interpolate(PLACES[ordinals.select(n)] ?? PLACES.other, { n: plain(n) });
}

const SIZES = [_("%(n)s KB"), _("%(n)s MB"), _("%(n)s GB"), _("%(n)s TB")];

/** A size in decimal units, as the server writes it. @param {number} bytes */
export function bytesText(bytes) {
  if (bytes < 1000) {
    const n = Math.round(bytes);
    return interpolate(ngettext("%(n)s byte", "%(n)s bytes", n), { n: plain(n) });
  }
  let value = bytes / 1000, at = 0;
  while (value >= 1000 && at < SIZES.length - 1) {
    value /= 1000;
    at += 1;
  }
  return interpolate(SIZES[at], { n: fixed(value, 1) });
}
