// @ts-check
/**
 * The arrays of an npz archive: their names, types, shapes and first rows. Reads the archive's table of contents and
 * the beginning of each member, and nothing of a member that claims what `consolidation/formats/npz.py` would refuse.
 */
import { ITEMS, short } from "./short-values.js";

/** @typedef {import("./table-head.js").Table} Table */
/** @typedef {{name: string, method: number, packed: number, size: number, at: number}} Member */
/** @typedef {{type: string, shape: number[], rows: unknown[][]}} Head */

const END = 22, MEMBERS = 32, CONTENTS = 64 * 1024, HEADER = 10_000;
/** Of one member: how much is unpacked for its first rows. */
const START = 256 * 1024;
const STORED = 0, DEFLATED = 8;
/** @type {Record<string, [string, number, (view: DataView, at: number, little: boolean) => number|bigint]>} */
const TYPES = {
  b1: ["bool", 1, (view, at) => view.getUint8(at)],
  u1: ["uint8", 1, (view, at) => view.getUint8(at)],
  i1: ["int8", 1, (view, at) => view.getInt8(at)],
  u2: ["uint16", 2, (view, at, little) => view.getUint16(at, little)],
  i2: ["int16", 2, (view, at, little) => view.getInt16(at, little)],
  u4: ["uint32", 4, (view, at, little) => view.getUint32(at, little)],
  i4: ["int32", 4, (view, at, little) => view.getInt32(at, little)],
  u8: ["uint64", 8, (view, at, little) => view.getBigUint64(at, little)],
  i8: ["int64", 8, (view, at, little) => view.getBigInt64(at, little)],
  f2: ["float16", 2, (view, at, little) => half(view.getUint16(at, little))],
  f4: ["float32", 4, (view, at, little) => view.getFloat32(at, little)],
  f8: ["float64", 8, (view, at, little) => view.getFloat64(at, little)],
};

/** @param {File} file @param {number} rows @returns {Promise<Table>} */
export async function npzHead(file, rows) {
  const members = await contents(file);
  /** @type {Map<string, Head>} */
  const heads = new Map();
  for (const member of members) heads.set(member.name, head(await beginning(file, member), rows));
  const count = Math.max(0, ...[...heads.values()].map((one) => one.rows.length));
  const lines = Array.from({ length: count }, (_none, at) =>
    Object.fromEntries([...heads].filter(([, one]) => at < one.rows.length).map(([name, one]) => [name, short(one.rows[at].length === 1 ? one.rows[at][0] : one.rows[at])])),
  );
  const types = [...heads].map(([name, { type, shape }]) => [name, [type, shape.join(" × ")].filter(Boolean).join(" ")]);
  return { columns: [...heads.keys()], types: Object.fromEntries(types), rows: lines, arrays: true };
}

/** numpy writes no comment, so the end of the contents lies at a known place. @param {File} file @returns {Promise<Member[]>} */
async function contents(file) {
  const end = new DataView(await file.slice(-END).arrayBuffer());
  const count = end.getUint16(10, true), size = end.getUint32(12, true), from = end.getUint32(16, true);
  if (end.getUint32(0, true) !== 0x06054b50 || !count || count > MEMBERS || size > CONTENTS) throw new Error("contents");
  const view = new DataView(await file.slice(from, from + size).arrayBuffer()), members = [];
  for (let at = 0, n = 0; n < count; n++) {
    const length = view.getUint16(at + 28, true), extra = view.getUint16(at + 30, true), comment = view.getUint16(at + 32, true);
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, length));
    if (view.getUint32(at, true) !== 0x02014b50 || !name.endsWith(".npy")) throw new Error("member");
    const [method, packed, place] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
    members.push({ name: name.slice(0, -4), method, packed, size: view.getUint32(at + 24, true), at: place });
    at += 46 + length + extra + comment;
  }
  return members;
}

/** The first bytes of an array, unpacked. @param {File} file @param {Member} member */
async function beginning(file, member) {
  const local = new DataView(await file.slice(member.at, member.at + 30).arrayBuffer());
  if (local.getUint32(0, true) !== 0x04034b50) throw new Error("member");
  const from = member.at + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  const part = file.slice(from, from + Math.min(member.packed, START));
  if (member.method === STORED) return new DataView(await part.arrayBuffer());
  if (member.method !== DEFLATED) throw new Error("packing");
  const reader = part.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const found = new Uint8Array(START);
  let size = 0;
  try {
    while (size < START) {
      const { done, value } = await reader.read();
      if (done) break;
      const piece = value.subarray(0, START - size);
      found.set(piece, size);
      size += piece.length;
    }
  } catch (error) {
    // A part of a packed array ends in the middle; what came before is good.
    if (!size) throw error;
  }
  reader.cancel().catch(() => {});
  return new DataView(found.buffer, 0, size);
}

/** @param {DataView} view @param {number} rows @returns {Head} */
function head(view, rows) {
  const one = view.getUint8(6) === 1, start = (one ? 10 : 12) + (one ? view.getUint16(8, true) : view.getUint32(8, true));
  if (view.getUint32(0) !== 0x934e554d || start > HEADER) throw new Error("array");
  const text = new TextDecoder("latin1").decode(new Uint8Array(view.buffer, view.byteOffset, start));
  const [, order, code] = /'descr': '([<>|=]?)([a-zA-Z]\d{1,2})'/.exec(text) ?? [], [, sizes] = /'shape': \(([\d, ]*)\)/.exec(text) ?? [];
  if (code === undefined || sizes === undefined) throw new Error("array");
  const shape = sizes.split(",").filter((size) => size.trim()).map(Number), known = TYPES[code];
  const width = shape.slice(1).reduce((all, size) => all * size, 1);
  // Columns side by side hold no first rows, and a lone number none at all.
  const shown = !known || !shape.length || !width || text.includes("'fortran_order': True") ? 0 : Math.min(rows, shape[0]);
  /** @type {unknown[][]} */
  const lines = [];
  for (let row = 0; row < shown; row++) {
    const from = start + row * width * known[1];
    if (from + width * known[1] > view.byteLength) break;
    // One more than is shown, so that it is seen that there are more.
    lines.push(Array.from({ length: Math.min(width, ITEMS + 1) }, (_none, at) => known[2](view, from + at * known[1], order !== ">")));
  }
  return { type: known?.[0] ?? code, shape, rows: lines };
}

/** A float16 by its bits (IEEE 754). @param {number} bits */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
