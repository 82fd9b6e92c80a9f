// @ts-check
// Zoom without a mouse: a finger drawn over a chart, or keys while it has the focus.
import { gettext as _, interpolate } from "./i18n.js";

const STEP = 0.2, CLOSER = 0.5, LEAST_PX = 12;

/** What a key makes of a range. @type {Record<string, (from: number, to: number) => [number, number]>} */
const KEYS = {
  ArrowLeft: (from, to) => [from - STEP * (to - from), to - STEP * (to - from)],
  ArrowRight: (from, to) => [from + STEP * (to - from), to + STEP * (to - from)],
  "+": (from, to) => around(from, to, CLOSER),
  "=": (from, to) => around(from, to, CLOSER),
  "-": (from, to) => around(from, to, 1 / CLOSER),
};

/** @param {number} from @param {number} to @param {number} factor @returns {[number, number]} */
function around(from, to, factor) {
  const middle = (from + to) / 2, half = ((to - from) / 2) * factor;
  return [middle - half, middle + half];
}

/** @param {import("./chart.js").Chart} chart */
export function zoomWithoutMouse(chart) {
  const { host } = chart;
  host.tabIndex = 0;
  host.setAttribute("role", "group");
  host.setAttribute("aria-label", interpolate(_("%(chart)s: plus and minus zoom, arrows move, zero follows again"), {
    chart: chart.card.querySelector("h3")?.textContent ?? "",
  }));
  host.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "0") {
      event.preventDefault();
      chart.followAgain();
      return;
    }
    const { min, max } = chart.plot.scales.x, change = KEYS[event.key];
    if (!change || !Number.isFinite(min) || !Number.isFinite(max)) return;
    event.preventDefault();
    const [from, to] = change(min, max), end = Math.max(chart.shared.edge(), max);
    // The beginning and the end stay in reach: there is nothing beyond.
    const left = Math.max(0, Math.min(from, end - (to - from)));
    chart.zoomByHand(left, Math.min(end, left + (to - from)));
  });
}

/** The plot itself is made anew when its axis turns. @param {import("./chart.js").Chart} chart */
export function zoomByFinger(chart) {
  const { plot } = chart, { over } = plot;
  over.style.touchAction = "pan-y";
  /** @type {number|null} */ let from = null;
  const at = (/** @type {PointerEvent} */ event) => {
    const box = over.getBoundingClientRect();
    return Math.max(0, Math.min(box.width, event.clientX - box.left));
  };
  over.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" && event.isPrimary) from = at(event);
  });
  over.addEventListener("pointermove", (event) => {
    if (from === null || event.pointerType !== "touch") return;
    const to = at(event);
    plot.setSelect({ left: Math.min(from, to), width: Math.abs(to - from), top: 0, height: over.clientHeight }, false);
  });
  const end = (/** @type {PointerEvent} */ event) => {
    if (from === null || event.pointerType !== "touch") return;
    const [left, right] = [from, at(event)].sort((a, b) => a - b);
    from = null;
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (event.type === "pointerup" && right - left >= LEAST_PX) chart.zoomByHand(plot.posToVal(left, "x"), plot.posToVal(right, "x"));
  };
  over.addEventListener("pointerup", end);
  over.addEventListener("pointercancel", end);
}
