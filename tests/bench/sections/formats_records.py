"""Records of every format, each converted in a process of its own: its processor time and its memory."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench.sections.formats_transcode import resident

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH = 784
KINDS = ("jsonl", "jsonl.gz", "csv", "csv.gz", "parquet", "npz")
# Labels and ids are held, 24 bytes a row and 40 while they are sorted; everything else must not grow.
TARGETS = {f"{kind}: growth with 4 times the rows, MB": 16.0 for kind in KINDS}


def alone(path: str, out: str) -> None:
    """The child: one file converted; prints [processor seconds, peak bytes, bytes before]."""
    from consolidation.formats.records import convert_records

    before = resident("VmRSS")
    began = time.process_time()
    convert_records(path, task="t", out=out)
    print(json.dumps([time.process_time() - began, resident("VmHWM"), before]))


def make(folder: Path, rows: int) -> dict[str, Path]:
    """The same pictures of 784 grey values in every format."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    x: NDArray[Any] = (rng.integers(0, 256, (rows, WIDTH)) * (rng.random((rows, WIDTH)) < 0.2)).astype(
        np.uint8
    )
    y = rng.integers(0, 10, rows)
    paths = {kind: folder / f"{rows}.{kind}" for kind in KINDS}
    with paths["jsonl"].open("w") as lines, paths["csv"].open("w") as table:
        table.write(",".join(["y", *(f"p{n}" for n in range(WIDTH))]) + "\n")
        for values, label in zip(x.tolist(), y.tolist(), strict=True):
            lines.write(json.dumps({"x": values, "y": label}) + "\n")
            table.write(",".join(map(str, (label, *values))) + "\n")
    for kind in ("jsonl", "csv"):
        with paths[kind].open("rb") as plain, gzip.open(paths[f"{kind}.gz"], "wb", 6) as packed:
            shutil.copyfileobj(plain, packed)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), WIDTH)
    pq.write_table(pa.table({"x": lists, "y": y}), paths["parquet"], row_group_size=2000, compression="zstd")
    np.savez(paths["npz"], x=x, y=y)
    return paths


def run(path: Path, out: Path) -> tuple[float, float, float]:
    """Processor seconds, and megabytes at the highest and before."""
    command = f"from {__name__} import alone; alone({str(path)!r}, {str(out)!r})"
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True, text=True, cwd=Path(__file__).parents[3], check=True,
    )  # fmt: skip
    seconds, peak, before = json.loads(done.stdout)
    out.unlink()
    return seconds, peak / 1e6, before / 1e6


def measure(sizes: dict[str, int]) -> dict[str, Any]:
    # A quarter of them still fills the 4 MB that are held at a time.
    rows = max(24_000, 24 * sizes["mb"])
    found: dict[str, Any] = {"records of 784 numbers": rows}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small = make(folder, rows), make(folder, rows // 4)
        for kind in KINDS:
            seconds, peak, before = run(large[kind], folder / "out")
            _, less, _ = run(small[kind], folder / "out")
            size = large[kind].stat().st_size / 1e6
            found[f"{kind}: file, MB"] = round(size, 1)
            found[f"{kind}: MB of the file a second"] = round(size / seconds, 1)
            found[f"{kind}: records a second"] = round(rows / seconds)
            found[f"{kind}: growth at its highest, MB"] = round(peak - before, 1)
            found[f"{kind}: growth with 4 times the rows, MB"] = round(peak - less, 1)
    return found
