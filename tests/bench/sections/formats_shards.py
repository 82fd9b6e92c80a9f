"""The headers of a sharded checkpoint in a tar, its numbers holes in the disk: seconds, and the memory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from tests.bench.sections.formats_transcode import resident

TARGETS = {"headers read and checked, s": 1.0}
ROUNDS = 5
SHARD_BYTES = 5 * 10**9
CONFIG = {
    "model_type": "llama", "vocab_size": 32_000, "hidden_size": 5120, "intermediate_size": 13_824,
    "num_attention_heads": 40, "torch_dtype": "bfloat16",
}  # fmt: skip


def alone(path: str) -> None:
    """The child: opened, described and compared with its config; prints [seconds, peak growth, tensors]."""
    from consolidation.families.registry import check_shapes
    from consolidation.formats.checkpoint import describe
    from consolidation.formats.open_weights import open_weights
    from consolidation.formats.region import Region

    before = resident("VmRSS")
    began = time.perf_counter()
    with ExitStack() as stack:
        source = open_weights(
            Region.of(Path(path)), filename="m.tar", spool=Path(f"{path}.spool"), limit_bytes=0, stack=stack
        )
        spec, config = describe(source, family=None, config=None)
        check_shapes(spec, config, source.shapes())
    seconds = time.perf_counter() - began
    print(json.dumps([seconds, resident("VmHWM") - before, len(source.tensors)]))


def make(path: Path, gigabytes: int) -> tuple[int, int]:
    """A tar of config.json, index and shards; (bytes of the file, how many shards)."""
    from consolidation.families.registry import described_family
    from consolidation.formats.safetensors import header_bytes

    width, inner = 5120, 13_824
    layers = max(1, round((gigabytes * 10**9 / 2 - 2 * 32_000 * width) / (4 * width**2 + 3 * width * inner)))
    config = {**CONFIG, "num_hidden_layers": layers}
    shapes = described_family(config).expected_shapes(config)
    assert shapes is not None
    shards: list[dict[str, tuple[str, tuple[int, ...]]]] = [{}]
    size = 0
    for name, shape in shapes.items():
        shards[-1][name] = ("BF16", shape)
        size += 2 * math.prod(shape)
        if size > SHARD_BYTES:
            shards.append({})
            size = 0
    shards = [shard for shard in shards if shard]
    names = [f"model-{n + 1:05}-of-{len(shards):05}.safetensors" for n in range(len(shards))]
    places = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    total = sum(2 * math.prod(shape) for shape in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    with path.open("wb") as file:
        for name, content in (("config.json", config), ("model.safetensors.index.json", index)):
            text = json.dumps(content).encode()
            _member(file, name, text, len(text))
        for name, shard in zip(names, shards, strict=True):
            head = header_bytes(shard, {"format": "pt"})
            numbers = sum(2 * math.prod(shape) for _, shape in shard.values())
            _member(file, name, head, len(head) + numbers)
        file.truncate(file.tell() + 1024)
    return path.stat().st_size, len(shards)


def _member(file: BinaryIO, name: str, begins: bytes, size: int) -> None:
    """A member whose rest is a hole."""
    info = tarfile.TarInfo(name)
    info.size = size
    file.write(info.tobuf(tarfile.GNU_FORMAT))
    file.write(begins)
    file.seek(size - len(begins) + -size % 512, 1)


def measure(sizes: dict[str, int]) -> dict[str, Any]:
    root = Path(__file__).parents[3]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tar"
        size, shards = make(path, sizes["gb"])
        on_disk = path.stat().st_blocks * 512
        for _ in range(ROUNDS):
            code = f"from tests.bench.sections.formats_shards import alone; alone({str(path)!r})"
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
            )
            found.append(json.loads(done.stdout))
    return {
        "checkpoint, GB": round(size / 1e9, 1),
        "on disk, MB": round(on_disk / 1e6, 1),
        "shards": shards,
        "tensors": found[0][2],
        "headers read and checked, s": round(sorted(seconds for seconds, _, _ in found)[ROUNDS // 2], 3),
        "slowest of five, s": round(max(seconds for seconds, _, _ in found), 3),
        "growth of memory at its highest, MB": round(max(peak for _, peak, _ in found) / 1e6, 1),
    }
