"""Seeded damages of models' folders: what is accepted gives the numbers that went in, the rest a known code.

More than the usual rounds: NOCTURNE_MUTATIONS=10000 python -m pytest tests/hostile/test_mutations_folders.py
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, load_file

from consolidation.errors import NocturneInputError
from consolidation.formats.refusal import CODES
from tests.consolidation.formats.folders import (
    BERT,
    GPT2,
    LLAMA,
    LORA,
    TOKENIZER,
    Files,
    adapter,
    inspected,
    js,
    model,
    numbers,
    packed,
    sharded,
)
from tests.hostile.mutating import rounds
from tests.hostile.test_a32_a36_tars import summed

ROUNDS = rounds("folders", 8)
LIMIT = 2**24
# What the families say, beside the codes of the formats.
KNOWN = {*CODES, "checkpoint.shapes", "checkpoint.config", "checkpoint.config_missing"}
KINDS = ("zip", "zip-deflated", "tar-gnu", "tar-pax", "tar.gz")
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1.5, "", "x", "../x", "\ud800", [], {}, [[]], {"a": {}},
    [0] * 50, "(a+)+", "a" * 5000,
)  # fmt: skip


def folder(rng: random.Random) -> Files:
    """A small valid folder of one of the kinds."""
    kind = rng.randrange(5)
    if kind == 0:
        files = {"config.json": js(LLAMA), **sharded(numbers(LLAMA))}
    elif kind == 1:
        files = model(GPT2)
    elif kind == 2:
        files = model(BERT)
    elif kind == 3:
        files = adapter(LORA)
    else:
        files = model(LLAMA)
    return files | {"tokenizer.json": js(TOKENIZER), "README.md": b"hello"}


def spoil(value: Any, rng: random.Random) -> Any:
    """A JSON value with one part of it replaced, removed or put elsewhere."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        change = rng.randrange(5)
        if change == 0:
            return {name: one for name, one in value.items() if name != key}
        if change == 1:
            return {**value, f"{key}x": value[key]}
        return {**value, key: spoil(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        place = rng.randrange(len(value))
        return [*value[:place], spoil(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def damage(data: bytes, rng: random.Random) -> bytes:
    """One to three small damages of some bytes."""
    raw = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if not raw:
            break
        place, kind = rng.randrange(len(raw)), rng.randrange(5)
        if kind == 0:
            raw[place] = rng.randrange(256)
        elif kind == 1:
            del raw[place : place + rng.randint(1, 600)]
        elif kind == 2:
            raw[place:place] = raw[place : place + rng.randint(1, 600)]
        elif kind == 3:
            raw = raw[:place]
        else:
            raw[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x80"])
    return bytes(raw)


def header(tar: bytes, rng: random.Random) -> bytes:
    """A damage of one header of a tar, its checksum made right again."""
    places = [place for place in range(0, len(tar), 512) if tar[place + 257 : place + 262] == b"ustar"]
    place = rng.choice(places)
    raw = bytearray(tar[place : place + 512])
    start, size = rng.choice([(0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155)])
    for _ in range(rng.randint(1, 4)):
        raw[start + rng.randrange(size)] = rng.choice(b"\0/.5x17L\x80\xff2SKg\\:")
    return tar[:place] + summed(raw) + tar[place + 512 :]


def mutated(rng: random.Random) -> tuple[bytes, bool]:
    """Damages of the JSON, of the names, of the members, of headers, or of the archive's raw bytes; and
    whether the numbers of the weights must have stayed what they were, if it is accepted at all."""
    files, kind = folder(rng), rng.choice(KINDS)
    way = rng.random()
    if way < 0.45:
        name = rng.choice([name for name in files if name.endswith(".json")])
        files[name] = json.dumps(spoil(json.loads(files[name]), rng)).encode()
    elif way < 0.6:
        name = rng.choice(sorted(files))
        files[name] = damage(files[name], rng)
        return packed(files, kind), not name.endswith(".safetensors")
    elif way < 0.75:
        name = rng.choice(sorted(files))
        content = files.pop(name)
        for other in rng.choice([(), (f"sub/{name}",), (name.upper(), name), ("x.safetensors",), ("..",)]):
            files[other] = content
    elif way < 0.88 and kind.startswith("tar"):
        tar = header(packed(files, "tar-gnu"), rng)
        return gzip.compress(tar, 1) if kind == "tar.gz" else tar, True
    else:
        # Of these, only a tar's contents have no checksum.
        return damage(packed(files, kind), rng), not kind.startswith("tar-")
    return packed(files, kind), True


WENT_IN = [numbers(config) for config in (LLAMA, GPT2, BERT)] + [load(adapter()["adapter_model.safetensors"])]


@pytest.mark.parametrize("seed", range(8))
def test_mutated_folders(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    accepted = 0
    for index in range(ROUNDS):
        data, untouched = mutated(rng)
        try:
            info = inspected(tmp_path, data, limit_bytes=LIMIT, filename="m.zip")
        except NocturneInputError as error:
            assert error.code in KNOWN, (index, error.code)
        else:
            accepted += 1
            copy = load_file(tmp_path / "copy")
            assert set(copy) == {one["name"] for one in info["tensors"]}
            fits = [all(np.array_equal(v, one.get(n)) for n, v in copy.items()) for one in WENT_IN]
            assert any(fits) or not untouched, index
            (tmp_path / "copy").unlink()
            (tmp_path / "copy.extras").unlink(missing_ok=True)
        assert [left.name for left in tmp_path.iterdir()] == ["model.zip"], index
    assert accepted < ROUNDS


def test_what_was_not_damaged_is_accepted(tmp_path: Path) -> None:
    rng = random.Random(99)
    for kind in KINDS:
        assert inspected(tmp_path, packed(folder(rng), kind))["tensors"]
        (tmp_path / "copy").unlink()
        (tmp_path / "copy.extras").unlink()
