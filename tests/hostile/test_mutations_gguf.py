"""Seeded damages of GGUF files: accepted is what llama.cpp's package reads, the rest has a known code.

More than the usual rounds: NOCTURNE_MUTATIONS=10000 python -m pytest tests/hostile/test_mutations_gguf.py
"""

from __future__ import annotations

import random
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.families.registry import check_shapes
from consolidation.formats.checkpoint import describe
from consolidation.formats.gguf_header import read_gguf_header
from consolidation.formats.open_weights import ensure_within, open_weights
from consolidation.formats.region import Region
from tests.consolidation.formats.gguf_files import (
    FIELDS,
    WEIGHTS,
    converted,
    entry,
    pair,
    raw,
    text,
    written,
)
from tests.hostile.mutating import damaged, documented, rounds

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = 2
LIMIT = 2**24
KINDS = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def good(path: Path, rng: random.Random) -> tuple[str, bytes]:
    """A small valid file of any architecture, some of its tensors quantised."""
    architecture = rng.choice(sorted(WEIGHTS))
    tensors = converted(architecture, WEIGHTS[architecture](), FIELDS[architecture])
    wide = sorted(name for name, value in tensors.items() if value.ndim == 2)
    kinds = {name: rng.choice(KINDS) for name in rng.sample(wide, 4)}
    more = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b"], "x.flag": True}
    return architecture, written(
        path, architecture, tensors, FIELDS[architecture], quantised=kinds, more=more
    ).read_bytes()


def rebuilt(data: bytes, architecture: str, rng: random.Random, path: Path) -> bytes:
    """The same file made anew with one part of it changed: a value, a shape, a type, a place, an order."""
    header = read_gguf_header(Region.of(path))
    values: dict[str, Any] = {f"{architecture}.{k}": v for k, v in FIELDS[architecture].items()}
    pairs = {"general.architecture": pair("general.architecture", 8, text(architecture))}
    for key, value in values.items():
        pairs[key] = pair(key, *_packed(value))
    infos: list[list[Any]] = [
        [name, list(reversed(t.shape)), t.type.number, data[t.start : t.start + t.size]]
        for name, t in header.tensors.items()
    ]
    change = rng.randrange(9)
    some, key = rng.randrange(len(infos)), rng.choice(sorted(values))
    if change == 0:
        pairs[key] = pair(key, rng.randrange(14), rng.randbytes(8))
    elif change == 1:
        pairs[key] = pair(key, 4, struct.pack("<I", rng.choice([0, 1, 2, 3, 7, 2**31, 2**32 - 1])))
    elif change == 2:
        infos[some][1][rng.randrange(len(infos[some][1]))] = rng.choice([0, 1, 31, 33, 2**32, 2**63])
    elif change == 3:
        infos[some][2] = rng.randrange(45)
    elif change == 4:
        infos[some][0] = infos[rng.randrange(len(infos))][0]
    elif change == 5:
        rng.shuffle(infos)
    elif change == 6:
        infos[some][1].reverse()
    elif change == 7:
        del infos[some]
    else:
        infos[some][3] = rng.randbytes(len(infos[some][3]))
    entries, body = [], b""
    for name, dims, kind, content in infos:
        entries.append(entry(name, dims, kind, len(body)))
        body += content + bytes(-len(content) % 32)
    return raw(list(pairs.values()), entries, body)


def _packed(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return 7, bytes([value])
    return (6, np.float32(value).tobytes()) if isinstance(value, float) else (4, struct.pack("<I", value))


def ours(path: Path, spool: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with ExitStack() as stack:
        source = open_weights(Region.of(path), filename="m.gguf", spool=spool, limit_bytes=LIMIT, stack=stack)
        ensure_within(source, LIMIT)
        read = {name: b"".join(source.read(name)) for name in source.tensors}
    assert all(len(read[name]) == entry.size for name, entry in source.tensors.items())
    assert source.config is not None
    family, described = describe(source, family=None, config=None)
    check_shapes(family, described, source.shapes())
    found: dict[str, Any] = {}
    for name, shape in source.tensors.items():
        if shape.dtype == "BF16":
            bits = np.frombuffer(read[name], "<u2").astype("<u4") << 16
            found[name] = bits.view("<f4").reshape(shape.shape)
        else:
            found[name] = np.frombuffer(read[name], NUMPY[shape.dtype]).reshape(shape.shape)
    return found, dict(source.config)


def theirs(path: Path) -> dict[str, Any] | None:
    """What the gguf package reads; None when it refuses, or fails in any other way."""
    try:
        reader = gguf.GGUFReader(path)
        with np.errstate(all="ignore"):
            return {
                tensor.name: np.asarray(
                    tensor.data
                    if tensor.tensor_type.name == "F64"
                    else gguf.quants.dequantize(tensor.data, tensor.tensor_type)
                ).reshape([int(side) for side in reversed(tensor.shape)])
                for tensor in reader.tensors
            }
    except Exception:
        return None


def expected(name: str, config: dict[str, Any], tensors: dict[str, Any]) -> Any:
    """One of our tensors, made of theirs: another map of names, and index by index where rows moved."""
    kind = config["model_type"]
    arch = {v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[kind]
    names = gguf.get_tensor_name_map(arch, int(config.get("num_hidden_layers") or config["n_layer"]))
    value = tensors[str(names.get_name(name, try_suffixes=(".weight", ".bias")))]
    if kind == "gpt2" and ".h." in name and value.ndim == 2:
        return value.T
    if kind == "llama" and (".q_proj." in name or ".k_proj." in name):
        heads = config["num_attention_heads" if ".q_proj." in name else "num_key_value_heads"]
        half = value.shape[0] // heads // 2
        places = [2 * half * h + 2 * i + j for h in range(heads) for j in range(2) for i in range(half)]
        return value[places]
    return value


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_mutated_gguf_files(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    accepted = compared = 0
    path = tmp_path / "m.gguf"
    sound = [good(path, rng) for _ in range(8)]
    for index in range(rounds("gguf", SEEDS)):
        architecture, data = rng.choice(sound)
        path.write_bytes(data)
        header = min(tensor.start for tensor in read_gguf_header(Region.of(path)).tensors.values())
        if rng.random() < 0.5:
            data = rebuilt(data, architecture, rng, path)
        elif rng.random() < 0.7:
            data = damaged(data[:header], rng) + data[header:]
        else:
            data = damaged(data, rng)
        path.write_bytes(data)
        try:
            read, config = ours(path, tmp_path / "spool")
        except NocturneInputError as error:
            assert documented(error.code), (index, error.code)
        else:
            accepted += 1
            oracle = theirs(path)
            # Their reader takes what ours takes, so that each one is compared.
            assert oracle is not None, index
            compared += 1
            for name, value in read.items():
                assert np.array_equal(value, expected(name, config, oracle), equal_nan=True), (index, name)
        assert [left.name for left in tmp_path.iterdir()] == ["m.gguf"], index
    assert 0 < compared == accepted
