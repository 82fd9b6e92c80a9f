"""The results file: a JSON array of rows, written whole after each row, so that a kill loses at most one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consolidation.errors import NocturneInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from consolidation.benchmarks.run import RowSpec

REQUIRED = ("method", "seed", "acc", "forgetting", "compute_ratio", "bytes", "steps", "seconds", "matrix")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; none when it does not exist.

    Raises:
        NocturneInputError: `benchmark.results` when the file is something else.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        rows = None
    good = isinstance(rows, list) and all(
        isinstance(row, dict) and all(name in row for name in (*REQUIRED, "settings")) for row in rows
    )
    if not good:
        raise NocturneInputError(
            "benchmark.results",
            f"{path.name} does not hold rows of a benchmark; nothing was changed. Name another file.",
        )
    found: list[dict[str, Any]] = rows
    return found


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Replaces the file by one with these rows: whole or not at all."""
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8") as file:
        file.write(f"[\n{lines}\n]\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def is_row_of(row: dict[str, Any], spec: RowSpec) -> bool:
    """Whether `row` is what `spec` would compute."""
    if row["method"] != spec.method or row["seed"] != spec.seed:
        return False
    return all(row["settings"].get(name) == value for name, value in spec.settings().items())
