// @ts-check
/** The six figures under the title: value, change, arrow and word. */
import { energyParts } from "./charts.js";
import { gettext as _, interpolate } from "./i18n.js";
import { MINUS, NONE, decimals, duration, isNumber, percent, score, signed } from "./format.js";

export class Strip {
  /** @param {HTMLElement} root @param {import("./charts.js").Figures} figures @param {() => number} seconds */
  constructor(root, figures, seconds) {
    this.root = root;
    this.figures = figures;
    this.seconds = seconds;
  }

  update() {
    const { store, newest, mode, old } = this.figures;
    const ended = store.latest("proof", "after"), split = ended ? "proof" : "watch";
    const before = store.latest(split, "before") ?? store.latest("proof", "before");
    const now = ended ?? store.latest("watch") ?? before;
    const told = store.verdict?.metrics ?? {};
    const since = store.cycle.kind === "wake" ? _("%(change)s since it woke") : _("%(change)s since waking");

    const kept = told.after?.retention ?? this.figures.retention(now);
    const had = told.before?.retention ?? this.figures.retention(before);
    this._set("retention", score(kept), this._change(kept, had, "up", since), old.length ? "" : _("no old task yet"));

    const lost = this.figures.worst(now), budget = store.cycle.forgetting_budget;
    const worst = told.after?.worst_forgetting ?? lost?.value ?? null;
    const word = told.after?.worst_task ?? lost?.task;
    const within = worst === null ? null : worst <= budget;
    this._set("forgetting", percent(worst), store.cycle.kind === "sleep" && within !== null
      ? { text: interpolate(within ? _("within %(budget)s") : _("over %(budget)s"), { budget: percent(budget) }), tone: within ? "good" : "bad", arrow: within ? "✓" : "▲" } : null,
      word ? `${word}` : "");

    if (newest) {
      const was = this.figures.score(newest, before), is = this.figures.score(newest, now);
      this._set("newest", score(is), this._change(is, was, "up", "%(change)s"), newest.name);
    }
    const pruned = store.decisions.filter((d) => d.name === "prune" && !d.ghost).at(-1);
    this._set("pruned", prunedText(pruned), pruned ? { text: pruned.kept ? _("kept") : _("reverted"), tone: pruned.kept ? "good" : "", arrow: pruned.kept ? "✓" : "↺" } : null,
      pruned ? "" : _("not yet"));
    const energy = energyParts(store.energy);
    this._set("energy", energy ? energy.amount : NONE, null, energy ? energy.how : _("not measured yet"));
    this._set("time", store.cycle.started_at ? duration(this.seconds()) : NONE, null, split === "watch" && now ? _("figures so far: watch probe") : ended ? _("figures: proof probe") : "");
    const heading = this.root.querySelector("[data-figure='retention'] .figure__name");
    if (heading && mode === "score") put(heading, old.length ? _("Mean score, old tasks") : _("Retention"));
  }

  /** `text` says "%(change)s" and since when. @returns {{text: string, tone: string, arrow: string}|null} */
  _change(now, before, good, text) {
    if (!isNumber(now) || !isNumber(before)) return null;
    const digits = decimals(Math.max(now, before));
    const delta = now - before, still = Math.abs(delta) < 0.5 * 10 ** -digits;
    const words = interpolate(text, { change: still ? "±0" : signed(delta, digits) });
    if (still) return { text: words, tone: "", arrow: "" };
    const better = delta > 0 === (good === "up");
    return { text: words, tone: better ? "good" : "bad", arrow: delta > 0 ? "▲" : "▼" };
  }

  _set(name, value, change, note) {
    const tile = this.root.querySelector(`[data-figure="${name}"]`);
    if (!tile) return;
    put(tile.querySelector(".figure__value"), value);
    const line = /** @type {HTMLElement} */ (tile.querySelector(".figure__note"));
    const key = JSON.stringify([change, note]);
    if (line.dataset.key === key) return;
    line.dataset.key = key;
    line.replaceChildren();
    if (change) {
      const chip = document.createElement("span");
      chip.className = `chip${change.tone ? ` chip--${change.tone}` : ""}`;
      if (change.arrow) {
        const arrow = document.createElement("span");
        arrow.className = "chip__arrow";
        arrow.setAttribute("aria-hidden", "true");
        arrow.textContent = change.arrow;
        chip.append(arrow);
      }
      chip.append(change.text);
      line.append(chip);
    }
    if (note) {
      const word = document.createElement("span");
      word.className = "muted clip";
      word.textContent = word.title = note;
      line.append(word);
    }
  }
}

/** The share of weights that the prune step proposed or left at zero. */
function prunedText(decision) {
  if (!decision) return NONE;
  const { sparsity, share, fraction, pruned } = decision.detail ?? {};
  const value = [sparsity, share, fraction, pruned].find((v) => isNumber(v) && v <= 1);
  return isNumber(value) ? percent(value) : decision.kept ? _("yes") : _("no");
}

/** @param {Element|null} node @param {string} text */
export function put(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}

export { MINUS };
