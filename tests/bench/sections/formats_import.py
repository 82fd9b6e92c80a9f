"""A large JSON Lines file through the real confined child: speed by processor time, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 784
ROOT = Path(__file__).parents[3]
TARGETS = {"slowness, seconds of processor for 10 MB": 1.0, "growth with 4 times the rows, MB": 64.0}


def make(path: Path, size: int) -> int:
    """Pictures of 784 grey values, some thousand of them again and again; how many rows."""
    rng = np.random.default_rng(0)
    x = (rng.integers(0, 256, (5000, WIDTH)) * (rng.random((5000, WIDTH)) < 0.2)).tolist()
    lines = [json.dumps({"x": row, "y": number % 10}).encode() + b"\n" for number, row in enumerate(x)]
    block = b"".join(lines)
    rows = 0
    with path.open("wb") as handle:
        while handle.tell() < size:
            handle.write(block)
            rows += len(lines)
    return rows


def run(path: Path, scratch: Path, **more: Any) -> tuple[int, float, float]:
    """Rows, processor seconds, and megabytes of the child at its highest."""
    scratch.mkdir()
    request = {
        "purpose": "records", "path": str(path), "out": str(scratch / "out"), "task": "t", "transform": None,
        "classes": None, "filename": path.name, "limit_bytes": 2**40, "cpu_seconds": 36_000,
        **more,
    }  # fmt: skip
    answer = scratch / "answer.json"
    with answer.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "workers.inspect"],
            stdin=subprocess.PIPE, stdout=out, cwd=scratch,
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        assert child.stdin is not None
        child.stdin.write(json.dumps(request).encode())
        child.stdin.close()
        _, child.returncode, usage = os.wait4(child.pid, 0)
    told = json.loads(answer.read_bytes())
    if not told["ok"]:
        raise RuntimeError(told["error"])
    (scratch / "out").unlink()
    return told["info"]["rows"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def measure(sizes: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make(folder / "large.jsonl", sizes["mb"] * 10**6)
        size = (folder / "large.jsonl").stat().st_size
        rows, seconds, peak = run(folder / "large.jsonl", folder / "a")
        if rows != made:
            raise RuntimeError(f"{rows} rows of {made}")
        (folder / "large.jsonl").unlink()
        make(folder / "small.jsonl", sizes["mb"] * 10**6 // 4)
        _, _, less = run(folder / "small.jsonl", folder / "b")
    found["JSON Lines, MB"] = round(size / 1e6)
    found["rows"] = rows
    found["MB a second of processor"] = round(size / 1e6 / seconds, 1)
    found["slowness, seconds of processor for 10 MB"] = round(10 * seconds / (size / 1e6), 2)
    found["child at its highest, MB"] = round(peak)
    found["growth with 4 times the rows, MB"] = round(peak - less)
    return found
