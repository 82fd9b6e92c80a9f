// @ts-check
/** All that support asks for, as one text: what the cycle is, where it ran, and its whole log. */
import { NONE } from "./format.js";
import { entryTime } from "./journal.js";

/**
 * @param {HTMLElement} root the cycle page's own element @param {import("./store.js").CycleStore} store
 * @returns {string} lines of text, oldest entry last, as the page shows them
 */
export function diagnostics(root, store) {
  const { cycle, journal } = store;
  const facts = [
    ["cycle", `${cycle.title ?? cycle.kind} (${cycle.id})`],
    ["state", [cycle.state, cycle.verdict].filter(Boolean).join(", ")],
    ["error", cycle.error ? `${cycle.error.code}: ${cycle.error.message}` : NONE],
    ["attempt", String(cycle.attempt ?? 0)],
    ["worker", cycle.worker ?? NONE],
    ["step", `${cycle.step ?? 0} of ${cycle.total_steps ?? 0}`],
    ["frames", `${store.last}, ${store.gaps} gaps`],
    ["started", cycle.started_at ?? NONE],
    ["ended", cycle.finished_at ?? NONE],
  ];
  const parts = facts.map(([name, value]) => `${name}: ${value}`);
  for (const group of root.querySelectorAll("[data-frozen]")) {
    parts.push("", `${/** @type {HTMLElement} */ (group).dataset.frozen}:`);
    for (const term of group.querySelectorAll("dt")) parts.push(`  ${term.textContent}: ${term.nextElementSibling?.textContent ?? ""}`);
  }
  parts.push("", "log:", ...journal.toReversed().map((entry) => `  ${entryTime(entry, cycle)} ${entry.level} ${entry.text}`));
  return parts.join("\n");
}
