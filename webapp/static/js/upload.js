// @ts-check
// The upload panel: choose or drop a file, see it go, hear what became of it.
import { bytesText, integer } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { Preview } from "./preview.js";
import { isFolder, isGguf, isPyTorch, summarise } from "./tensors.js";
import { Row } from "./upload-row.js";
import { summary } from "./upload-words.js";
import { uploads } from "./uploads.js";

/** @typedef {import("./upload-item.js").Item} Item */
/** @typedef {import("./picker.js").LocalFile} LocalFile */

const SAY_MS = 15_000;

class Panel {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
    /** @type {File|LocalFile|null} */
    this.file = null;
    this.looksLike = "";
    /** @type {Item|null} */
    this.item = null;
    /** @type {Row|null} */
    this.row = null;
    this.saidAt = 0;
    this.ended = false; // what was chosen was sent already
    const preview = form.querySelector("[data-preview]");
    this.preview = preview instanceof HTMLElement ? new Preview(preview, () => this.sendable()) : null;
    this.input = /** @type {HTMLInputElement} */ (this.part("input[type=file]"));
    this.sendButton = /** @type {HTMLButtonElement} */ (this.part("[data-send]"));
    this.input.addEventListener("change", () => this.choose(this.input.files?.[0] ?? null));
    form.querySelector("[data-family]")?.addEventListener("change", () => this.askFor());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.file && !this.item) this.run(this.file);
    });
    // A refused file can be sent once more when something else is said of it.
    form.addEventListener("change", (event) => {
      const said = event.target instanceof Element && event.target.matches("[data-form], [data-purpose-field]");
      if (!said || this.part("[data-refused]").hidden) return;
      this.ended = false;
      this.sendable();
    });
    this.part("[data-again]").addEventListener("click", () => {
      this.reset();
      this.input.click();
    });
    this.startDrop(this.part("[data-drop]"));
    const picker = form.querySelector("dialog[data-picker]");
    if (picker instanceof HTMLDialogElement) this.startPicker(picker);
    uploads.addEventListener("change", (event) => {
      if (this.item && /** @type {CustomEvent} */ (event).detail === this.item) this.show(this.item);
    });
    // It may have been chosen before this script was there.
    if (this.input.files?.[0]) this.choose(this.input.files[0]);
  }

  /** @param {string} selector @returns {HTMLElement} */
  part(selector) {
    const found = this.form.querySelector(selector);
    if (!(found instanceof HTMLElement)) throw new Error(`no ${selector}`);
    return found;
  }

  /** @param {string} text */
  tell(text) {
    this.part("[data-say]").textContent = text;
  }

  /** @param {HTMLElement} zone */
  startDrop(zone) {
    let depth = 0;
    /** @param {boolean} on */
    const mark = (on) => zone.classList.toggle("drop--over", on);
    zone.addEventListener("dragenter", () => mark(++depth > 0));
    zone.addEventListener("dragleave", () => mark(--depth > 0));
    zone.addEventListener("drop", (event) => {
      depth = 0;
      mark(false);
      const file = event.dataTransfer?.files[0];
      if (file && !this.item) this.choose(file);
    });
    // A file dropped beside the zone must not replace the page.
    for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  }

  /** @param {HTMLDialogElement} dialog */
  startPicker(dialog) {
    const ready = import("./picker.js").then(({ Picker }) => new Picker(dialog, (file) => this.item || this.choose(file)));
    const show = async () => (await ready).show();
    this.part("[data-local-open]").addEventListener("click", () => void show());
    // It may have been opened before this script was there.
    if (dialog.open) void show();
  }

  /** @param {File|LocalFile|null} file */
  choose(file) {
    this.reset();
    this.file = file;
    const name = this.part("[data-file-name]");
    name.textContent = file ? `${file.name} · ${bytesText(file.size)}` : (name.dataset.empty ?? "");
    this.part("[data-drop]").classList.toggle("drop--chosen", file !== null);
    this.preview?.clear();
    this.sendable();
    if (file instanceof File && this.form.querySelector("[data-ask]")) void this.look(file);
    if (file instanceof File) void this.preview?.show(file, () => file === this.file);
  }

  /** Read the header here, and ask only for what it does not say. @param {File} file */
  async look(file) {
    const gguf = await isGguf(file), found = gguf ? null : await summarise(file), pytorch = !found && (await isPyTorch(file)), folder = !found && !pytorch && isFolder(file);
    if (file !== this.file) return;
    const local = this.part("[data-local]");
    if (found) {
      const about = interpolate(_("%(n)s tensors, %(values)s values"), { n: integer(found.tensors), values: integer(found.values) });
      const more = found.described ? interpolate(_("The file says that it is %(family)s."), { family: found.family ?? "" }) : "";
      local.textContent = interpolate(more ? _("%(about)s. %(more)s") : _("%(about)s."), { about, more });
    } else if (gguf) local.textContent = _("A GGUF model. The server reads its tensors and description; its chat template is never run.");
    else if (pytorch) local.textContent = _("Weights of PyTorch. The server reads the tensors; code in the file is never run.");
    else if (folder) local.textContent = _("A model's folder. The server reads its config, weights and tokenizer; code in it is never run.");
    else local.textContent = _("This does not look like safetensors. The server will say what it is.");
    local.hidden = false;
    if (found ? !found.described : pytorch || folder) this.ask(found?.looksLike ?? (folder ? "folder" : ""));
  }

  /** @param {string} looksLike */
  ask(looksLike) {
    const ask = this.form.querySelector("[data-ask]");
    if (!(ask instanceof HTMLElement)) return;
    ask.hidden = false;
    this.looksLike = looksLike;
    this.askFor();
    this.part("[data-ask-words]").textContent = looksLike === "folder"
      ? _("Only if there is no config.json in it: which family is it?")
      : _("The file does not say all about its model, so please tell.");
  }

  /** Show the questions of the chosen family, else of the one that the tensors look like. */
  askFor() {
    const chosen = this.form.querySelector("[data-family]");
    const family = (chosen instanceof HTMLSelectElement && chosen.value) || this.looksLike;
    for (const field of this.form.querySelectorAll("[data-families]")) {
      if (!(field instanceof HTMLElement)) continue;
      field.hidden = family !== "" && !(field.dataset.families ?? "").split(" ").includes(family);
    }
  }

  reset() {
    for (const name of ["run", "refused", "ready", "local"]) {
      const element = this.form.querySelector(`[data-${name}]`);
      if (element instanceof HTMLElement) element.hidden = true;
    }
    const ask = this.form.querySelector("[data-ask]");
    if (ask instanceof HTMLElement) ask.hidden = true;
    this.stage("");
    this.ended = false;
    this.sendable();
  }

  /** A file can be sent when there is one and it was said what is in it. */
  sendable() {
    if (!this.item) this.sendButton.disabled = !this.file || this.ended || Boolean(this.preview?.unsaid);
  }

  /** What the visible fields say, as {"config": {"activation": "relu"}, ...}. */
  fields() {
    /** @type {Record<string, any>} */
    const form = {};
    for (const field of this.form.querySelectorAll("[data-form]")) {
      if (!(field instanceof HTMLInputElement || field instanceof HTMLSelectElement)) continue;
      const text = field.value.trim();
      if (!text || field.closest("[hidden]")) continue;
      const names = (field.dataset.form ?? "").split(".");
      const last = names.pop() ?? "";
      let at = form;
      for (const name of names) at = at[name] ??= {};
      const number = Number(text.replace(",", "."));
      at[last] = "number" in field.dataset && Number.isFinite(number) ? number : text;
    }
    return form;
  }

  purpose() {
    const field = this.form.querySelector("[data-purpose-field]");
    return field instanceof HTMLSelectElement ? field.value : (this.form.dataset.purpose ?? "");
  }

  /** @param {string} name "receiving", "verifying", "ready", or "" for none */
  stage(name) {
    let before = true;
    for (const step of this.form.querySelectorAll("[data-step]")) {
      const here = step.getAttribute("data-step") === name;
      if (here) before = false;
      step.classList.toggle("steps__done", before && name !== "" && !here);
      if (here) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    }
  }

  /** @param {boolean} on */
  lock(on) {
    for (const field of this.form.querySelectorAll("input, select, [data-send], [data-local-open]")) {
      if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement || field instanceof HTMLButtonElement) {
        field.disabled = on;
      }
    }
  }

  /** @param {File|LocalFile} file */
  run(file) {
    for (const name of ["refused", "ready"]) this.part(`[data-${name}]`).hidden = true;
    const about = { project: this.form.dataset.project ?? "", purpose: this.purpose(), form: this.fields() };
    this.lock(true);
    const item = (this.item = file instanceof File ? uploads.begin(file, about) : uploads.copy(file, about));
    item.here = true;
    this.row = new Row(item);
    this.part("[data-row]").replaceChildren(this.row.element);
    this.part("[data-run]").hidden = false;
    this.show(item);
  }

  /** @param {Item} item */
  show(item) {
    this.row?.show();
    if (!item.ended) {
      this.stage(item.phase === "verifying" ? "verifying" : "receiving");
      if (performance.now() - this.saidAt < SAY_MS) return;
      this.saidAt = performance.now();
      return this.tell(summary([item]));
    }
    this.item = null;
    if (item.phase === "ready") this.ready(item);
    else if (item.phase === "refused") this.refused(item);
    else this.cancelled();
    if (item.phase !== "over") uploads.dismiss(item); // it was seen here, so no drawer needs to tell it
    this.lock(false);
    // Nobody here could look into a file of the server's: what it does not say is asked when that was the reason.
    const unread = item.phase === "refused" && this.file !== null && !(this.file instanceof File);
    if (unread) this.ask("");
    this.ended = !unread;
    this.sendable();
  }

  /** @param {Item} item */
  ready(item) {
    this.stage("ready");
    const link = /** @type {HTMLAnchorElement} */ (this.part("[data-ready-link]"));
    link.href = item.url;
    this.part("[data-ready]").hidden = false;
    this.tell(_("Ready"));
    link.focus();
  }

  /** @param {Item} item */
  refused(item) {
    this.clear();
    this.part("[data-refused-words]").textContent = item.problem?.message ?? "";
    this.part("[data-refused-code]").textContent = item.problem?.code ?? "";
    const lines = /** @type {HTMLAnchorElement} */ (this.part("[data-refused-lines]"));
    lines.hidden = item.url === "";
    lines.href = item.url;
    const refused = this.part("[data-refused]");
    refused.hidden = false;
    refused.focus();
  }

  clear() {
    this.row = null;
    this.part("[data-row]").replaceChildren();
    this.part("[data-run]").hidden = true;
  }

  cancelled() {
    this.clear();
    const local = this.part("[data-local]");
    local.textContent = _("Cancelled. Nothing was kept.");
    local.hidden = false;
    this.tell(local.textContent);
  }
}

/** The transform: presets fill the three numbers in. @param {HTMLFormElement} form */
function startPresets(form) {
  const preset = form.querySelector("[data-preset]");
  const numbers = form.querySelector("[data-transform]");
  if (!(preset instanceof HTMLSelectElement) || !(numbers instanceof HTMLElement)) return;
  const fill = () => {
    const option = preset.selectedOptions[0];
    numbers.hidden = !("scale" in option.dataset);
    for (const name of ["scale", "mean", "sd"]) {
      const field = numbers.querySelector(`[data-form="transform.${name}"]`);
      if (field instanceof HTMLInputElement) field.value = String(Number(Number(option.dataset[name] ?? 0).toPrecision(12)));
    }
  };
  preset.addEventListener("change", fill);
  fill();
}

/** The buttons beside each set choose its task and use in the panel. @param {HTMLFormElement} form */
function startTargets(form) {
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("[data-target-task]") : null;
    const task = form.querySelector('[data-form="task"]'), use = form.querySelector("[data-purpose-field]");
    if (!(link instanceof HTMLElement) || !(task instanceof HTMLSelectElement) || !(use instanceof HTMLSelectElement)) return;
    event.preventDefault();
    if (task.disabled) return;
    task.value = link.dataset.targetTask ?? "";
    use.value = link.dataset.targetUse ?? "";
    use.dispatchEvent(new Event("change", { bubbles: true }));
    form.scrollIntoView({ block: "nearest" });
    form.querySelector("input")?.blur();
    /** @type {HTMLElement|null} */ (form.querySelector("input[type=file]"))?.focus();
  });
}

for (const form of document.querySelectorAll("form[data-upload]")) {
  if (!(form instanceof HTMLFormElement)) continue;
  new Panel(form);
  startPresets(form);
  startTargets(form);
}
