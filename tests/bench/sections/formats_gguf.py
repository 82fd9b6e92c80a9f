"""Quantised GGUF models written out as safetensors: speed by what is written, and the memory taken."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.sections.formats_transcode import resident

TARGETS = {"growth above the largest tensor, MB": 64.0}
KINDS = ("Q4_0", "Q8_0", "Q4_K", "Q6_K")
WIDTH, WORDS = 2048, 8192
HEADS = 16


def alone(path: str, out: str) -> None:
    """The child: one file written anew; prints [seconds, processor seconds, peak bytes, bytes before]."""
    from consolidation.formats import gguf_numbers  # noqa: F401  (its packages are no growth)
    from consolidation.formats.checkpoint import inspect_checkpoint

    before = resident("VmRSS")
    began, worked = time.perf_counter(), time.process_time()
    inspect_checkpoint(path, out=out, digest=False)
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    print(json.dumps([seconds, worked, resident("VmHWM"), before]))


def make(path: Path, architecture: str, kind: str, megabytes: int) -> int:
    """A model whose matrices are of one kind; the size of its largest tensor written out, in bytes."""
    import gguf
    import numpy as np

    number = gguf.GGMLQuantizationType[kind]
    block, size = gguf.constants.GGML_QUANT_SIZES[number]
    inner = 4 * WIDTH
    llama = architecture == "llama"
    parts = {
        "attn_output": (WIDTH, WIDTH), "ffn_up": (inner, WIDTH), "ffn_down": (WIDTH, inner),
        **(
            {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH),
             "ffn_gate": (inner, WIDTH)}
            if llama else {"attn_qkv": (3 * WIDTH, WIDTH)}
        ),
    }  # fmt: skip
    layers = max(1, megabytes * 10**6 // (4 * sum(a * b for a, b in parts.values())))
    writer = gguf.GGUFWriter(path, architecture)
    fields: dict[str, Any] = {
        "context_length": 64, "embedding_length": WIDTH, "block_count": layers, "feed_forward_length": inner,
        "attention.head_count": HEADS,
    }  # fmt: skip
    for key, value in fields.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    norm = "attention.layer_norm_rms_epsilon" if llama else "attention.layer_norm_epsilon"
    writer.add_float32(f"{architecture}.{norm}", 1e-5)
    rng = np.random.default_rng(0)

    def matrix(name: str, rows: int, columns: int) -> None:
        # Bytes below 64 make scales of 16 bits that are finite.
        data = rng.integers(0, 64, (rows, columns // block * size), dtype=np.uint8)
        writer.add_tensor(name, data, raw_dtype=number)

    def vector(name: str, length: int) -> None:
        for end in ("weight",) if llama else ("weight", "bias"):
            writer.add_tensor(f"{name}.{end}", np.ones(length, np.float32))

    matrix("token_embd.weight", WORDS, WIDTH)
    if not llama:
        writer.add_tensor("position_embd.weight", np.ones((64, WIDTH), np.float32))
    vector("output_norm", WIDTH)
    for layer in range(layers):
        for part, (rows, columns) in parts.items():
            matrix(f"blk.{layer}.{part}.weight", rows, columns)
            if not llama:
                writer.add_tensor(f"blk.{layer}.{part}.bias", np.ones(rows, np.float32))
        vector(f"blk.{layer}.attn_norm", WIDTH)
        vector(f"blk.{layer}.ffn_norm", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return 4 * max(WORDS * WIDTH, *(a * b for a, b in parts.values()))


def measure(sizes: dict[str, int]) -> dict[str, Any]:
    root = Path(__file__).parents[3]
    found: dict[str, Any] = {}
    worst = 0
    cases = [("llama", kind) for kind in KINDS] + [("gpt2", "Q4_K")]
    with tempfile.TemporaryDirectory() as folder:
        for architecture, kind in cases:
            path, out = Path(folder) / "model.gguf", Path(folder) / "out"
            largest = make(path, architecture, kind, sizes["mb"])
            module = "tests.bench.sections.formats_gguf"
            code = f"from {module} import alone; alone({str(path)!r}, {str(out)!r})"
            command = [sys.executable, "-c", code]
            done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
            seconds, worked, peak, before = json.loads(done.stdout)
            worst = max(worst, peak - before - largest)
            size = out.stat().st_size / 1e6
            told = f"{size / seconds:.0f} synced, {size / worked:.0f} a second of processor"
            found[f"{architecture} {kind}, MB/s written"] = told
            for made in Path(folder).iterdir():
                made.unlink()
    return {**found, "growth above the largest tensor, MB": round(worst / 1e6, 1)}
