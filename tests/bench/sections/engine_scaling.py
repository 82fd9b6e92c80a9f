"""Significance, prune and strengthen on wide MLPs from 1e7 to 3e8 parameters, each size in its own process.

Time is that of the processor in a process of one thread, which other work on the machine lengthens least. The
slope is that of log time against log n by least squares; linear work gives 1. Memory is the process's
highest resident size while it prunes and strengthens, over what it held before, in units of the largest
tensor.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from consolidation.families.adapter import adapter_of
from consolidation.memory.store import Records
from consolidation.phases.downscaling import prune, strengthen
from consolidation.phases.significance import estimate_fisher
from consolidation.weights import new_model

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (10_000_000, 30_000_000, 100_000_000, 300_000_000)
SAMPLES, REPEATS = 64, 3
PARTS = ("significance", "prune", "strengthen")
TARGETS = {f"slope of {part}": 1.15 for part in (*PARTS, "all three")} | {
    "extra memory, largest tensors": 1.0
}


def resident(field: str) -> int:
    """Bytes, from Linux's account of this process: VmRSS now, VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {field}")


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few goes: the others waited for somebody."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def alone(n: int) -> None:
    """The child: one size; prints one JSON object."""
    torch.set_num_threads(1)
    width = round(math.sqrt(n))
    config = {"layers": [64, width, width, 10], "activation": "relu", "names": ["0", "1", "2"]}
    model = new_model("mlp", config, 1).eval()
    rng = np.random.default_rng(0)
    records = Records(
        task="t",
        x=rng.normal(size=(SAMPLES, 64)).astype(np.float32),
        y=rng.integers(0, 10, SAMPLES),
        classes=10,
    )
    device = torch.device("cpu")

    def significance() -> dict[str, torch.Tensor]:
        return estimate_fisher(
            model, [records], samples=SAMPLES, labels="sampled", device=device,
            generator=torch.Generator().manual_seed(0),
        ).tensors  # fmt: skip

    began = time.process_time()
    tensors = significance()
    seconds = {"significance": time.process_time() - began}
    weights: dict[str, torch.Tensor] = dict(adapter_of(model).prunable(model))
    fisher = {name: tensors[name] for name in weights}
    count = sum(weight.numel() for weight in weights.values())
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident size begins anew
    before = resident("VmRSS")
    seconds["prune"] = best(lambda: prune(weights, fisher, "obd", round(0.02 * count)))
    seconds["strengthen"] = best(lambda: strengthen(weights, fisher, "obd", 0.1, 0.01))
    extra = resident("VmHWM") - before
    largest = max(weight.numel() * weight.element_size() for weight in weights.values())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(json.dumps({"n": parameters, "seconds": seconds, "extra": extra / largest}))


def slope(points: list[tuple[float, float]]) -> float:
    """Of log y against log x."""
    x, y = (np.log([point[axis] for point in points]) for axis in (0, 1))
    return float(np.polyfit(x, y, 1)[0])


def measure() -> dict[str, Any]:
    root = Path(__file__).parents[3]
    rows = []
    print(f"  {'parameters':>12} {'significance':>13} {'prune':>8} {'strengthen':>11} {'extra tensors':>14}")
    for n in SIZES:
        code = f"from tests.bench.sections.engine_scaling import alone; alone({n})"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
        )
        row = json.loads(done.stdout)
        rows.append(row)
        s = row["seconds"]
        print(
            f"  {row['n']:12,} {s['significance']:12.2f}s {s['prune']:7.2f}s {s['strengthen']:10.2f}s "
            f"{row['extra']:14.3f}",
            flush=True,
        )
    found = {
        f"slope of {part}": round(slope([(row["n"], row["seconds"][part]) for row in rows]), 3)
        for part in PARTS
    }
    found["slope of all three"] = round(slope([(row["n"], sum(row["seconds"].values())) for row in rows]), 3)
    found["extra memory, largest tensors"] = round(max(row["extra"] for row in rows), 3)
    return found
