"""Seeded damages of npz and JSON Lines: accepted is what numpy and json read, the rest has a known code.

More than the usual rounds: NOCTURNE_MUTATIONS=10000 python -m pytest tests/hostile/test_mutations_records.py
"""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.records import convert_records
from consolidation.memory.store import Records
from tests.hostile.mutating import damaged, documented, rounds

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = 3
X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 2, 1])
HEADER = [b"(", b")", b",", b"'", b"9", b"-", b"\x93", b"True", b"<f8", b">f4", b"|O", b"<i4", b"\n"]
JSON = [b"9", b"-", b'"', b"}", b"{", b"[", b"]", b",", b":", b"NaN", b"1e99", b"true", b"null", b"\\ud800"]


def npz(rng: random.Random) -> bytes:
    """An archive damaged as a whole, or one with damaged or exchanged members and right checksums."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"x": X, "y": Y}
    if rng.random() < 0.3:
        arrays["logits"] = np.ones((4, 3), np.float16)
    (np.savez if rng.random() < 0.5 else np.savez_compressed)(buffer, **arrays)
    if rng.random() < 0.3:
        return damaged(buffer.getvalue(), rng)
    with zipfile.ZipFile(buffer) as archive:
        members: list[list[Any]] = [[name, archive.read(name)] for name in archive.namelist()]
    place, change = rng.randrange(len(members)), rng.randrange(6)
    if change <= 2:
        name, body = members[place]
        head, rest = (body[:128], body[128:]) if change else (body, b"")
        members[place] = [name, damaged(head, rng, HEADER) + rest]
    elif change == 3:
        members[place][0] = rng.choice(["x.npy", "y.npy", "logits.npy", "z.npy", "../x.npy", "x", "X.npy"])
    elif change == 4:
        members[place][1] = members[rng.randrange(len(members))][1]
    else:
        rng.shuffle(members)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, body in members:
            archive.writestr(name, body)
    return out.getvalue()


def jsonl(rng: random.Random) -> bytes:
    """Lines damaged as bytes, or one of them with another value somewhere."""
    rows: list[Any] = [{"x": a.tolist(), "y": int(b)} for a, b in zip(X, Y, strict=True)]
    if rng.random() < 0.4:
        row = rng.choice(rows)
        odd: Any = rng.choice([None, True, "1", 1.5, -1, 2**70, [], {}, [1, 2], 1e39])
        change = rng.randrange(5)
        if change == 0:
            row["y"] = odd
        elif change == 1:
            row["x"][rng.randrange(3)] = odd
        elif change == 2:
            row["x"] = odd
        elif change == 3:
            row[rng.choice(["logits", "z", ""])] = odd
        else:
            rng.shuffle(rows)
        return ("\n".join(json.dumps(one) for one in rows) + rng.choice(["", "\n", "\n\n"])).encode()
    return damaged(("\n".join(json.dumps(one) for one in rows) + "\n").encode(), rng, JSON)


def by_numpy(path: Path) -> tuple[Any, Any]:
    with np.load(path, allow_pickle=False) as opened:
        return opened["x"], opened["y"]


def by_json(path: Path) -> tuple[Any, Any]:
    rows = [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]
    return np.array([row["x"] for row in rows], np.float32), np.array([row["y"] for row in rows])


MADE: dict[str, tuple[Callable[[random.Random], bytes], Callable[[Path], tuple[Any, Any]]]] = {
    "npz": (npz, by_numpy),
    "jsonl": (jsonl, by_json),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", MADE)
def test_mutated_records(kind: str, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    make, oracle = MADE[kind]
    accepted = refused = 0
    for index in range(rounds(kind, SEEDS)):
        path, out = tmp_path / "in", tmp_path / "out"
        path.write_bytes(make(rng))
        try:
            info = convert_records(path, task="t", out=out, limit_bytes=2**24)
        except NocturneInputError as error:
            refused += 1
            assert documented(error.code), (index, error.code)
        else:
            accepted += 1
            x, y = oracle(path)
            records = Records.open(out)
            assert info["rows"] == len(records.x) == len(x)
            assert np.array_equal(x.astype(np.float32), records.x)
            assert np.array_equal(y, records.y)
            out.unlink()
        assert [left.name for left in tmp_path.iterdir()] == ["in"], index
    assert accepted + refused > 0
