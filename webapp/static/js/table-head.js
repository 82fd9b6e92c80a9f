// @ts-check
// The first rows of a file of records, read in the browser before any byte is sent: JSON Lines or CSV, also as .gz;
// Parquet and npz in a worker.

const MOST = 64 * 1024, PATIENCE_MS = 4000;
export const ROWS = 5, SHOWN = 12;
const LOOKED = 20; // rows of text that say what columns there are, as on the server

/**
 * @typedef {{columns: string[], rows: Record<string, unknown>[], types?: Record<string, string>, packed?: string,
 *   arrays?: boolean}} Table types by column; how values are packed that cannot be unpacked here; no table, but arrays
 * @typedef {{parts: Record<string, string[]>, needed: Record<string, string[][]>, pairs: [string, string][],
 *   names: Record<string, Record<string, string[]>>, rights: string[]}} Guesses
 */

/** The beginning of a file as text, without the line that is cut in two. @param {File} file @returns {Promise<string>} */
async function beginning(file) {
  const magic = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  /** @type {ReadableStream<Uint8Array>} */
  let stream = file.stream();
  if (magic[0] === 0x1f && magic[1] === 0x8b) stream = stream.pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader(), decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "", size = 0, whole = false;
  while (size < MOST) {
    const { done, value } = await reader.read();
    if (done) {
      whole = true;
      break;
    }
    const piece = value.subarray(0, MOST - size);
    size += piece.length;
    text += decoder.decode(piece, { stream: true });
  }
  reader.cancel().catch(() => {});
  return whole ? text : text.slice(0, text.lastIndexOf("\n") + 1);
}

/** @param {string} text @returns {Table|null} */
function jsonLines(text) {
  const rows = [];
  for (const line of text.split("\n")) {
    if (rows.length === LOOKED) break;
    if (!line.trim()) continue;
    try {
      const row = JSON.parse(line);
      if (typeof row === "object" && row !== null && !Array.isArray(row)) rows.push(row);
    } catch {
      // The server tells which line is bad.
    }
  }
  return rows.length ? { columns: [...new Set(rows.flatMap((row) => Object.keys(row)))], rows } : null;
}

/** Fields of a table, quoted ones with line ends too (RFC 4180). @param {string} text @param {string} sign @param {number} most */
function fields(text, sign, most) {
  /** @type {string[][]} */
  const rows = [];
  let row = /** @type {string[]} */ ([]), field = "", quoted = false;
  for (let at = 0; at < text.length && rows.length < most; at++) {
    const c = text[at];
    if (quoted) {
      if (c !== '"') field += c;
      else if (text[at + 1] === '"') field += text[++at];
      else quoted = false;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === sign || c === "\n") {
      row.push(field.replace(/\r$/, ""));
      field = "";
      if (c === sign) continue;
      if (row.length > 1 || row[0] !== "") rows.push(row);
      row = [];
    } else field += c;
  }
  if (field !== "" || row.length) rows.push([...row, field]);
  return rows.slice(0, most);
}

/** @param {string} text @returns {Table|null} */
function csv(text) {
  const first = text.slice(0, text.indexOf("\n") + 1 || undefined);
  const [sign] = [",", ";", "\t"].sort((a, b) => first.split(b).length - first.split(a).length);
  const [head, ...rows] = fields(text, sign, LOOKED);
  if (!head || head.length < 2) return null;
  const columns = head.map((name) => name.trim());
  return { columns, rows: rows.map((row) => Object.fromEntries(columns.map((name, at) => [name, row[at] ?? ""]))) };
}

/** Whether it is a table that is no text, and that can be looked into all the same. @param {File} file */
export const isBinary = (file) => /\.(parquet|npz)$/i.test(file.name);

/** What a worker finds within some seconds. @param {File} file @returns {Promise<Table|null>} */
function binary(file) {
  const worker = new Worker(new URL("./table-worker.js", import.meta.url), { type: "module" });
  return new Promise((/** @type {(found: Table|null) => void} */ resolve) => {
    setTimeout(resolve, PATIENCE_MS, null);
    worker.addEventListener("message", ({ data }) => resolve(data));
    worker.addEventListener("error", () => resolve(null));
    worker.postMessage({ file, rows: ROWS, shown: SHOWN });
  }).finally(() => worker.terminate());
}

/** The first rows; null where nobody can tell here. @param {File} file @returns {Promise<Table|null>} */
export async function tableHead(file) {
  if (isBinary(file)) return binary(file);
  const name = file.name.toLowerCase().replace(/\.gz$/, "");
  if (!/\.(jsonl|ndjson|json|csv|tsv)$/.test(name)) return null;
  try {
    const late = new Promise((/** @type {(found: string) => void} */ _resolve, reject) => setTimeout(reject, PATIENCE_MS));
    const text = (await Promise.race([beginning(file), late])).replace(/^\ufeff/, "");
    return /\.[ct]sv$/.test(name) ? csv(text) : jsonLines(text);
  } catch {
    return null;
  }
}

/** Which column is what, by its name; empty when that is not all of a record: as `consolidation/formats/mapping.py` guesses. @param {string[]} columns @param {Guesses} tables
 * @param {string} objective @returns {Record<string, string>} */
export function guess(columns, tables, objective) {
  const found = named(columns, tables, objective), needed = neededOf(found, tables, objective);
  return needed ? Object.fromEntries(Object.entries(found).filter(([part]) => part === "text2" || needed.includes(part))) : {};
}

/** The parts that make a record, of those that are told; undefined when they make none. @param {Record<string, string>} told
 * @param {Guesses} tables @param {string} objective @returns {string[]|undefined} */
export function neededOf(told, tables, objective) {
  return tables.needed[objective]?.find((parts) => parts.every((part) => told[part]));
}

const LONG = 24; // letters of a text, where a label has fewer

/**
 * What names do not tell, by the first rows: one column with long texts (or two, of pairs) and a single one beside them
 * with short ones. Empty where that is not so. @param {Table} table @param {Guesses} tables @param {string} objective
 * @returns {Record<string, string>}
 */
export function suggested({ columns, rows }, tables, objective) {
  const letters = (/** @type {string} */ name) => rows.map((row) => (typeof row[name] === "string" ? row[name].length : 0)).sort((a, b) => a - b);
  const middle = (/** @type {string} */ name) => letters(name)[rows.length >> 1] ?? 0;
  const found = named(columns, tables, objective), told = new Set(Object.values(found));
  const free = columns.filter((name) => !told.has(name) && !tables.rights.includes(name.trim().toLowerCase()));
  const long = free.filter((name) => middle(name) > LONG), short = free.filter((name) => middle(name) <= LONG);
  if (objective === "classification") {
    if (!found.text && long.length && long.length < 3) [found.text, found.text2 = ""] = long;
    if (!found.label && short.length === 1) [found.label] = short;
  } else if (objective === "language" && long.length === 1) return { text: long[0] };
  return neededOf(found, tables, objective) ? Object.fromEntries(Object.entries(found).filter(([, column]) => column)) : {};
}

/** Whether a column holds nothing but words, and tells neither a label nor whose the records are. @param {Table} table @param {Guesses} tables */
export function holdsWords({ columns, rows }, tables) {
  const besides = new Set(["y", "label", ...tables.rights]);
  return columns.some((name) => {
    const values = besides.has(name.trim().toLowerCase()) ? [] : rows.map((row) => row[name]).filter((value) => typeof value === "string" && value.trim());
    return values.length > 0 && values.every((value) => Number.isNaN(Number(value)) && !/^[+-]?(nan|inf(inity)?)$/i.test(String(value).trim()));
  });
}

/** Which column is what by its name, as far as that tells. @param {string[]} columns @param {Guesses} tables
 * @param {string} objective @returns {Record<string, string>} */
function named(columns, tables, objective) {
  /** @type {Map<string, string>} */
  const known = new Map();
  for (const column of columns) {
    const name = column.trim().toLowerCase();
    if (!known.has(name)) known.set(name, column);
  }
  /** @type {Record<string, string>} */
  const found = {};
  for (const [part, names] of Object.entries(tables.names[objective] ?? {})) {
    const name = names.find((one) => known.has(one));
    if (name !== undefined) found[part] = known.get(name) ?? "";
  }
  const pair = objective === "classification" && tables.pairs.find(([one, two]) => known.has(one) && known.has(two));
  if (pair) Object.assign(found, { text: known.get(pair[0]), text2: known.get(pair[1]) });
  return found;
}
