"""Seeded damages of safetensors files: accepted is what the library reads, the rest has a known code.

More than the usual rounds: NOCTURNE_MUTATIONS=10000 python -m pytest tests/hostile -k safetensors
"""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.numpy import load_file

from consolidation.errors import NocturneInputError
from consolidation.formats.checkpoint import inspect_checkpoint
from tests.consolidation.formats.files import mlp_file
from tests.hostile.mutating import damaged, documented, rounds

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = 4
TOKENS = [b"9", b"-", b"0", b'"', b"}", b"{", b"[", b"]", b",", b":", b"\0", b"\\u0000", b"1e9", b"NaN"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Damages of the whole file, of its header with the length made right again, or of one field of it."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = data[8 : 8 + length], data[8 + length :]
    kind = rng.random()
    if kind < 0.3:
        return damaged(data, rng, TOKENS)
    if kind < 0.6:
        header = damaged(header, rng, TOKENS)
    else:
        table = json.loads(header)
        _change(table, rng)
        header = json.dumps(table, separators=(",", ":")).encode()
    return struct.pack("<Q", len(header)) + header + body


def _change(table: dict[str, Any], rng: random.Random) -> None:
    names = [name for name in table if name != "__metadata__"]
    name, other = rng.choice(names), rng.choice(names)
    odd: list[Any] = [0, 1, -1, 2**31, 2**63, 1.5, "4", None, True, [], {}]
    change = rng.randrange(9)
    if change == 0:
        table[name]["shape"] = [rng.choice(odd) for _ in range(rng.randint(0, 9))]
    elif change == 1:
        table[name]["data_offsets"][rng.randrange(2)] = rng.choice(odd)
    elif change == 2:
        table[name]["data_offsets"] = table[other]["data_offsets"]
    elif change == 3:
        table[name]["dtype"] = rng.choice(["F16", "BF16", "I32", "F4", "f32", "", 3, None, "F8_E4M3"])
    elif change == 4:
        table[rng.choice(["a/../b", "", "\0", "net.9.weight", "x" * 600])] = table.pop(name)
    elif change == 5:
        table["__metadata__"] = rng.choice([{}, [], "x", {"a": 1}, {"format": "pt"}, {"a": "\u202e"}])
    elif change == 6:
        table[name]["shape"] = list(reversed(table[name]["shape"]))
    elif change == 7:
        # Two tensors of one form change places: still a good file.
        table[name], table[other] = table[other], table[name]
    else:
        table[name][rng.choice(["extra", "dtype"])] = rng.choice(odd)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_mutated_safetensors(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    good = {
        described: mlp_file(tmp_path / "in", described=described).read_bytes() for described in (True, False)
    }
    (tmp_path / "in").unlink()
    accepted = refused = 0
    for index in range(rounds("safetensors", SEEDS)):
        path, out = tmp_path / "in", tmp_path / "out"
        path.write_bytes(mutated(good[rng.random() < 0.8], rng))
        try:
            inspect_checkpoint(path, config={"activation": "relu"}, out=out)
        except NocturneInputError as error:
            refused += 1
            assert documented(error.code), (index, error.code)
        else:
            accepted += 1
            oracle, ours = load_file(path), load_file(out)
            assert oracle.keys() == ours.keys()
            assert all(oracle[name].tobytes() == ours[name].tobytes() for name in oracle)
            assert all(oracle[name].shape == ours[name].shape for name in oracle)
            out.unlink()
        assert [left.name for left in tmp_path.iterdir()] == ["in"], index
    assert refused > 0
