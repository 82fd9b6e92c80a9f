// @ts-check
// Values of a file as what a table can show of them, however long they are and of whatever kind.

export const ITEMS = 16;
const LETTERS = 200, DEPTH = 4;

/** @param {unknown} value @param {number} [depth] @returns {unknown} */
export function short(value, depth = 0) {
  if (value === undefined) return null;
  if (typeof value === "string") return value.length > LETTERS ? `${value.slice(0, LETTERS)}…` : value;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === "number") return Number.isFinite(value) ? (Number.isInteger(value) ? value : Number(value.toPrecision(7))) : String(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString().slice(0, 19).replace("T", " ");
  if (value instanceof Uint8Array) return `${value.length} B`;
  if (typeof value !== "object" || value === null) return value;
  if (depth >= DEPTH) return "…";
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    const items = /** @type {unknown[]} */ (value);
    return [...Array.from(items.slice(0, ITEMS), (one) => short(one, depth + 1)), ...(items.length > ITEMS ? ["…"] : [])];
  }
  return Object.fromEntries(Object.entries(value).slice(0, ITEMS).map(([name, one]) => [name.slice(0, LETTERS), short(one, depth + 1)]));
}
