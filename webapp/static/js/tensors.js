// @ts-check
// A look at a safetensors header in the browser, before any byte is sent: what to ask depends on it.

const MOST = 16 * 2 ** 20;

/**
 * @typedef {{tensors: number, values: number, family: string|null, described: boolean, looksLike: string}} Summary
 */

/** What the header says, or null when the file does not look like safetensors. @param {File} file @returns {Promise<Summary|null>} */
export async function summarise(file) {
  try {
    const size = new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true);
    if (size < 2n || size > BigInt(Math.min(MOST, file.size - 8))) return null;
    const header = JSON.parse(await file.slice(8, 8 + Number(size)).text());
    const { __metadata__: metadata = {}, ...tensors } = header;
    const shapes = Object.values(tensors).map((tensor) => tensor.shape);
    return {
      tensors: shapes.length,
      values: shapes.reduce((sum, shape) => sum + shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1), 0),
      family: metadata["nocturne.family"] ?? null,
      described: "nocturne.family" in metadata && "nocturne.config" in metadata,
      looksLike: metadata["nocturne.family"] ?? looksLike(tensors),
    };
  } catch {
    return null;
  }
}

/** Whether it is a file of torch.save: a zip under one of the names that such files have. @param {File} file */
export async function isPyTorch(file) {
  const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  return /\.(pt|pth|bin|ckpt)$/i.test(file.name) && start[0] === 0x50 && start[1] === 0x4b;
}

/** Whether it is a GGUF model: it says so in its first four bytes. @param {File} file */
export const isGguf = async (file) => (await file.slice(0, 4).text()) === "GGUF";

/** Whether it is a model's folder, by its name; the server looks inside. @param {File} file */
export const isFolder = (file) => /\.(zip|tar|tgz|tar\.gz)$/i.test(file.name);

/** Whose questions to ask; the server decides. @param {Record<string, {shape: number[]}>} tensors */
function looksLike(tensors) {
  const kernels = Object.values(tensors).filter((tensor) => tensor.shape.length === 4);
  if (!kernels.length) return "mlp";
  const staged = Object.keys(tensors).some((name) => name.startsWith("layer1."));
  return !staged && kernels.every(({ shape }) => shape[2] === 3 && shape[3] === 3) ? "cnn" : "vision";
}
