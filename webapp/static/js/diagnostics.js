// @ts-check
/** All that support asks for, as one text: what the cycle is, where it ran, and its whole log. */
import { NONE } from "./format.js";
import { gettext as _, interpolate, ngettext } from "./i18n.js";
import { entryTime } from "./journal.js";

/**
 * @param {HTMLElement} root the cycle page's own element @param {import("./store.js").CycleStore} store
 * @returns {string} lines of text, oldest entry last, as the page shows them
 */
export function diagnostics(root, store) {
  const { cycle, journal } = store;
  const facts = [
    [_("cycle"), `${cycle.title ?? cycle.kind} (${cycle.id})`],
    [_("state"), [cycle.state, cycle.verdict].filter(Boolean).join(", ")],
    [_("error"), cycle.error ? `${cycle.error.code}: ${cycle.error.message}` : NONE],
    [_("attempt"), String(cycle.attempt ?? 0)],
    [_("worker"), cycle.worker ?? NONE],
    [_("step"), interpolate(_("%(step)s of %(total)s"), { step: cycle.step ?? 0, total: cycle.total_steps ?? 0 })],
    [_("frames"), interpolate(ngettext("%(frames)s, %(n)s gap", "%(frames)s, %(n)s gaps", store.gaps), { frames: store.last, n: store.gaps })],
    [_("started"), cycle.started_at ?? NONE],
    [_("ended"), cycle.finished_at ?? NONE],
  ];
  const parts = facts.map(([name, value]) => `${name}: ${value}`);
  for (const group of root.querySelectorAll("[data-frozen]")) {
    parts.push("", `${/** @type {HTMLElement} */ (group).dataset.frozen}:`);
    for (const term of group.querySelectorAll("dt")) parts.push(`  ${term.textContent}: ${term.nextElementSibling?.textContent ?? ""}`);
  }
  parts.push("", _("log:"), ...journal.toReversed().map((entry) => `  ${entryTime(entry, cycle)} ${entry.level} ${entry.text}`));
  return parts.join("\n");
}
