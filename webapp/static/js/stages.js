// @ts-check
/** The stages of a night: which lane of the hypnogram they lie in and which colour they have. */
import { gettext as _ } from "./i18n.js";

/** @type {Record<string, {lane: string, token: string, title: string}>} */
export const STAGES = {
  "wake probe": { lane: "Awake", token: "stage-awake", title: _("Wake probe") },
  "morning probe": { lane: "Awake", token: "stage-awake", title: _("Morning probe") },
  scoring: { lane: "Scoring", token: "stage-awake", title: _("Scoring") },
  learning: { lane: "Learning", token: "stage-nrem", title: _("Learning") },
  merging: { lane: "Merging", token: "stage-merging", title: _("Merging") },
  "REM dreaming": { lane: "REM dreaming", token: "stage-rem", title: _("REM dreaming") },
  "NREM replay": { lane: "NREM replay", token: "stage-nrem", title: _("NREM replay") },
  significance: { lane: "Downscaling", token: "stage-significance", title: _("Significance") },
  downscaling: { lane: "Downscaling", token: "stage-downscaling", title: _("Downscaling") },
};

/** @type {Record<string, string[]>} */
export const LANES = {
  sleep: ["Awake", "Merging", "REM dreaming", "NREM replay", "Downscaling"],
  wake: ["Awake", "Learning"],
  score: ["Scoring"],
};

/** What a lane is called, and in short. @type {Record<string, [string, string]>} */
const NAMES = {
  Awake: [_("Awake"), _("Awake")],
  Scoring: [_("Scoring"), _("Scoring")],
  Learning: [_("Learning"), _("Learning")],
  Merging: [_("Merging"), _("Merging")],
  "REM dreaming": [_("REM dreaming"), _("REM")],
  "NREM replay": [_("NREM replay"), _("NREM")],
  Downscaling: [_("Downscaling"), _("Downscaling")],
};

/** @param {string} lane @param {boolean} short */
export function laneName(lane, short) {
  return NAMES[lane][short ? 1 : 0];
}

/** @param {string} stage */
export function stageOf(stage) {
  return STAGES[stage] ?? { lane: "Awake", token: "stage-awake", title: stage };
}
