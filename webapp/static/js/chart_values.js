// @ts-check
/** A chart's numbers outside the picture: the table under it, the CSV, the PNG. */
import { integer, isNumber, plain } from "./format.js";
import { gettext as _, interpolate, ngettext } from "./i18n.js";
import { token } from "./palette.js";

const TABLE_ROWS = 200;

/** The table under the chart, while it is open; at most once a second. @param {any} chart */
export function fillTable(chart) {
  if (!chart.table?.open) return;
  const now = performance.now(), wait = 1000 - (now - (chart._tabledAt ?? -1e9));
  if (wait > 0) {
    // What comes within the second must be shown after it, also when nothing follows.
    chart._tableTimer ??= setTimeout(() => {
      chart._tableTimer = undefined;
      fillTable(chart);
    }, wait);
    return;
  }
  chart._tabledAt = now;
  const table = chart.table.querySelector("table");
  const head = document.createElement("tr");
  for (const name of [chart.shared.axis === "t" ? _("Elapsed") : _("Step"), ...chart.spec.lines.map((l) => l.label)]) {
    const cell = el("th", name);
    cell.scope = "col";
    head.append(cell);
  }
  const size = chart.raw[0].length, body = document.createElement("tbody");
  for (let i = size - 1; i >= Math.max(0, size - TABLE_ROWS); i--) {
    const row = document.createElement("tr");
    row.append(el("td", chart.x(chart.raw[0][i])));
    chart.spec.lines.forEach((line, c) => row.append(el("td", isNumber(chart.raw[c + 1][i]) ? chart.spec.format(chart.raw[c + 1][i], line.view ?? chart.view) : "")));
    body.append(row);
  }
  const thead = document.createElement("thead");
  thead.append(head);
  const words = size > TABLE_ROWS ? _("The newest %(shown)s of %(n)s rows; the CSV has all")
    : ngettext("%(n)s row, newest first", "%(n)s rows, newest first", size);
  table?.replaceChildren(el("caption", interpolate(words, { shown: plain(TABLE_ROWS), n: integer(size) })), thead, body);
}

/** A text as a field of a CSV. A spreadsheet would take one that begins like a formula for one. @param {string} text */
export function csvText(text) {
  return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

/** All rows as a CSV. @param {any} chart */
export function saveCsv(chart) {
  const names = [chart.shared.axis === "t" ? "elapsed_s" : "step", ...chart.spec.lines.map((line) => line.key)];
  const rows = chart.raw[0].map((x, i) => [x, ...chart.spec.lines.map((_l, c) => chart.raw[c + 1][i] ?? "")].join(","));
  save(`${chart.spec.name}.csv`, new Blob([[names.map(csvText).join(","), ...rows].join("\r\n")], { type: "text/csv" }));
}

/** All rows as JSON: the same numbers, by name, with the range of rows that stand for several points. @param {any} chart */
export function saveJson(chart) {
  const axis = chart.shared.axis === "t" ? "elapsed_s" : "step";
  const body = { chart: chart.spec.name, x: axis, [axis]: chart.raw[0], lines: {} };
  chart.spec.lines.forEach((line, c) => {
    if (!chart.raw[c + 1].some(isNumber)) return;
    body.lines[line.key] = { label: line.english ?? line.label, values: chart.raw[c + 1].map((v) => (isNumber(v) ? v : null)), ...chart.bands?.[line.key] };
  });
  save(`${chart.spec.name}.json`, new Blob([JSON.stringify(body)], { type: "application/json" }));
}

/** What is drawn, on the page's own ground. @param {any} chart */
export function savePng(chart) {
  const canvas = document.createElement("canvas"), from = chart.plot.ctx.canvas;
  canvas.width = from.width;
  canvas.height = from.height;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.fillStyle = token("surface");
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.drawImage(from, 0, 0);
  canvas.toBlob((blob) => blob && save(`${chart.spec.name}.png`, blob));
}

/** @template {keyof HTMLElementTagNameMap} K @param {K} name @param {string} text */
export function el(name, text) {
  const node = document.createElement(name);
  node.textContent = text;
  return node;
}

/** @param {string} name @param {Blob} blob */
export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
