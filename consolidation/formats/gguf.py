"""GGUF models of llama.cpp, read as the Hugging Face model that they were converted from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.dtypes import ITEM_BYTES
from consolidation.formats.gguf_fields import Fields
from consolidation.formats.gguf_header import GGUFHeader, GGUFTensor, read_gguf_header
from consolidation.formats.gguf_models import Architecture, architecture, unusual
from consolidation.formats.gguf_numbers import HELD_BYTES, in_order, split_halves, transposed
from consolidation.formats.gguf_rope import llama3_scaling
from consolidation.formats.gguf_tokenizer import tokenizer_files
from consolidation.formats.refusal import refuse
from consolidation.formats.tensor_source import Piece, TensorShape, TensorSource

if TYPE_CHECKING:
    from consolidation.formats.region import Region

_ROPE: Final = "rope_freqs.weight"
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_MOST_ROPE: Final = 4096
_KEPT: Final = ("general.name", "general.license")
_MOST_SAID: Final = 1000
_TORCH: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


class _Planned(NamedTuple):
    """How one tensor of ours comes out of the file."""

    source: GGUFTensor
    shape: tuple[int, ...]
    on_its_side: bool = False
    heads: int = 0  # 0: the rows stay where they are


def open_gguf(region: Region, *, filename: str) -> TensorSource:
    """The model in a GGUF file under its Hugging Face names, with config.json beside it.

    Args:
        region: the file.
        filename: the person's name for it.

    Raises:
        NocturneInputError: `gguf.*`, `tensor.name_invalid`, `tensor.strided`.
    """
    header = read_gguf_header(region)
    _ensure_whole(header, filename)
    known = architecture(header.values.get("general.architecture"))
    fields = Fields(header.values, str(header.values["general.architecture"]))
    config = known.config(fields, header.tensors)
    notes = list[str]()
    tied = _tied(region, header.tensors, notes)
    if known.outside.get("output"):
        config["tie_word_embeddings"] = tied
    if _ROPE in header.tensors and (scaling := _rope(region, header.tensors[_ROPE], config)):
        config["rope_scaling"] = scaling
    plans = _plans(header, known, config, tied=tied)
    config |= {name: _id(header, name) for name in ("bos_token_id", "eos_token_id")}
    config["torch_dtype"] = _usual(header)
    extras, more = tokenizer_files(header.values)
    notes += [*_quantised(header), *more, *_unasked(fields)]

    def read(name: str) -> Iterator[Piece]:
        plan = plans[name]
        if plan.on_its_side:
            return transposed(region, plan.source)
        if plan.heads:
            return split_halves(region, plan.source, plan.heads)
        return in_order(region, plan.source)

    return TensorSource(
        format="gguf",
        tensors={name: TensorShape(plan.source.type.dtype, plan.shape) for name, plan in plans.items()},
        read=read,
        metadata={"format": "pt"} | _said(header),
        config=config,
        companions={"config.json": json.dumps(config, indent=2, sort_keys=True).encode() + b"\n"} | extras,
        notes=tuple(notes),
    )


def _ensure_whole(header: GGUFHeader, filename: str) -> None:
    """One model in one file, and not a part of one or something that only goes with one."""
    count, kind = header.values.get("split.count", 1), header.values.get("general.type", "model")
    if isinstance(count, int) and count > 1:
        raise refuse(
            "gguf.split",
            f"{shorten(filename)} is one of {count:,} parts of a model. Join them (llama-gguf-split --merge) "
            "and choose the joined file.",
        )
    if kind != "model":
        raise unusual(f"the kind {shorten(kind, 30)} and is no model by itself")
    if not header.tensors:
        raise refuse(
            "checkpoint.no_tensors", f"{shorten(filename)} holds no tensor at all. Choose the model."
        )


def _tied(region: Region, tensors: Mapping[str, GGUFTensor], notes: list[str]) -> bool:
    """Whether the output layer is the embedding: not there at all, or there with the same bytes."""
    if _OUTPUT not in tensors:
        return True
    one, two = tensors[_OUTPUT], tensors[_EMBEDDING]
    if (one.type, one.shape) != (two.type, two.shape):
        return False
    # A file that is cut meanwhile gives fewer pieces; that is noticed when the numbers are read.
    pieces = zip(region.chunks(one.start, one.size), region.chunks(two.start, two.size), strict=False)
    if not all(a == b for a, b in pieces):
        return False
    notes.append("The output layer is the embedding once more and was left out.")
    return True


def _rope(region: Region, tensor: GGUFTensor, config: Mapping[str, Any]) -> dict[str, Any] | None:
    head = config.get("head_dim") or config["hidden_size"] // max(1, config["num_attention_heads"])
    if tensor.type.name != "F32" or len(tensor.shape) != 1 or tensor.shape[0] > _MOST_ROPE:
        raise unusual("factors of its positions (rope_freqs) in an unknown form")
    factors = np.frombuffer(b"".join(in_order(region, tensor)), dtype="<f4").tolist()
    if len(factors) * 2 != head or "rope_scaling" in config:
        raise unusual("factors of its positions (rope_freqs) that do not fit its heads")
    return llama3_scaling(factors, theta=config["rope_theta"])


def _plans(
    header: GGUFHeader, known: Architecture, config: Mapping[str, Any], *, tied: bool
) -> dict[str, _Planned]:
    plans = dict[str, _Planned]()
    for name, tensor in header.tensors.items():
        renamed = known.rename(name)
        if renamed is None or (tied and name == _OUTPUT):
            continue
        ours, part = renamed
        plan = _Planned(tensor, tensor.shape)
        held = 0
        if part in known.transposed and name.endswith(".weight"):
            if len(tensor.shape) != 2:
                raise refuse(
                    "gguf.dims",
                    f"The tensor {shorten(name)} has {len(tensor.shape)} dimensions; such a matrix has 2. "
                    "Convert the model again with the tools of llama.cpp.",
                )
            plan, held = _Planned(tensor, tensor.shape[::-1], on_its_side=True), tensor.elements
        elif part in known.heads:
            heads = config[known.heads[part]]
            if not heads or tensor.shape[0] % (2 * heads):
                raise refuse(
                    "gguf.kv_invalid",
                    f"The file says that the model has {heads:,} heads, and the {tensor.shape[0]:,} rows of "
                    f"{shorten(name)} are not that many pairs. Convert the model again.",
                )
            plan, held = _Planned(tensor, tensor.shape, heads=heads), tensor.elements // heads
        if held * ITEM_BYTES[tensor.type.dtype] > HELD_BYTES:
            raise refuse(
                "tensor.strided",
                f"The numbers of tensor {shorten(name)} have to be rearranged, and are more than can be held "
                "at once. Upload the Hugging Face folder that the model was converted from.",
            )
        plans[ours] = plan
    return plans


def _id(header: GGUFHeader, name: str) -> int | None:
    value = header.values.get(f"tokenizer.ggml.{name}")
    return value if type(value) is int and 0 <= value < limits.GGUF_ITEMS else None


def _usual(header: GGUFHeader) -> str:
    """The number format of most of the model, as config.json names it: norms are F32 in a file of F16 too."""
    counts = Counter[str]()
    for tensor in header.tensors.values():
        counts[tensor.type.dtype] += tensor.elements
    return _TORCH[max(counts, key=lambda kind: counts[kind])]


def _said(header: GGUFHeader) -> dict[str, str]:
    said = {key: header.values.get(key) for key in _KEPT}
    return {key: text for key, text in said.items() if isinstance(text, str) and len(text) <= _MOST_SAID}


def _quantised(header: GGUFHeader) -> list[str]:
    kinds = [tensor.type.name for tensor in header.tensors.values() if not tensor.type.plain]
    if not kinds:
        return []
    return [
        f"{len(kinds):,} of {len(header.tensors):,} tensors were quantised "
        f"({', '.join(sorted(set(kinds)))}); they were written out as F32, which holds their values exactly."
    ]


def _unasked(fields: Fields) -> list[str]:
    left = [shorten(key, 60) for key in fields.unasked()]
    return [f"Not taken over: {', '.join(left[:6])}{', ...' if len(left) > 6 else ''}."] if left else []
