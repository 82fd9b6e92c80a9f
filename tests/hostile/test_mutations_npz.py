"""Seeded damages of npz, its members among them: accepted is what numpy reads, the rest has a known code.

More than the usual rounds: NOCTURNE_MUTATIONS=10000 python -m pytest tests/hostile/test_mutations_npz.py
"""

from __future__ import annotations

import io
import random
import zipfile
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


def by_numpy(path: Path) -> tuple[Any, Any]:
    with np.load(path, allow_pickle=False) as opened:
        return opened["x"], opened["y"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_mutated_archives(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    accepted = refused = 0
    for index in range(rounds("npz", SEEDS)):
        path, out = tmp_path / "in", tmp_path / "out"
        path.write_bytes(npz(rng))
        try:
            info = convert_records(path, task="t", out=out, limit_bytes=2**24)
        except NocturneInputError as error:
            refused += 1
            assert documented(error.code), (index, error.code)
        else:
            accepted += 1
            x, y = by_numpy(path)
            records = Records.open(out)
            assert info["rows"] == len(records.x) == len(x)
            assert np.array_equal(x.astype(np.float32), records.x)
            assert np.array_equal(y, records.y)
            out.unlink()
        assert [left.name for left in tmp_path.iterdir()] == ["in"], index
    assert accepted + refused > 0
