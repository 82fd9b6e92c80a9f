"""Seeded mutations: accepted means equal to an independent reader, refused means a documented code."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from consolidation.errors import NocturneInputError
from consolidation.formats.checkpoint import inspect_checkpoint
from consolidation.formats.refusal import CODES
from tests.consolidation.formats.files import mlp_file

ROUNDS = 25
SEEDS = range(20)
FAMILY_CODES = {"checkpoint.config", "checkpoint.shapes", "checkpoint.shape_mismatch", "checkpoint.family"}


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three small damages: bytes changed, cut out, doubled, numbers exchanged."""
    raw = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(raw))
        kind = rng.randrange(6)
        if kind == 0:
            raw[place] = rng.randrange(256)
        elif kind == 1:
            del raw[place : place + rng.randint(1, 16)]
        elif kind == 2:
            raw[place:place] = raw[place : place + rng.randint(1, 16)]
        elif kind == 3:
            raw[place : place + 1] = rng.choice([b"9", b"-", b"0", b'"', b"}", b"\0", b"[", b","])
        elif kind == 4:
            raw = raw[: max(place, 1)]
        else:
            raw[place : place + 8] = rng.randrange(2**64).to_bytes(8, "little")
    return bytes(raw)


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_checkpoints(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    good = mlp_file(tmp_path / "good").read_bytes()
    for index in range(ROUNDS):
        path, out = tmp_path / f"in{index}", tmp_path / f"out{index}"
        path.write_bytes(mutate(good, rng))
        try:
            inspect_checkpoint(path, out=out)
        except NocturneInputError as error:
            assert error.code in CODES or error.code in FAMILY_CODES, error.code
            assert not out.exists()
        else:
            oracle, ours = load_file(path), load_file(out)
            assert oracle.keys() == ours.keys()
            assert all(oracle[name].tobytes() == ours[name].tobytes() for name in oracle)
