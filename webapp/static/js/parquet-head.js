// @ts-check
/**
 * The columns of a Parquet file and its first rows, of which only the footer and each column's first pages are read.
 * Runs in a worker that may be ended at any time; what the file claims is held against limits before it is believed.
 */
import { CompressionCodecs } from "../vendor/hyparquet/constants.js";
import { parquetMetadata, parquetSchema } from "../vendor/hyparquet/metadata.js";
import { assembleAsync, readRowGroup } from "../vendor/hyparquet/rowgroup.js";
import { isListLike, isMapLike } from "../vendor/hyparquet/schema.js";
import { deserializeTCompactProtocol } from "../vendor/hyparquet/thrift.js";
import { flatten } from "../vendor/hyparquet/utils.js";
import { short } from "./short-values.js";

/** @typedef {import("./table-head.js").Table} Table */

const MAGIC = 0x31524150, FOOTER = 4 * 2 ** 20, COLUMNS = 16_384;
/** Of one page's header, of one packed and one unpacked page, of all columns together. */
const HEADER = 64 * 1024, PAGE = 8 * 2 ** 20, UNPACKED = 32 * 2 ** 20, TOGETHER = 32 * 2 ** 20;
const VALUES = 2 ** 22;
const OPENED = new Set(["UNCOMPRESSED", "SNAPPY"]);
/** What pandas adds for its own row labels; `consolidation/formats/parquet.py` leaves it out as well. */
const INDEX = "__index_level_";
const DATA = 0, DICTIONARY = 2, DATA_V2 = 3;
/** @type {Record<string, string>} */
const NAMES = { BOOLEAN: "bool", INT32: "int32", INT64: "int64", INT96: "timestamp", FLOAT: "float32", DOUBLE: "float64" };

/** @param {File} file @param {number} rows @param {number} shown of how many columns to read values @returns {Promise<Table>} */
export async function parquetHead(file, rows, shown) {
  const metadata = await footer(file), tree = parquetSchema(metadata);
  const nodes = tree.children.filter((/** @type {any} */ node) => !node.element.name.startsWith(INDEX));
  if (!nodes.length || nodes.length > COLUMNS) throw new Error("columns");
  const group = metadata.row_groups.find((/** @type {any} */ one) => one.num_rows > 0n);
  const count = group ? Math.min(rows, Number(group.num_rows)) : 0;
  const values = group ? await firstValues(file, metadata, tree, group, nodes.slice(0, shown), count) : { found: new Map(), closed: "" };
  const lines = Array.from({ length: count }, (_none, at) =>
    Object.fromEntries([...values.found].filter(([, column]) => at < column.length).map(([name, column]) => [name, short(column[at])])),
  );
  return {
    columns: nodes.map((/** @type {any} */ node) => node.element.name),
    types: Object.fromEntries(nodes.map((/** @type {any} */ node) => [node.element.name, typeOf(node)])),
    rows: lines.filter((line) => Object.keys(line).length > 0),
    packed: values.closed,
  };
}

/** @param {File} file */
async function footer(file) {
  const end = new DataView(await file.slice(-8).arrayBuffer());
  const size = end.getUint32(0, true);
  if (end.getUint32(4, true) !== MAGIC || size > FOOTER || size + 12 > file.size) throw new Error("footer");
  return parquetMetadata(await file.slice(-8 - size).arrayBuffer(), { geoparquet: false });
}

/**
 * Values of some columns; one that cannot be read is left out, and by which packing if that is why.
 * @param {File} file @param {any} metadata @param {any} tree @param {any} group @param {any[]} nodes @param {number} count
 */
async function firstValues(file, metadata, tree, group, nodes, count) {
  /** @type {Map<string, ArrayLike<unknown>>} */
  const found = new Map();
  let closed = "", room = TOGETHER;
  for (const node of nodes) {
    const name = node.element.name, flat = !node.children.length && node.element.repetition_type !== "REPEATED";
    const columns = group.columns.map((/** @type {any} */ one) => one.meta_data).filter((/** @type {any} */ one) => one?.path_in_schema[0] === name);
    const codec = columns.map((/** @type {any} */ one) => one.codec).find((/** @type {string} */ one) => !OPENED.has(one));
    if (codec !== undefined) closed ||= CompressionCodecs.includes(codec) ? codec : "";
    if (codec !== undefined || !columns.length) continue;
    try {
      const chunks = [];
      for (const columnMetadata of columns) {
        const range = await firstPages(file, columnMetadata, flat ? count : 1, room);
        room -= range.endByte - range.startByte;
        chunks.push({ columnMetadata, range });
      }
      const plan = { chunks, rowGroup: group, groupStart: 0, groupRows: count, selectStart: 0, selectEnd: count };
      const source = { byteLength: file.size, slice: (/** @type {number} */ from, /** @type {number} */ to) => file.slice(from, to).arrayBuffer() };
      const [column] = assembleAsync(readRowGroup({ file: source, utf8: false }, { metadata }, plan), tree).asyncColumns;
      found.set(name, flatten((await column.data).data).slice(0, count));
    } catch {
      // The other columns are worth to be seen.
    }
  }
  return { found, closed };
}

/**
 * Where a column's dictionary and its first pages lie, as many as hold so many values.
 * @param {File} file @param {any} column @param {number} count @param {number} room
 */
async function firstPages(file, column, count, room) {
  const startByte = Number(column.dictionary_page_offset || column.data_page_offset);
  const last = Math.min(file.size, startByte + Number(column.total_compressed_size));
  let at = startByte, values = 0;
  while (values < count && at < last) {
    const reader = { view: new DataView(await file.slice(at, Math.min(last, at + HEADER)).arrayBuffer()), offset: 0 };
    const { field_1: kind, field_2: unpacked, field_3: packed, field_5: data, field_7: dictionary, field_8: data2 } = deserializeTCompactProtocol(reader);
    const inside = (kind === DATA ? data : kind === DATA_V2 ? data2 : dictionary)?.field_1 ?? 0;
    const sane = packed >= 0 && packed <= PAGE && unpacked >= 0 && unpacked <= UNPACKED && inside >= 0 && inside <= VALUES;
    at += reader.offset + packed;
    if (!sane || at > last || at - startByte > room) throw new Error("page");
    if (kind !== DICTIONARY) values += inside;
  }
  return { startByte, endByte: at };
}

/** As Arrow writes types. @param {any} node @returns {string} */
function typeOf(node) {
  const { element, children } = node;
  if (isListLike(node)) return `list<${typeOf(children[0].children[0] ?? { ...children[0], element: { ...children[0].element, repetition_type: "" } })}>`;
  if (children.length) return isMapLike(node) ? "map" : "struct";
  const { type, logical_type: logical, converted_type: converted = "" } = element;
  let name = NAMES[type] ?? "binary";
  if (logical?.type === "STRING" || converted === "UTF8" || logical?.type === "ENUM") name = "string";
  else if (logical?.type === "INTEGER") name = `${logical.isSigned ? "" : "u"}int${logical.bitWidth}`;
  else if (["DECIMAL", "DATE", "TIME", "TIMESTAMP", "JSON", "UUID", "FLOAT16"].includes(logical?.type)) name = logical.type.toLowerCase();
  else if (/^U?INT_\d+$/.test(converted)) name = converted.replace("_", "").toLowerCase();
  return element.repetition_type === "REPEATED" ? `list<${name}>` : name;
}
