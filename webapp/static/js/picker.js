// @ts-check
// A file of the server's own computer, chosen from the folders that are offered there.
import { bytesText } from "./format.js";
import { gettext as _ } from "./i18n.js";

/** @typedef {{name: string, path: string, size_bytes?: number}} Entry */
/** @typedef {{path: string, name: string, size: number}} LocalFile */

const SVG = "http://www.w3.org/2000/svg";
const FOLDER = "M1.5 4v8.5h13V5.5H8L6.5 4z", FILE = "M4 1.5h5l3 3v10H4zM9 1.5v3h3";

/** @param {string} path */
function icon(path) {
  const picture = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "path");
  picture.setAttribute("viewBox", "0 0 16 16");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  line.setAttribute("d", path);
  picture.append(line);
  return picture;
}

export class Picker {
  /** @param {HTMLDialogElement} dialog @param {(file: LocalFile) => void} chosen */
  constructor(dialog, chosen) {
    this.dialog = dialog;
    this.chosen = chosen;
    this.path = "";
    /** @param {string} name @returns {HTMLElement} */
    const part = (name) => /** @type {HTMLElement} */ (dialog.querySelector(`[data-${name}]`));
    this.title = part("place");
    this.list = part("entries");
    this.more = part("more");
    this.up = part("up");
    this.up.addEventListener("click", () => void this.show(this.path.split("/").slice(0, -1).join("/")));
  }

  /** @param {string} [path] a folder as the server told it; none for the offered folders themselves */
  async show(path = this.path) {
    const answer = await fetch(`/api/uploads/local?folder=${encodeURIComponent(path)}`).catch(() => null);
    const said = await answer?.json().catch(() => null);
    if (!answer?.ok) {
      this.title.textContent = said?.message ?? _("The server did not answer. Try again.");
      return;
    }
    const focused = this.dialog.contains(document.activeElement);
    this.path = said.path;
    this.up.hidden = !said.path;
    this.more.hidden = !said.more;
    const rows = [...said.folders, ...said.files].map((entry) => this._row(entry));
    this.title.textContent = said.path.replaceAll("/", " / ") || _("Folders that are offered");
    if (!rows.length) this.title.textContent = [this.title.textContent, _("nothing to show here")].join(": ");
    this.list.replaceChildren(...rows);
    if (focused) (this.list.querySelector("button") ?? this.up).focus();
  }

  /** @param {Entry} entry */
  _row(entry) {
    const line = document.createElement("li"), button = document.createElement("button"), name = document.createElement("span");
    const size = entry.size_bytes;
    button.type = "button";
    button.className = "picker__entry";
    name.className = "break";
    name.textContent = entry.name;
    button.append(icon(size === undefined ? FOLDER : FILE), name);
    if (size === undefined) button.addEventListener("click", () => void this.show(entry.path));
    else {
      const told = document.createElement("span");
      told.className = "tiny muted picker__size";
      told.textContent = bytesText(size);
      button.append(told);
      button.addEventListener("click", () => {
        this.dialog.close();
        this.chosen({ path: entry.path, name: entry.name, size });
      });
    }
    line.append(button);
    return line;
  }
}
