// @ts-check
/**
 * How somebody looks at the page (axis, zoom, smoothing, hidden lines), as the part of the address behind #, so that a
 * link shows a colleague the same. What is at its default is left out.
 *
 * @typedef {{axis: "t"|"step", zoom: [number, number]|null, smooth: number, hidden: Record<string, string[]>}} View
 */

/** @param {string} hash @returns {View} */
export function readView(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const [from, to] = (said.get("zoom") ?? "").split(",").map(Number);
  const amount = Number(said.get("smooth"));
  /** @type {Record<string, string[]>} */ const hidden = {};
  for (const one of said.getAll("hide")) {
    const [chart, ...keys] = one.split(":");
    if (chart) hidden[chart] = keys.join(":").split("|").filter(Boolean);
  }
  return {
    axis: said.get("axis") === "step" ? "step" : "t",
    zoom: Number.isFinite(from) && Number.isFinite(to) && to > from ? [from, to] : null,
    smooth: amount > 0 && amount < 1 ? amount : 0,
    hidden,
  };
}

/** @param {View} view */
export function writeView(view) {
  const said = new URLSearchParams();
  if (view.axis === "step") said.set("axis", "step");
  if (view.zoom) said.set("zoom", view.zoom.map((x) => Number(x.toPrecision(7))).join(","));
  if (view.smooth) said.set("smooth", String(view.smooth));
  for (const [chart, keys] of Object.entries(view.hidden)) if (keys.length) said.append("hide", `${chart}:${keys.join("|")}`);
  const text = said.toString();
  return text ? `#${text}` : "";
}
