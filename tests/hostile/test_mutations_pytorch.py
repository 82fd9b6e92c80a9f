"""Seeded damages of files of torch.save: what is accepted is what PyTorch reads, the rest has a known code.

More than the usual rounds: NOCTURNE_MUTATIONS=10000 python -m pytest tests/hostile/test_mutations_pytorch.py
"""

from __future__ import annotations

import io
import random
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from consolidation.errors import NocturneInputError
from consolidation.formats.open_weights import ensure_within, open_weights
from consolidation.formats.region import Region
from tests.hostile.mutating import documented, rounds

SEEDS = 2
ROUNDS = rounds("pytorch", SEEDS)
LIMIT = 2**24


def good(rng: random.Random) -> bytes:
    """A small valid file: views, ties, several number formats."""
    base = torch.arange(24.0).reshape(4, 6)
    weights: dict[str, Any] = {
        "a": base, "b": base.t(), "c": base[1:3, 2:], "d": torch.ones(3, dtype=torch.bfloat16),
        "e": torch.arange(5), "f": torch.nn.Parameter(torch.zeros(2)), "g": torch.tensor(1.5),
    }  # fmt: skip
    buffer = io.BytesIO()
    torch.save({"state_dict": weights, "epoch": 1} if rng.random() < 0.3 else weights, buffer)
    return buffer.getvalue()


def damage(data: bytes, rng: random.Random) -> bytes:
    """One to three small damages of some bytes."""
    raw = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if not raw:
            break
        place, kind = rng.randrange(len(raw)), rng.randrange(6)
        if kind == 0:
            raw[place] = rng.randrange(256)
        elif kind == 1:
            del raw[place : place + rng.randint(1, 8)]
        elif kind == 2:
            raw[place:place] = raw[place : place + rng.randint(1, 16)]
        elif kind == 3:
            raw[place] = rng.choice(b"(.0]}K\x86qhRcbsuQtX\x93\x8a")
        elif kind == 4:
            raw = raw[:place]
        else:
            raw[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80"])
    return bytes(raw)


def mutated(rng: random.Random) -> bytes:
    """Damages of the raw file, of its table of contents (checksums made right again), or of its members."""
    data = good(rng)
    kind = rng.random()
    if kind < 0.25:
        return damage(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    if kind < 0.8:
        members = [(name, damage(body, rng) if name.endswith("data.pkl") else body) for name, body in members]
    else:
        place = rng.randrange(len(members))
        name, body = members[place]
        change = rng.randrange(4)
        if change == 0:
            del members[place]
        elif change == 1:
            members[place] = (name, damage(body, rng))
        elif change == 2:
            members[place] = (damage(name.encode(), rng).decode("latin-1").replace("\0", "") or "x", body)
        else:
            members.append(("archive/more", body))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, body in members:
            archive.writestr(name, body)
    return buffer.getvalue()


def ours(path: Path, spool: Path) -> dict[str, bytes]:
    with ExitStack() as stack:
        source = open_weights(
            Region.of(path), filename="model.pt", spool=spool, limit_bytes=LIMIT, stack=stack
        )
        ensure_within(source, LIMIT)
        read = {name: b"".join(source.read(name)) for name in source.tensors}
    assert all(len(read[name]) == entry.size for name, entry in source.tensors.items())
    return read


def theirs(path: Path) -> dict[str, bytes] | None:
    """What PyTorch's own restricted reader makes of it; None when it refuses, or fails in any other way."""
    try:
        found = torch.load(path, weights_only=True)
    except Exception:
        return None
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    return {
        name: value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, value in found.items()
        if isinstance(value, torch.Tensor) and value.numel()
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_mutated_files_of_torch_save(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    accepted = compared = 0
    for index in range(ROUNDS):
        path = tmp_path / "model.pt"
        path.write_bytes(mutated(rng))
        try:
            read = ours(path, tmp_path / "spool")
        except NocturneInputError as error:
            assert documented(error.code), (index, error.code)
        else:
            accepted += 1
            oracle = theirs(path)
            if oracle is not None and set(oracle) <= set(read):
                compared += 1
                assert {name: read[name] for name in oracle} == oracle, index
        assert [left.name for left in tmp_path.iterdir()] == ["model.pt"], index
    assert 0 < compared <= accepted < ROUNDS
