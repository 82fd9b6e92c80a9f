"""Files of texts in every format, and the tokenizers that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from consolidation.formats.records import convert_records
from consolidation.formats.texts import TextOptions, TokenizerFile
from consolidation.formats.tokenizer_json import tokenizer_json as written_anew
from consolidation.memory.files import map_tensors
from tests.consolidation.text_helpers import WORDS, tokenizer_json


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def convert(
    folder: Path,
    data: bytes | None,
    *,
    name: str = "f.jsonl",
    raw: bytes | None = None,
    longest: int = 8,
    vocabulary: int = len(WORDS),
    objective: str = "classification",
    shift: int = 0,
    second: int = 0,
    classes: int | None = None,
    model_names: tuple[str, ...] = (),
    head: tuple[int, int] | None = None,
    **said: Any,
) -> dict[str, Any]:
    """With the tokenizer somewhere in the middle of a file, as companions of a checkpoint lie."""
    if data is not None:
        (folder / name).write_bytes(data)
    raw = written_anew(tokenizer_json()) if raw is None else raw
    (folder / "extras").write_bytes(b"{}\n" + raw + b"more")
    file = TokenizerFile(
        folder / "extras", 3, len(raw), longest, vocabulary, objective=objective, shift=shift, second=second,
        label_names=model_names,
    )  # fmt: skip
    return convert_records(
        folder / name, task="t", out=folder / "out", tokenizer=file, classes=classes,
        options=TextOptions(**said), head=head,
    )  # fmt: skip


def stored(folder: Path) -> tuple[list[list[int]], list[int], dict[str, Any]]:
    """x without what fills up, y, and the metadata of the record file."""
    tensors, meta = map_tensors(folder / "out")
    rows = [np.trim_zeros(row, "b").tolist() for row in tensors["x"]]
    return rows, tensors["y"].tolist(), meta
