// @ts-check
/** The states of a cycle: what they are called, and which of them are alike. */
import { gettext as _ } from "./i18n.js";

/** A worker holds it. */
export const ACTIVE = new Set(["starting", "running", "pausing", "cancelling", "publishing"]);
export const TERMINAL = new Set(["succeeded", "rejected", "cancelled", "failed", "quarantined"]);
/** Something has to happen before a worker takes it. */
export const STILL = new Set(["scheduled", "queued", "blocked", "paused"]);

/** @type {Record<string, string>} */
export const STATES = {
  scheduled: _("Scheduled"), queued: _("Waiting"), blocked: _("Blocked"), starting: _("Starting"), running: _("Running"),
  pausing: _("Pausing"), paused: _("Paused"), cancelling: _("Cancelling"), publishing: _("Publishing"), succeeded: _("Succeeded"),
  rejected: _("Rejected"), cancelled: _("Cancelled"), failed: _("Failed"), quarantined: _("Quarantined"),
};

/** @type {Record<string, string>} */
export const VERDICTS = { improved: _("Improved"), unchanged: _("Unchanged"), rejected: _("Rejected") };
