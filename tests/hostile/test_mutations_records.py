"""Seeded damages of files of records: what is accepted is what another reader sees, the rest has a code.

More than the usual rounds: NOCTURNE_MUTATIONS=10000 python -m pytest tests/hostile/test_mutations_records.py
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.records import convert_records
from consolidation.memory.store import Records
from tests.hostile.mutating import documented, rounds

X = np.arange(36, dtype=np.float32).reshape(12, 3) / 4
Y = np.arange(12) % 3
TOKENS = (b"9", b"-", b"0", b'"', b"}", b"\0", b"[", b",", b"e", b"\n", b"NaN", b"=", b"\xff", b"99999999999")


def _jsonl() -> bytes:
    rows = [json.dumps({"x": a.tolist(), "y": int(b)}) for a, b in zip(X, Y, strict=True)]
    return ("\n".join(rows) + "\n").encode()


def _csv() -> bytes:
    rows = [",".join(map(str, (*a, b))) for a, b in zip(X, Y, strict=True)]
    return "\r\n".join(["a,b,c,y", *rows]).encode()


def _parquet(**options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": pa.array(list(X)), "y": Y}), buffer, row_group_size=5, **options)
    return buffer.getvalue()


def _from_jsonl(path: Path) -> tuple[Any, Any]:
    rows = [json.loads(line) for line in path.read_text().split("\n") if line.strip()]
    return np.array([row["x"] for row in rows], np.float32), [row["y"] for row in rows]


def _from_csv(path: Path) -> tuple[Any, Any]:
    text = path.read_bytes().decode("utf-8-sig")
    rows = [row for row in csv.reader(text.rstrip("\r\n").split("\n")) if "".join(row).strip()]
    names = [name.strip().lower() for name in rows[0]]
    label = names.index("y" if "y" in names else "label")
    kept = [at for at in range(len(names)) if at != label]
    x = np.array([[float(row[at]) for at in kept] for row in rows[1:]]).astype(np.float32)
    return x, [int(float(row[label])) for row in rows[1:]]


def _from_parquet(path: Path) -> tuple[Any, Any] | None:
    """By the library's other way, which reads whole columns at once; None where that way is stricter."""
    try:
        table = pq.read_table(path, use_threads=False)
    except OSError:
        return None
    labels = table["y" if "y" in table.column_names else "label"].to_pylist()
    return np.array(table["x"].to_pylist(), np.float32), labels


KINDS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], tuple[Any, Any] | None] | None]] = {
    "jsonl": ("f.jsonl", _jsonl, _from_jsonl),
    "csv": ("f.csv", _csv, _from_csv),
    "gzip": ("f.jsonl.gz", lambda: gzip.compress(_jsonl(), mtime=0), None),
    "parquet": ("f.parquet", _parquet, _from_parquet),
    "parquet-zstd": ("f.parquet", lambda: _parquet(compression="zstd", use_dictionary=False), _from_parquet),
}


def damage(data: bytes, rng: random.Random) -> bytes:
    """One to three small damages, in the last kilobyte (contents, footers) as often as anywhere."""
    raw = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not raw:
            break
        low = max(0, len(raw) - 1024) if rng.random() < 0.5 else 0
        place, kind = rng.randrange(low, len(raw)), rng.randrange(8)
        if kind == 0:
            raw[place] = rng.randrange(256)
        elif kind == 1:
            del raw[place : place + rng.randint(1, 16)]
        elif kind == 2:
            raw[place:place] = raw[place : place + rng.randint(1, 16)]
        elif kind == 3:
            token = rng.choice(TOKENS)
            raw[place : place + len(token)] = token
        elif kind == 4:
            raw = raw[: max(place, 1)]
        elif kind == 5:
            raw[place : place + 8] = rng.randrange(2**64).to_bytes(8, "little")
        elif kind == 6:
            digits = [at for at in range(len(raw)) if 48 <= raw[at] < 58]
            raw[rng.choice(digits or [place])] = rng.choice(b"0123456789.")
        else:
            raw[place] ^= 1 << rng.randrange(8)
    return bytes(raw)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_mutated_records(kind: str, tmp_path: Path) -> None:
    name, make, oracle = KINDS[kind]
    rng = random.Random(kind)
    good = make()
    accepted = compared = 0
    for index in range(rounds(kind, 1)):
        path, out = tmp_path / name, tmp_path / "out"
        path.write_bytes(damage(good, rng))
        try:
            info = convert_records(path, task="t", out=out, limit_bytes=2**24)
        except NocturneInputError as error:
            assert documented(error.code), (index, error.code)
        else:
            accepted += 1
            records = Records.open(out)
            assert info["rows"] == len(records.y)
            assert info["sha256"] and np.isfinite(records.x).all()
            if oracle is not None and (theirs := oracle(path)) is not None:
                compared += 1
                assert np.array_equal(records.x, theirs[0]), index
                assert np.array_equal(records.y, theirs[1]), index
            out.unlink()
        assert [left.name for left in tmp_path.iterdir()] == [name], index
    assert accepted < rounds(kind, 1)
    assert oracle is None or compared > 0
