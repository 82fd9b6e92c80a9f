// @ts-check
/** The stages of a night: which lane of the hypnogram they lie in and which colour they have. */

/** @type {Record<string, {lane: string, token: string, title: string}>} */
export const STAGES = {
  "wake probe": { lane: "Awake", token: "stage-awake", title: "Wake probe" },
  "morning probe": { lane: "Awake", token: "stage-awake", title: "Morning probe" },
  scoring: { lane: "Scoring", token: "stage-awake", title: "Scoring" },
  learning: { lane: "Learning", token: "stage-nrem", title: "Learning" },
  merging: { lane: "Merging", token: "stage-merging", title: "Merging" },
  "REM dreaming": { lane: "REM dreaming", token: "stage-rem", title: "REM dreaming" },
  "NREM replay": { lane: "NREM replay", token: "stage-nrem", title: "NREM replay" },
  significance: { lane: "Downscaling", token: "stage-significance", title: "Significance" },
  downscaling: { lane: "Downscaling", token: "stage-downscaling", title: "Downscaling" },
};

/** @type {Record<string, string[]>} */
export const LANES = {
  sleep: ["Awake", "Merging", "REM dreaming", "NREM replay", "Downscaling"],
  wake: ["Awake", "Learning"],
  score: ["Scoring"],
};

/** @param {string} stage */
export function stageOf(stage) {
  return STAGES[stage] ?? { lane: "Awake", token: "stage-awake", title: stage };
}
