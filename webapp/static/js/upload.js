// @ts-check
// The upload panel: choose or drop a file, see it go, hear what became of it.
import { bytesText, fixed, integer, plain } from "./format.js";
import { gettext as _, interpolate } from "./i18n.js";
import { Pace } from "./pace.js";
import { isFolder, isGguf, isPyTorch, summarise } from "./tensors.js";
import { announce, Broken, Cancelled, follow, forget, Refusal, send } from "./transfer.js";

/** @type {Record<string, string>} */
const words = JSON.parse(document.getElementById("upload-words")?.textContent ?? "{}");
const SAY_EVERY_MS = 5000;

/** @param {string} key @param {Record<string, string>} [values] */
function say(key, values = {}) {
  return (words[key] ?? "").replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** @param {number} seconds */
function time(seconds) {
  const s = Math.max(1, Math.round(seconds));
  if (s < 90) return say("seconds", { n: plain(s) });
  return s < 5400 ? say("minutes", { n: plain(Math.round(s / 60)) }) : say("hours", { n: fixed(s / 3600, 1) });
}

class Panel {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    this.form = form;
    /** @type {File|null} */
    this.file = null;
    this.looksLike = "";
    /** @type {AbortController|null} */
    this.running = null;
    this.input = /** @type {HTMLInputElement} */ (this.part("input[type=file]"));
    this.sendButton = /** @type {HTMLButtonElement} */ (this.part("[data-send]"));
    this.bar = /** @type {HTMLProgressElement} */ (this.part("[data-bar]"));
    this.token = /** @type {HTMLInputElement} */ (this.part("input[name=csrfmiddlewaretoken]")).value;
    this.input.addEventListener("change", () => this.choose(this.input.files?.[0] ?? null));
    form.querySelector("[data-family]")?.addEventListener("change", () => this.askFor());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.file && !this.running) void this.run(this.file);
    });
    this.part("[data-cancel]").addEventListener("click", () => this.running?.abort());
    this.part("[data-again]").addEventListener("click", () => {
      this.reset();
      this.input.click();
    });
    this.startDrop(this.part("[data-drop]"));
    addEventListener("beforeunload", (event) => {
      if (this.running) event.preventDefault();
    });
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
      if (file && !this.running) this.choose(file);
    });
    // A file dropped beside the zone must not replace the page.
    for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  }

  /** @param {File|null} file */
  choose(file) {
    this.reset();
    this.file = file;
    const name = this.part("[data-file-name]");
    name.textContent = file ? `${file.name} · ${bytesText(file.size)}` : (name.dataset.empty ?? "");
    this.part("[data-drop]").classList.toggle("drop--chosen", file !== null);
    this.sendButton.disabled = !file;
    if (file && this.form.querySelector("[data-ask]")) void this.look(file);
  }

  /** Read the header here, and ask only for what it does not say. @param {File} file */
  async look(file) {
    const gguf = await isGguf(file), found = gguf ? null : await summarise(file), pytorch = !found && (await isPyTorch(file)), folder = !found && !pytorch && isFolder(file);
    if (file !== this.file) return;
    const local = this.part("[data-local]");
    if (found) {
      const about = say("tensors", { n: integer(found.tensors), values: integer(found.values) });
      const more = found.described ? say("described", { family: found.family ?? "" }) : "";
      local.textContent = interpolate(more ? _("%(about)s. %(more)s") : _("%(about)s."), { about, more });
    } else local.textContent = say(gguf ? "gguf" : pytorch ? "pytorch" : folder ? "folder" : "unreadable");
    local.hidden = false;
    this.part("[data-ask]").hidden = found ? found.described : !pytorch && !folder;
    this.looksLike = found?.looksLike ?? (folder ? "folder" : "");
    this.askFor();
    this.part("[data-ask-words]").textContent = say(folder ? "folderasks" : "asks");
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
    for (const name of ["run", "refused", "ready", "local", "sha"]) {
      const element = this.form.querySelector(`[data-${name}]`);
      if (element instanceof HTMLElement) element.hidden = true;
    }
    const ask = this.form.querySelector("[data-ask]");
    if (ask instanceof HTMLElement) ask.hidden = true;
    this.bar.value = 0;
    this.stage("");
    this.sendButton.disabled = !this.file;
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
    for (const field of this.form.querySelectorAll("input, select, [data-send]")) {
      if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement || field instanceof HTMLButtonElement) {
        field.disabled = on;
      }
    }
  }

  /** @param {File} file */
  async run(file) {
    const about = { project: this.form.dataset.project ?? "", purpose: this.purpose(), form: this.fields(), token: this.token };
    const control = (this.running = new AbortController());
    const began = performance.now();
    for (const name of ["refused", "ready", "sha"]) this.part(`[data-${name}]`).hidden = true;
    this.lock(true);
    let id = "", sent = 0;
    try {
      ({ id } = await announce(file, about));
      this.part("[data-run]").hidden = false;
      this.part("[data-cancel]").hidden = false;
      this.part("[data-row]").hidden = false;
      this.stage("receiving");
      const status = await send(file, id, this.token, this.meter(file, (n) => (sent = n)), control.signal);
      this.running = null;
      this.received(file, status.sha256, (performance.now() - began) / 1000);
      const done = await follow(id, () => (this.part("[data-figures]").textContent = say("silent")));
      this.ready(done.result?.url ?? "");
    } catch (error) {
      if (error instanceof Cancelled && id) void forget(id, this.token);
      this.fail(error, file, sent);
    } finally {
      this.running = null;
      this.lock(false);
      this.sendButton.disabled = true;
    }
  }

  /** @param {File} file @param {(sent: number) => void} keep */
  meter(file, keep) {
    const pace = new Pace(file.size);
    let said = performance.now();
    const size = bytesText(file.size);
    /** @param {number} sent */
    return (sent) => {
      keep(sent);
      pace.mark(sent);
      this.bar.value = (1000 * sent) / file.size;
      const left = pace.left();
      this.part("[data-figures]").textContent = left === null
        ? say("starting", { done: bytesText(sent), size })
        : say("sending", { done: bytesText(sent), size, rate: bytesText(pace.rate()), left: say("left", { time: time(left) }) });
      if (performance.now() - said > SAY_EVERY_MS) {
        said = performance.now();
        this.tell(say("announce", { name: file.name, percent: plain(Math.floor((100 * sent) / file.size)) }));
      }
    };
  }

  /** @param {File} file @param {string} sha256 @param {number} seconds */
  received(file, sha256, seconds) {
    this.stage("verifying");
    this.bar.removeAttribute("value");
    this.part("[data-cancel]").hidden = true;
    const about = say("received", { size: bytesText(file.size), time: time(seconds) });
    this.part("[data-figures]").textContent = interpolate(_("%(about)s. %(more)s"), { about, more: say("verifying") });
    const sha = this.part("[data-sha]");
    sha.hidden = false;
    const code = sha.querySelector("code");
    if (code) code.textContent = sha256;
    this.tell(say("verifying"));
  }

  /** @param {string} url */
  ready(url) {
    this.stage("ready");
    this.bar.value = 1000;
    const link = /** @type {HTMLAnchorElement} */ (this.part("[data-ready-link]"));
    link.href = url;
    this.part("[data-ready]").hidden = false;
    this.part("[data-row]").hidden = true;
    this.tell(say("ready"));
    link.focus();
  }

  /** @param {unknown} error @param {File} file @param {number} sent */
  fail(error, file, sent) {
    this.part("[data-run]").hidden = true;
    if (error instanceof Cancelled) {
      this.tell(say("cancelled"));
      const local = this.part("[data-local]");
      local.textContent = say("cancelled");
      local.hidden = false;
      return;
    }
    if (!(error instanceof Refusal || error instanceof Broken)) throw error;
    const broken = say("offline", { done: bytesText(sent), size: bytesText(file.size) });
    this.part("[data-refused-words]").textContent = error instanceof Refusal ? error.message : broken;
    this.part("[data-refused-code]").textContent = error instanceof Refusal ? error.code : "upload.broken";
    const refused = this.part("[data-refused]");
    refused.hidden = false;
    refused.focus();
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
