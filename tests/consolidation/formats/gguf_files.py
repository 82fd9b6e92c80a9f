"""GGUF files for tests: good ones written by llama.cpp's own Python package, hostile ones byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gguf
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Weights = dict[str, "NDArray[Any]"]

LLAMA: Final[dict[str, Any]] = {
    "context_length": 64, "embedding_length": 32, "block_count": 2, "feed_forward_length": 64,
    "attention.head_count": 4, "attention.head_count_kv": 2, "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 10000.0, "rope.dimension_count": 8, "vocab_size": 48,
}  # fmt: skip
GPT2: Final[dict[str, Any]] = {
    "context_length": 16, "embedding_length": 32, "block_count": 2, "feed_forward_length": 128,
    "attention.head_count": 4, "attention.layer_norm_epsilon": 1e-5,
}  # fmt: skip
BERT: Final[dict[str, Any]] = {
    "context_length": 16, "embedding_length": 32, "block_count": 1, "feed_forward_length": 64,
    "attention.head_count": 4, "attention.layer_norm_epsilon": 1e-12, "attention.causal": False,
    "pooling_type": 1,
}  # fmt: skip
FIELDS: Final[dict[str, dict[str, Any]]] = {"llama": LLAMA, "qwen2": LLAMA, "gpt2": GPT2, "bert": BERT}


def llama_weights(dtype: str = "float32", *, tied: bool = False) -> Weights:
    """A tiny LLaMA under its Hugging Face names: 4 heads of 8, two of them for keys and values."""
    rng = np.random.default_rng(3)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (48, 32), "model.norm.weight": (32,)}
    if not tied:
        shapes["lm_head.weight"] = (48, 32)
    for n in range(2):
        block = f"model.layers.{n}"
        shapes |= {
            f"{block}.self_attn.q_proj.weight": (32, 32), f"{block}.self_attn.k_proj.weight": (16, 32),
            f"{block}.self_attn.v_proj.weight": (16, 32), f"{block}.self_attn.o_proj.weight": (32, 32),
            f"{block}.mlp.gate_proj.weight": (64, 32), f"{block}.mlp.up_proj.weight": (64, 32),
            f"{block}.mlp.down_proj.weight": (32, 64), f"{block}.input_layernorm.weight": (32,),
            f"{block}.post_attention_layernorm.weight": (32,),
        }  # fmt: skip
    return {name: rng.normal(0, 0.1, shape).astype(dtype) for name, shape in shapes.items()}


def qwen2_weights() -> Weights:
    """The same with offsets for queries, keys and values, as Qwen2 has them."""
    weights = llama_weights()
    rng = np.random.default_rng(6)
    for n in range(2):
        for part, rows in (("q", 32), ("k", 16), ("v", 16)):
            name = f"model.layers.{n}.self_attn.{part}_proj.bias"
            weights[name] = rng.normal(0, 0.1, rows).astype("f4")
    return weights


def gpt2_weights() -> Weights:
    """A tiny GPT-2 under its Hugging Face names; its matrices are [in, out]."""
    rng = np.random.default_rng(4)
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.wte.weight": (48, 32), "transformer.wpe.weight": (16, 32),
        "transformer.ln_f.weight": (32,), "transformer.ln_f.bias": (32,),
    }  # fmt: skip
    for n in range(2):
        for part, rows, columns in (
            ("attn.c_attn", 32, 96), ("attn.c_proj", 32, 32), ("mlp.c_fc", 32, 128), ("mlp.c_proj", 128, 32),
        ):  # fmt: skip
            shapes[f"transformer.h.{n}.{part}.weight"] = (rows, columns)
            shapes[f"transformer.h.{n}.{part}.bias"] = (columns,)
        for part in ("ln_1", "ln_2"):
            shapes |= {f"transformer.h.{n}.{part}.{kind}": (32,) for kind in ("weight", "bias")}
    return {name: rng.normal(0, 0.1, shape).astype("f4") for name, shape in shapes.items()}


def bert_weights() -> Weights:
    """A tiny BERT without a head under its Hugging Face names."""
    rng = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (48, 32), "embeddings.position_embeddings.weight": (16, 32),
        "embeddings.token_type_embeddings.weight": (2, 32), "embeddings.LayerNorm.weight": (32,),
        "embeddings.LayerNorm.bias": (32,),
    }  # fmt: skip
    for part, rows, columns in (
        ("attention.self.query", 32, 32), ("attention.self.key", 32, 32), ("attention.self.value", 32, 32),
        ("attention.output.dense", 32, 32), ("intermediate.dense", 64, 32), ("output.dense", 32, 64),
    ):  # fmt: skip
        shapes[f"encoder.layer.0.{part}.weight"] = (rows, columns)
        shapes[f"encoder.layer.0.{part}.bias"] = (rows,)
    for part in ("attention.output", "output"):
        shapes |= {f"encoder.layer.0.{part}.LayerNorm.{kind}": (32,) for kind in ("weight", "bias")}
    return {name: rng.normal(0, 0.1, shape).astype("f4") for name, shape in shapes.items()}


WEIGHTS: Final[dict[str, Callable[[], Weights]]] = {
    "llama": llama_weights, "qwen2": qwen2_weights, "gpt2": gpt2_weights, "bert": bert_weights,
}  # fmt: skip


def converted(architecture: str, weights: Weights, fields: Mapping[str, Any]) -> Weights:
    """What llama.cpp's converter makes of weights; the names are those of its own package."""
    known = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(known[architecture], fields["block_count"])
    out: Weights = {}
    for name, value in weights.items():
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert theirs is not None, name
        if architecture == "gpt2" and value.ndim == 2 and ".h." in name:
            value = np.ascontiguousarray(value.T)
        if architecture == "llama" and (".q_proj." in name or ".k_proj." in name):
            key = "attention.head_count" if ".q_proj." in name else "attention.head_count_kv"
            heads = fields[key]
            rows = value.shape[0] // heads
            value = np.concatenate(
                [value[h * rows + np.arange(rows).reshape(2, -1).T.ravel()] for h in range(heads)]
            )
        out[theirs] = value
    return out


def written(
    path: Path,
    architecture: str,
    tensors: Mapping[str, Any],
    fields: Mapping[str, Any],
    *,
    quantised: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Path:
    """A file of the gguf package: tensors under llama.cpp's names, each in its own or a quantised format."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in {**{f"{architecture}.{k}": v for k, v in fields.items()}, **(more or {})}.items():
        _add(writer, key, value)
    for name, value in tensors.items():
        kind = (quantised or {}).get(name)
        if kind is None:
            writer.add_tensor(name, value)
        else:
            number = gguf.GGMLQuantizationType[kind]
            data = value if value.dtype == np.uint8 else gguf.quants.quantize(value, number)
            writer.add_tensor(name, data, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def tiny(path: Path, architecture: str = "llama", **options: Any) -> Path:
    """A good small file of an architecture."""
    fields = FIELDS[architecture]
    tensors = converted(architecture, WEIGHTS[architecture](), fields)
    return written(path, architecture, tensors, fields, **options)


# -------------------------------------------------------------------------------- byte by byte


def text(value: str | bytes, length: int | None = None) -> bytes:
    """A text with its length, or with a false one."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def pair(key: str | bytes, kind: int, value: bytes) -> bytes:
    """A key-value of any kind."""
    return text(key) + struct.pack("<I", kind) + value


def entry(
    name: str | bytes, dims: Sequence[int], kind: int, offset: int, *, sides: int | None = None
) -> bytes:
    """A tensor's entry: its sides (the fastest first), its number format and its place."""
    count = struct.pack("<I", len(dims) if sides is None else sides)
    return text(name) + count + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", kind, offset)


def raw(
    pairs: Sequence[bytes] = (),
    entries: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
) -> bytes:
    """A whole file of such pieces, padded as it should be."""
    tensors, values = counts or (len(entries), len(pairs))
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, values) + b"".join([*pairs, *entries])
    return head + bytes(-len(head) % alignment if data else 0) + data
