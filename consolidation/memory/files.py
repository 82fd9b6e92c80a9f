"""The record file: safetensors, mapped read-only, every size in it checked. Torch-free (numpy only).

Version 1 (the form that `formats/records.py` writes): x, y int64, id, perhaps z. Version 2: packed inputs as
x.data u1, x.offsets u4 or u8, x.table u1; y in the narrowest type; columns of `Rights`; `gone` uint8 [M, 16],
the ids of records that were deleted. Either may have top [N, S, k] beside z [N, S, k]. Metadata
"nocturne.records": {"version", "task", "classes", "transform"}, "objective" and "head" where they are not the
usual, and, in version 2, "codec", "shape", "dtype", "block", "words".
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from consolidation.errors import NocturneInputError
from consolidation.memory.codecs import Packed
from consolidation.memory.rights import WORDS, Rights, Words

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = NDArray[Any]
KEY = "nocturne.records"
# What a label can be: of classification as many as the set says, else a position, or two of them.
OBJECTIVES = {"classification": None, "language": 2**16, "extractive-qa": 2**32}
MAX_HEADER = 1 << 20
MOST_TENSORS = 32  # every map holds a file open
DTYPES = {
    "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


def flush_to_disk(path: Path) -> None:
    """fsync of a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def broken(why: str) -> NocturneInputError:
    """The one refusal of a record file that is not as we write them."""
    return NocturneInputError(
        "records.format", f"This is not a record file of Nocturne: {why}. Convert the records again."
    )


def write_tensors(target: Path, tensors: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Writes `target`, whole or not at all (fsync, then rename)."""
    partial = target.with_name(target.name + ".part")
    try:
        flat = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        save_file(flat, partial, metadata={KEY: json.dumps(meta, sort_keys=True)})
        flush_to_disk(partial)
        partial.replace(target)
        flush_to_disk(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def map_tensors(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors as read-only memory maps and the set's own metadata. Raises `records.format`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            raise broken("its header is damaged")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        meta = json.loads(header.pop("__metadata__")[KEY])
        good = (
            isinstance(meta["task"], str) and isinstance(meta["classes"], int) and meta["version"] in (1, 2)
        )
        if len(header) > MOST_TENSORS:
            raise broken("it holds more tensors than a record file has")
        tensors = {name: _one(path, 8 + length, size, item) for name, item in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, NocturneInputError):
            raise
        raise broken("its header cannot be read") from error
    if not good or meta["classes"] < 1:
        raise broken("its metadata is incomplete")
    return tensors, meta


def _one(path: Path, start: int, size: int, item: Any) -> Array:
    dtype = np.dtype(DTYPES[item["dtype"]])
    shape = tuple(int(length) for length in item["shape"])
    begin, end = item["data_offsets"]
    count = 1
    for length in shape:
        count *= length
    inside = 0 <= begin <= end <= size - start
    if min(shape, default=1) < 0 or not inside or end - begin != count * dtype.itemsize:
        raise broken("it ends early, or its sizes do not agree")
    if count == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", start + begin, shape)


def read_meaning(meta: Mapping[str, Any]) -> dict[str, Any]:
    """{"objective", "head"} of a set. Raises `records.format`."""
    objective, head = meta.get("objective", "classification"), meta.get("head")
    if objective not in OBJECTIVES:
        raise broken("it does not say what its labels mean")
    if head is None:
        return {"objective": objective, "head": None}
    whole = isinstance(head, list) and len(head) == 2 and all(type(edge) is int for edge in head)
    if not whole or objective != "classification" or not 0 <= head[0] < head[1] <= meta["classes"]:
        raise broken("its task's head is not described as it must be")
    return {"objective": objective, "head": (head[0], head[1])}


# ------------------------------------------------------------ version 2


def packed_tensors(packed: Packed) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors and the metadata of packed inputs."""
    tensors = {"x.data": packed.data, "x.offsets": packed.offsets}
    if len(packed.table):
        tensors["x.table"] = packed.table
    return tensors, {
        "codec": packed.codec.name,
        "shape": list(packed.shape),
        "dtype": packed.dtype.str,
        "block": packed.block,
    }


def read_packed(tensors: Mapping[str, Array], meta: Mapping[str, Any], rows: int) -> Packed:
    """The packed inputs of a file with `rows` records. Raises `records.format`."""
    table = tensors.get("x.table", np.zeros(0, np.uint8))
    data, offsets = tensors["x.data"], tensors.get("x.offsets")
    shape, block = meta.get("shape"), meta.get("block")
    good = (
        offsets is not None
        and offsets.ndim == data.ndim == table.ndim == 1
        and data.dtype == table.dtype == np.uint8
        and offsets.dtype in (np.uint32, np.uint64)
        and isinstance(shape, list)
        and 2 <= len(shape) <= 8
        and all(isinstance(length, int) and 1 <= length < 1 << 32 for length in shape)
        and shape[0] == rows
        and isinstance(block, int)
        and meta.get("dtype") in [np.dtype(kind).str for kind in DTYPES.values()]
    )
    if not good or offsets is None or not isinstance(shape, list) or not isinstance(block, int):
        raise broken("its packed inputs are not described as they must be")
    if len(offsets) == 0 or int(offsets.max()) > len(data):
        raise broken("its offsets do not agree with its blocks")
    try:
        return Packed(
            str(meta.get("codec")), tuple(shape), np.dtype(meta["dtype"]), block, data=data, offsets=offsets,
            table=table,
        )  # fmt: skip
    except ValueError as error:
        raise broken(str(error)) from error


def rights_tensors(rights: Rights) -> tuple[dict[str, Array], dict[str, list[str]]]:
    """The columns of `rights` but the tombstones, and the texts for the metadata."""
    tensors: dict[str, Array] = {}
    texts: dict[str, list[str]] = {}
    for name in WORDS:
        words = getattr(rights, name)
        if isinstance(words, Words):
            texts[name] = list(words.texts)
            if words.which is not None:
                tensors[name] = words.which
    if rights.group is not None:
        tensors["group"] = rights.group.astype("<i8")
    if rights.expiry is not None:
        tensors["expiry"] = rights.expiry.astype("<i8")
    return tensors, texts


def read_rights(tensors: Mapping[str, Array], meta: Mapping[str, Any]) -> Rights:
    """The inverse. Raises `records.format`; whether columns line up is for `Rights.check`."""
    texts = meta.get("words", {})
    found: dict[str, Any] = {}
    if not isinstance(texts, dict) or not set(texts) <= set(WORDS):
        raise broken("its texts are damaged")
    for name, given in texts.items():
        which = tensors.get(name)
        good = isinstance(given, list) and given and all(isinstance(text, str) for text in given)
        if not good or (which is not None and which.dtype != np.uint16):
            raise broken("its texts are damaged")
        found[name] = Words(tuple(given), which)
    for name in ("group", "expiry"):
        if name in tensors:
            if tensors[name].dtype != np.int64:
                raise broken(f"its {name} has a wrong type")
            found[name] = tensors[name]
    return Rights(**found)
