"""PyTorch's file to ours, beside `cp` of the same file: seconds in turns, and the memory that it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LEAST = {"speed beside cp": 1 / 3}
TARGETS = {"growth above the largest tensor, MB": 64.0}
ROUNDS = 5


def alone(path: str, out: str) -> None:
    """The child: one file written anew; prints [seconds, peak bytes, bytes before]."""
    from consolidation.formats.checkpoint import inspect_checkpoint

    before = resident("VmRSS")
    began = time.perf_counter()
    inspect_checkpoint(path, config={"activation": "relu"}, out=out, digest=False)
    seconds = time.perf_counter() - began
    print(json.dumps([seconds, resident("VmHWM"), before]))


def resident(name: str) -> int:
    """Bytes of this process: "VmRSS" now, "VmHWM" at its highest."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def make(path: Path, megabytes: int) -> int:
    """A state_dict of a chain of square layers; the size of the largest tensor, in bytes."""
    import torch

    width = 4096
    layers = max(1, megabytes * 10**6 // (4 * width * width))
    state: dict[str, Any] = {}
    for number in range(layers):
        state[f"net.{2 * number}.weight"] = torch.randn(width, width)
        state[f"net.{2 * number}.bias"] = torch.randn(width)
    torch.save(state, path)
    os.sync()
    return 4 * width * width


def measure(sizes: dict[str, int]) -> dict[str, Any]:
    root = Path(__file__).parents[3]
    ours, plain, peaks = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path, out, copy = (Path(folder) / name for name in ("model.pt", "out", "copy"))
        largest = make(path, sizes["mb"])
        for _ in range(ROUNDS):
            began = time.perf_counter()
            subprocess.run(["cp", "--reflink=never", str(path), str(copy)], check=True)
            subprocess.run(["sync", str(copy)], check=True)
            plain.append(time.perf_counter() - began)
            module = "tests.bench.sections.formats_transcode"
            command = [
                sys.executable,
                "-c",
                f"from {module} import alone; alone({str(path)!r}, {str(out)!r})",
            ]
            done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
            seconds, peak, before = json.loads(done.stdout)
            ours.append(seconds)
            peaks.append(peak - before)
            for made in (out, copy):
                made.unlink()
        size = path.stat().st_size
    best, base = sorted(ours)[ROUNDS // 2], sorted(plain)[ROUNDS // 2]
    return {
        "file, MB": round(size / 1e6),
        "ours, MB/s, synced": round(size / best / 1e6),
        "cp, MB/s, synced": round(size / base / 1e6),
        "speed beside cp": round(base / best, 2),
        "largest tensor, MB": round(largest / 1e6, 1),
        "growth at its highest, MB": round(max(peaks) / 1e6, 1),
        "growth above the largest tensor, MB": round((max(peaks) - largest) / 1e6, 1),
    }
