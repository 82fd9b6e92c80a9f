// @ts-check
// Looks into tables that are no text, apart from the page: a file that keeps it busy is given up by ending it.
import { npzHead } from "./npz-head.js";
import { parquetHead } from "./parquet-head.js";

addEventListener("message", async ({ data: { file, rows, shown } }) => {
  const look = /\.npz$/i.test(file.name) ? npzHead : parquetHead;
  postMessage(await look(file, rows, shown).catch(() => null));
});
