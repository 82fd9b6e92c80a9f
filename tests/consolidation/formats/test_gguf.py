"""GGUF: what llama.cpp's own package writes comes out under Hugging Face's names, with the same numbers."""

from __future__ import annotations

import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

from consolidation.errors import NocturneInputError
from consolidation.formats import limits
from consolidation.formats.checkpoint import extras_path, inspect_checkpoint
from consolidation.formats.ggml_types import OTHERS, TYPES
from consolidation.formats.gguf import open_gguf
from consolidation.formats.gguf_rope import llama3_scaling
from consolidation.formats.region import Region
from consolidation.formats.sniff import sniff
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.gguf_files import (
    FIELDS,
    GPT2,
    LLAMA,
    WEIGHTS,
    converted,
    entry,
    gpt2_weights,
    llama_weights,
    pair,
    raw,
    text,
    tiny,
    written,
)

if TYPE_CHECKING:
    from pathlib import Path

    from consolidation.formats.tensor_source import TensorSource


def opened(path: Path) -> TensorSource:
    return open_gguf(Region.of(path), filename="model.gguf")


def numbers(source: TensorSource, name: str) -> Any:
    """One tensor as numpy sees it."""
    kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}[source.tensors[name].dtype]
    data = b"".join(source.read(name))
    assert len(data) == source.tensors[name].size
    return np.frombuffer(data, dtype=kind).reshape(source.tensors[name].shape)


@pytest.mark.parametrize("architecture", WEIGHTS)
def test_names_shapes_and_order_are_those_before_the_conversion(architecture: str, tmp_path: Path) -> None:
    source = opened(tiny(tmp_path / "m", architecture))
    weights = WEIGHTS[architecture]()
    assert set(source.tensors) == set(weights)
    for name, value in weights.items():
        assert np.array_equal(numbers(source, name), value), name
    assert json.loads(source.companions["config.json"]) == source.config
    assert source.config is not None
    assert source.config["model_type"] == architecture


@pytest.mark.parametrize("architecture", WEIGHTS)
def test_it_is_checked_against_its_family_and_written_anew(architecture: str, tmp_path: Path) -> None:
    path, out = tiny(tmp_path / "m", architecture), tmp_path / "out"
    info = inspect_checkpoint(path, out=out)
    assert (info["format"], info["config"]["model_type"]) == ("gguf", architecture)
    assert info["family"] == ("encoder" if architecture == "bert" else "causal_lm")
    weights, copy = WEIGHTS[architecture](), load_file(out)
    assert copy.keys() == weights.keys()
    assert all(np.array_equal(copy[name], value) for name, value in weights.items())
    assert [extra["name"] for extra in info["extras"]] == ["config.json"]
    assert json.loads(extras_path(out).read_bytes())["model_type"] == architecture
    assert inspect_checkpoint(out, out=tmp_path / "again")["config"] == info["config"]


def test_a_model_that_lacks_a_layer_is_refused_by_its_family(tmp_path: Path) -> None:
    tensors = converted("llama", llama_weights(), LLAMA)
    del tensors["blk.1.attn_k.weight"]
    with pytest.raises(NocturneInputError, match=r"model\.layers\.1\.self_attn\.k_proj") as caught:
        inspect_checkpoint(written(tmp_path / "m", "llama", tensors, LLAMA), out=tmp_path / "out")
    assert code_of(caught) == "checkpoint.shapes"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_the_description_is_what_the_file_says(tmp_path: Path) -> None:
    said = {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "general.name": "<b>mine</b>"}
    source = opened(tiny(tmp_path / "m", more=said))
    assert source.config == {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 48, "hidden_size": 32,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "bos_token_id": 1,
        "eos_token_id": 2, "torch_dtype": "float32",
    }  # fmt: skip
    assert source.metadata == {"format": "pt", "general.name": "<b>mine</b>"}


def test_a_file_of_as_many_tensors_as_a_brace_has_in_ascii_is_gguf_too(tmp_path: Path) -> None:
    data = raw([], [entry(f"t{n}", [8], 0, 32 * n) for n in range(123)], bytes(123 * 32))
    (tmp_path / "m").write_bytes(data)
    assert data[8:9] == b"{"
    assert sniff(tmp_path / "m") == "gguf"


# -------------------------------------------------------------------------------- number formats


def test_the_table_of_formats_is_that_of_the_package() -> None:
    theirs = gguf.constants.GGML_QUANT_SIZES
    for number, kind in TYPES.items():
        assert gguf.GGMLQuantizationType(number).name == kind.name
        assert theirs[gguf.GGMLQuantizationType(number)] == (kind.numbers, kind.size)
    assert {number: gguf.GGMLQuantizationType(number).name for number in OTHERS} == OTHERS
    assert {int(number) for number in gguf.GGMLQuantizationType} == set(TYPES) | set(OTHERS)


QUANTISED = [kind.name for kind in TYPES.values() if not kind.plain]
WIDE: dict[str, Any] = LLAMA | {"embedding_length": 256, "feed_forward_length": 256, "block_count": 1}
WIDE |= {"rope.dimension_count": 64, "attention.head_count_kv": 4}


def wide(path: Path, kind: str, data: Any) -> Path:
    """A LLaMA whose `attn_q` and `ffn_up` are 256 x 256, both from the same bytes or numbers."""
    rng = np.random.default_rng(8)
    names = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    tensors: dict[str, Any] = {f"blk.0.{n}.weight": rng.random((256, 256)).astype("f4") for n in names}
    tensors |= {f"blk.0.{n}.weight": np.ones(256, "f4") for n in ("attn_norm", "ffn_norm")}
    tensors |= {"token_embd.weight": np.ones((48, 256), "f4"), "output_norm.weight": np.ones(256, "f4")}
    tensors |= {"blk.0.attn_q.weight": data, "blk.0.ffn_up.weight": data}
    return written(
        path, "llama", tensors, WIDE,
        quantised={"blk.0.attn_q.weight": kind, "blk.0.ffn_up.weight": kind},
    )  # fmt: skip


UP, QUERY = "model.layers.0.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize("name", QUANTISED)
def test_every_block_is_what_the_package_makes_of_it(name: str, tmp_path: Path) -> None:
    kind = next(kind for kind in TYPES.values() if kind.name == name)
    rng = np.random.default_rng(kind.number)
    blocks = rng.integers(0, 256, (256, 256 // kind.numbers * kind.size), dtype=np.uint8)
    source = opened(wide(tmp_path / "m", name, blocks))
    with np.errstate(all="ignore"):
        theirs = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name])
    assert source.tensors[UP].dtype == "F32"
    assert np.array_equal(numbers(source, UP), theirs, equal_nan=True)
    # The rows of a query are in pairs, head by head; they are put in order as whole rows.
    order = np.concatenate([h * 64 + np.arange(64).reshape(32, 2).T.ravel() for h in range(4)])
    assert np.array_equal(numbers(source, QUERY), theirs[order], equal_nan=True)
    assert any(name in note and "2 of 11 tensors" in note for note in source.notes)


@pytest.mark.parametrize(
    ("name", "levels"), [("Q8_0", 127), ("Q4_0", 8), ("Q4_1", 15), ("Q5_0", 16), ("Q5_1", 31)]
)
def test_what_was_quantised_comes_back_within_a_step(name: str, levels: int, tmp_path: Path) -> None:
    original = np.random.default_rng(1).normal(0, 1, (256, 256)).astype("f4")
    source = opened(wide(tmp_path / "m", name, original))
    blocks = original.reshape(-1, 32)
    reach = np.ptp(blocks, axis=1) if name.endswith("_1") else abs(blocks).max(axis=1)
    error = abs(numbers(source, UP).reshape(-1, 32) - blocks).max(axis=1)
    # One step: the formats without a minimum cut the far end of the other sign by up to one.
    assert (error <= 1.01 * reach / levels).all()


def _k_block(name: str, rng: np.random.Generator) -> tuple[bytes, Any]:
    """One block of a K format, packed bit by bit as ggml's structs say, and the 256 numbers that it holds."""
    d, least = np.float16(0.25), np.float16(0.125)
    if name == "Q6_K":
        scales, q = rng.integers(-128, 128, 16), rng.integers(0, 64, 256)
        low, high = bytearray(128), bytearray(64)
        for n, value in enumerate(q):
            half, place = divmod(n, 128)
            row, column = divmod(place, 32)
            low[64 * half + 32 * (row % 2) + column] |= (int(value) & 15) << (4 * (row // 2))
            high[32 * half + column] |= (int(value) >> 4) << (2 * row)
        data = bytes(low) + bytes(high) + scales.astype("i1").tobytes() + d.tobytes()
        return data, np.float32(d) * scales.repeat(16) * (q - 32)
    if name == "Q2_K":
        scales, mins, q = rng.integers(0, 16, 16), rng.integers(0, 16, 16), rng.integers(0, 4, 256)
        data = (scales | mins << 4).astype("u1").tobytes() + _crumbs(q) + d.tobytes() + least.tobytes()
        return data, np.float32(d) * scales.repeat(16) * q - np.float32(least) * mins.repeat(16)
    if name == "Q3_K":
        scales, q = rng.integers(0, 64, 16), rng.integers(0, 8, 256)
        mask, packed = bytearray(32), bytearray(12)
        for n, value in enumerate(q):
            mask[n % 32] |= (int(value) >> 2) << (n // 32)
        for n, value in enumerate(scales):
            packed[n % 8] |= (int(value) & 15) << (4 * (n // 8))
            packed[8 + n % 4] |= (int(value) >> 4) << (2 * (n // 4))
        data = bytes(mask) + _crumbs(q & 3) + bytes(packed) + d.tobytes()
        return data, np.float32(d) * (scales - 32).repeat(16) * (q - 4)
    five = name == "Q5_K"
    scales, mins, q = rng.integers(0, 64, 8), rng.integers(0, 64, 8), rng.integers(0, 32 if five else 16, 256)
    packed, nibbles, bits = bytearray(12), bytearray(128), bytearray(32)
    for n in range(4):
        packed[n] = int(scales[n]) | (int(scales[n + 4]) >> 4) << 6
        packed[n + 4] = int(mins[n]) | (int(mins[n + 4]) >> 4) << 6
        packed[n + 8] = int(scales[n + 4]) & 15 | (int(mins[n + 4]) & 15) << 4
    for n, value in enumerate(q):
        pairs, place = divmod(n, 64)
        nibbles[32 * pairs + place % 32] |= (int(value) & 15) << (4 * (place // 32))
        bits[n % 32] |= (int(value) >> 4) << (n // 32)
    data = d.tobytes() + least.tobytes() + bytes(packed) + (bytes(bits) if five else b"") + bytes(nibbles)
    return data, np.float32(d) * scales.repeat(32) * q - np.float32(least) * mins.repeat(32)


def _crumbs(q: Any) -> bytes:
    """Numbers of two bits, 128 in 32 bytes: each byte has one of each quarter."""
    packed = bytearray(64)
    for n, value in enumerate(q):
        half, place = divmod(n, 128)
        packed[32 * half + place % 32] |= int(value) << (2 * (place // 32))
    return bytes(packed)


@pytest.mark.parametrize("name", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"])
def test_the_numbers_that_were_packed_into_k_blocks_come_out(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    made = [_k_block(name, rng) for _ in range(8)]
    row = np.frombuffer(b"".join(data for data, _ in made), dtype=np.uint8).reshape(8, -1)
    source = opened(wide(tmp_path / "m", name, row.repeat(32, axis=0)))
    expected = np.stack([values for _, values in made]).astype("f4").repeat(32, axis=0)
    assert np.array_equal(numbers(source, UP), expected)


@pytest.mark.parametrize(("dtype", "kind"), [("float16", "F16"), ("float64", "F64"), ("float32", "F32")])
def test_plain_numbers_stay_what_they_are(dtype: str, kind: str, tmp_path: Path) -> None:
    weights = llama_weights(dtype)
    source = opened(written(tmp_path / "m", "llama", converted("llama", weights, LLAMA), LLAMA))
    assert {entry.dtype for entry in source.tensors.values()} == {kind}
    assert all(np.array_equal(numbers(source, name), value) for name, value in weights.items())
    assert source.config is not None
    assert source.config["torch_dtype"] == dtype
    assert not any("quantised" in note for note in source.notes)


def test_bf16_stays_bf16_and_norms_may_be_wider(tmp_path: Path) -> None:
    tensors = converted("llama", llama_weights(), LLAMA)
    kinds = {name: "BF16" for name, value in tensors.items() if value.ndim == 2}
    source = opened(written(tmp_path / "m", "llama", tensors, LLAMA, quantised=kinds))
    theirs = gguf.quants.quantize(tensors["blk.1.ffn_up.weight"], gguf.GGMLQuantizationType.BF16)
    assert b"".join(source.read("model.layers.1.mlp.up_proj.weight")) == theirs.tobytes()
    assert source.tensors["model.norm.weight"].dtype == "F32"
    assert source.config is not None
    assert source.config["torch_dtype"] == "bfloat16"
    assert not any("quantised" in note for note in source.notes)


def test_memory_stays_flat_while_a_large_tensor_is_written_out(tmp_path: Path) -> None:
    kind = next(kind for kind in TYPES.values() if kind.name == "Q4_0")
    rows, width = 4096, 4096
    size = rows * width // 32 * kind.size
    head = raw(
        [pair(f"llama.{k}", *_packed(v)) for k, v in WIDE.items()]
        + [pair("general.architecture", 8, text("llama"))],
        [entry("token_embd.weight", [width, rows], kind.number, 0)],
        b"\0",
    )[:-1]
    with (tmp_path / "m").open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    source = opened(tmp_path / "m")
    tracemalloc.start()
    total = sum(len(piece) for piece in source.read("model.embed_tokens.weight"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 4 * rows * width == 64 * 2**20
    assert peak < 32 * 2**20


def _packed(value: Any) -> tuple[int, bytes]:
    kind = np.float32 if isinstance(value, float) else np.uint32
    return 6 if isinstance(value, float) else 4, kind(value).tobytes()


# -------------------------------------------------------------------------------- the model


def test_an_output_layer_that_is_the_embedding_is_tied(tmp_path: Path) -> None:
    tensors = converted("gpt2", gpt2_weights(), GPT2)
    same = opened(
        written(tmp_path / "a", "gpt2", tensors | {"output.weight": tensors["token_embd.weight"]}, GPT2)
    )
    assert same.config is not None
    assert same.config["tie_word_embeddings"] is True
    assert "lm_head.weight" not in same.tensors
    assert any("left out" in note for note in same.notes)
    other = opened(
        written(tmp_path / "b", "gpt2", tensors | {"output.weight": tensors["token_embd.weight"] + 1}, GPT2)
    )
    assert other.config is not None
    assert other.config["tie_word_embeddings"] is False
    assert np.array_equal(numbers(other, "lm_head.weight"), gpt2_weights()["transformer.wte.weight"] + 1)
    coarse = opened(
        written(
            tmp_path / "c", "gpt2", tensors | {"output.weight": tensors["token_embd.weight"]}, GPT2,
            quantised={"output.weight": "Q8_0"},
        )
    )  # fmt: skip
    assert coarse.config is not None
    assert coarse.config["tie_word_embeddings"] is False


def _llama3(theta: float, head: int, factor: float) -> Any:
    """As the releases compute it: wavelengths against 8192 positions."""
    waves = 2 * np.pi * theta ** (np.arange(0, head, 2) / head)
    smooth = (8192 / waves - 1) / 3
    return np.where(
        waves < 2048, 1.0, np.where(waves > 8192, factor, 1 / ((1 - smooth) / factor + smooth))
    ).astype("f4")


def test_llama_3s_scaled_positions_are_recognised(tmp_path: Path) -> None:
    tensors = converted("llama", llama_weights(), LLAMA)
    fields = LLAMA | {"rope.freq_base": 500000.0}
    factors = _llama3(500000.0, 8, 32.0)
    assert 1.0 in factors
    assert 32.0 in factors
    source = opened(written(tmp_path / "m", "llama", tensors | {"rope_freqs.weight": factors}, fields))
    assert source.config is not None
    assert source.config["rope_scaling"] == {
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    assert set(source.tensors) == set(llama_weights())
    assert llama3_scaling(_llama3(500000.0, 128, 8.0).tolist(), theta=500000.0) is not None
    assert llama3_scaling([1.0] * 64, theta=500000.0) is None
    with pytest.raises(NocturneInputError) as caught:
        llama3_scaling([1.0, 2.0, 3.0], theta=500000.0)
    assert code_of(caught) == "gguf.architecture"


ODD: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a-mixture-of-experts": ("gguf.architecture", {"llama.expert_count": 8}, {}),
    "positions-in-a-part": ("gguf.architecture", {"llama.rope.dimension_count": 4}, {}),
    "yarn": ("gguf.architecture", {"llama.rope.scaling.type": "yarn"}, {}),
    "an-unknown-tensor": ("gguf.architecture", {}, {"blk.0.attn_sinks.weight": np.ones(4, "f4")}),
    "an-unknown-tensor-outside": ("gguf.architecture", {}, {"v.patch_embd.weight": np.ones(4, "f4")}),
    "heads-that-do-not-divide": (
        "gguf.kv_invalid", {"llama.attention.head_count": 3, "llama.rope.dimension_count": 10}, {},
    ),
    "no-heads": ("gguf.kv_invalid", {"llama.attention.head_count_kv": 0}, {}),
    "a-number-as-text": ("gguf.kv_invalid", {"llama.block_count": "2"}, {}),
    "a-flag-as-number": ("gguf.kv_invalid", {"llama.block_count": True}, {}),
    "heads-by-layer": ("gguf.kv_invalid", {"llama.attention.head_count_kv": [2, 2]}, {}),
    "an-infinite-base": ("gguf.kv_invalid", {"llama.rope.freq_base": float("inf")}, {}),
    "one-part-of-three": ("gguf.split", {"split.count": 3}, {}),
    "an-adapter": ("gguf.architecture", {"general.type": "adapter"}, {}),
    "odd-factors": ("gguf.architecture", {}, {"rope_freqs.weight": np.array([1, 2, 3, 4], "f4")}),
    "factors-of-other-heads": ("gguf.architecture", {}, {"rope_freqs.weight": np.ones(6, "f4")}),
}  # fmt: skip


@pytest.mark.parametrize("row", ODD)
def test_what_would_come_out_wrong_is_refused(row: str, tmp_path: Path) -> None:
    code, more, extra = ODD[row]
    fields = {k: v for k, v in LLAMA.items() if f"llama.{k}" not in more}
    path = written(
        tmp_path / "m", "llama", converted("llama", llama_weights(), LLAMA) | extra, fields, more=more
    )
    with pytest.raises(NocturneInputError) as caught:
        opened(path)
    assert code_of(caught) == code


def test_an_architecture_that_is_not_read_is_told_which_are(tmp_path: Path) -> None:
    path = written(tmp_path / "m", "mamba", {"token_embd.weight": np.ones((4, 4), "f4")}, {})
    with pytest.raises(NocturneInputError, match=r"llama.*gpt2.*bert") as caught:
        opened(path)
    assert code_of(caught) == "gguf.architecture"
    assert "mamba" in caught.value.message


@pytest.mark.parametrize("architecture", FIELDS)
def test_every_key_that_a_model_needs_is_asked_for_by_name(architecture: str, tmp_path: Path) -> None:
    own = {"rope.freq_base", "rope.dimension_count", "vocab_size", "attention.head_count_kv", "pooling_type"}
    tensors = converted(architecture, WEIGHTS[architecture](), FIELDS[architecture])
    for number, missing in enumerate(set(FIELDS[architecture]) - own - {"attention.causal"}):
        fields = {key: value for key, value in FIELDS[architecture].items() if key != missing}
        path = written(tmp_path / str(number), architecture, tensors, fields)
        with pytest.raises(NocturneInputError, match=rf"{architecture}\.{missing} is missing") as caught:
            opened(path)
        assert code_of(caught) == "gguf.kv_invalid"


def test_a_transposed_matrix_that_could_not_be_held_is_refused(tmp_path: Path) -> None:
    names = [pair(f"gpt2.{k}", *_packed(v)) for k, v in GPT2.items()]
    names.append(pair("general.architecture", 8, text("gpt2")))
    entries = [
        entry("token_embd.weight", [8], 0, 0), entry("blk.0.ffn_up.weight", [2**14, 2**14], 0, 32),
    ]  # fmt: skip
    head = raw(names, entries, b"\0")[:-1]
    with (tmp_path / "m").open("wb") as file:
        file.write(head)
        file.truncate(len(head) + 32 + 2**30)
    with pytest.raises(NocturneInputError) as caught:
        opened(tmp_path / "m")
    assert code_of(caught) == "tensor.strided"


def test_a_file_that_becomes_shorter_is_noticed(tmp_path: Path) -> None:
    path = tiny(tmp_path / "m", quantised={"blk.1.ffn_up.weight": "Q8_0"})
    source = opened(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    for name in source.tensors:
        try:
            read = b"".join(source.read(name))
        except NocturneInputError as error:
            assert error.code == "tensor.size_mismatch"
        else:
            assert len(read) == source.tensors[name].size


def test_the_limits_leave_room_for_the_largest_real_vocabularies() -> None:
    assert limits.GGUF_ITEMS > 400_000
    assert limits.HEADER_BYTES > 12 * 2**20
