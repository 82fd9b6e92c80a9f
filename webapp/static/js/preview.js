// @ts-check
// What a file of records holds, before it is sent: its first rows, and which column is what.
import { gettext as _, interpolate } from "./i18n.js";
import { ROWS, SHOWN, guess, holdsWords, isBinary, neededOf, suggested, tableHead } from "./table-head.js";

/** @typedef {import("./table-head.js").Table} Table */

const LETTERS = 160;

/** @param {unknown} value */
function words(value) {
  const text = typeof value === "string" ? value : Array.isArray(value) ? list(value) : (JSON.stringify(value) ?? "");
  return visible(text.length > LETTERS ? `${text.slice(0, LETTERS)}…` : text);
}

/** With places to break the line at. @param {unknown[]} values */
const list = (values) => `[${values.map((one) => (one === "…" ? one : JSON.stringify(one))).join(", ")}]`;

/** Signs that turn the order of others around would show another text than the file's. @param {string} text */
const visible = (text) => text.replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");

/** As long, and nothing of it. @param {string} text */
const hidden = (text) => text.replace(/\S/gu, "•");

export class Preview {
  /** @param {HTMLElement} box @param {() => void} changed the columns that are told are others */
  constructor(box, changed) {
    this.box = box;
    this.objective = box.dataset.objective ?? "";
    this.tables = JSON.parse(box.dataset.guesses ?? "{}");
    /** @type {Table|null} */
    this.table = null;
    this.reading = false;
    this.redact = /** @type {HTMLInputElement} */ (box.querySelector("[data-redact]"));
    this.redact.addEventListener("change", () => this.fill());
    this.changed = changed;
    box.querySelector("[data-columns]")?.addEventListener("change", () => {
      this.part("[data-by-values]").hidden = true;
      this.ask();
    });
  }

  clear() {
    this.table = null;
    this.reading = false;
    this.box.hidden = true;
  }

  /** Whether the file holds texts, and nobody has said which columns they are in; or it is still being looked at. */
  get unsaid() {
    if (this.reading) return this.objective !== "";
    if (this.box.hidden || !this.objective || !this.table || this.part("[data-columns]").hidden || !holdsWords(this.table, this.tables)) return false;
    /** @type {Record<string, string>} */
    const told = {};
    for (const field of this.box.querySelectorAll("[data-part]")) {
      if (field instanceof HTMLElement) told[field.dataset.part ?? ""] = field.querySelector("select")?.value ?? "";
    }
    return !neededOf(told, this.tables, this.objective);
  }

  /** Say what has to be said before the file can be sent. */
  ask() {
    if (this.objective) this.part("[data-unsaid]").hidden = !this.unsaid;
    this.changed();
  }

  /** @param {File} file @param {() => boolean} wanted whether it is still the chosen one */
  async show(file, wanted) {
    this.reading = true;
    this.changed();
    const table = await tableHead(file).catch(() => null);
    if (!wanted()) return;
    this.table = table;
    this.reading = false;
    const closed = /\.(zip|tar|tgz|tar\.gz)$/i.test(file.name);
    // Numbers have no columns to choose; of a table that only the server can open their names may be told.
    const numbers = table !== null && (table.arrays || table.columns.includes("x"));
    this.box.hidden = !table && !isBinary(file) && !(closed && this.objective);
    this.part("[data-preview-table]").hidden = !table;
    if (this.objective) this.part("[data-columns]").hidden = numbers;
    this.part("[data-unread]").hidden = table !== null || isBinary(file);
    this.part("[data-damaged]").hidden = table !== null || !isBinary(file);
    if (this.objective) this.choose(numbers ? null : (table?.columns ?? []));
    this.fill();
    this.ask();
  }

  /** @param {string} selector @returns {HTMLElement} */
  part(selector) {
    const found = this.box.querySelector(selector);
    if (!(found instanceof HTMLElement)) throw new Error(`no ${selector}`);
    return found;
  }

  /** The columns among which to choose; none: their names are typed. @param {string[]|null} columns */
  choose(columns) {
    let told = columns ? guess(columns, this.tables, this.objective) : {};
    const byValues = this.table !== null && columns !== null && !Object.keys(told).length;
    if (byValues) told = suggested(this.table, this.tables, this.objective);
    this.part("[data-by-values]").hidden = !byValues || !Object.keys(told).length;
    for (const field of this.box.querySelectorAll("[data-part]")) {
      const select = field.querySelector("select"), input = field.querySelector("input");
      if (!(field instanceof HTMLElement) || !select || !input) continue;
      const part = field.dataset.part ?? "";
      select.hidden = !columns?.length;
      input.hidden = !select.hidden;
      input.value = "";
      const none = /** @type {HTMLOptionElement} */ (select.options[0]);
      select.replaceChildren(none, ...(columns ?? []).map((name) => new Option(visible(name), name)));
      select.value = told[part] ?? "";
      const label = field.querySelector("label");
      if (label) label.htmlFor = select.hidden ? input.id : select.id;
    }
  }

  fill() {
    const table = this.part("table"), { columns, rows } = this.table ?? { columns: [], rows: [] };
    const names = columns.slice(0, SHOWN);
    const head = document.createElement("tr");
    for (const name of names) head.append(cell("th", visible(name), this.table?.types?.[name]));
    const body = rows.slice(0, ROWS).map((row) => {
      const line = document.createElement("tr");
      for (const name of names) {
        const text = name in row ? words(row[name]) : "";
        line.append(cell("td", this.redact.checked ? hidden(text) : text));
      }
      return line;
    });
    table.tHead?.replaceChildren(head);
    table.tBodies[0].replaceChildren(...body);
    const more = columns.length - names.length;
    const note = this.part("[data-more-columns]");
    note.hidden = more < 1;
    note.textContent = interpolate(_("%(n)s more columns are not shown."), { n: more });
    const packed = this.part("[data-packed]");
    packed.hidden = !this.table?.packed;
    packed.textContent = interpolate(_("Values packed with %(name)s are not shown: only the server unpacks them."), { name: this.table?.packed ?? "" });
  }
}

/** @param {"th"|"td"} kind @param {string} text @param {string} [type] */
function cell(kind, text, type) {
  const made = document.createElement(kind);
  if (made instanceof HTMLTableCellElement && kind === "th") made.scope = "col";
  made.textContent = text;
  if (type) {
    const told = document.createElement("span");
    told.className = "firstrows__type";
    told.textContent = type;
    made.append(told);
  }
  return made;
}
