"""A strict reader of safetensors headers, and a writer of our own files.

The format: 8 bytes with the header's length (little endian), a JSON header, then the tensors' bytes without a
gap (https://huggingface.co/docs/safetensors). The reader refuses whatever a careful writer would not write,
so that two programs cannot read one file in two ways.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.dtypes import ITEM_BYTES
from consolidation.formats.refusal import refuse
from consolidation.formats.region import Region

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+\-\[\]@ ]*")
_AGAIN: Final = "Save it again with the safetensors library."


class TensorEntry(NamedTuple):
    """One tensor: number format, shape, and where its bytes lie, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """All that a file says about itself.

    Attributes:
        tensors: by name, in the order of their bytes.
        metadata: the `__metadata__` table, text to text.
        data_start: the place of the first tensor byte in the file.
    """

    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    data_start: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by name."""
        return {name: entry.shape for name, entry in self.tensors.items()}


def read_header(file: Path | Region) -> Header:
    """Read and check the header; no tensor byte is touched.

    Raises:
        NocturneInputError: any of the `safetensors.*` and `tensor.*` codes.
    """
    region = file if isinstance(file, Region) else Region.of(file)
    size, prefix = region.size, region.read(0, 8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8:
        raise refuse(
            "safetensors.header_size",
            f"The file has {size} bytes; a safetensors file begins with an 8-byte length. {_AGAIN}",
        )
    most = min(size - 8, limits.HEADER_BYTES)
    if not 2 <= length <= most:
        raise refuse(
            "safetensors.header_size",
            f"The header claims {length:,} bytes; at least 2 and at most {max(most, 2):,} are possible in "
            f"this file of {size:,} bytes. The file is cut off or not safetensors. {_AGAIN}",
            claimed=length,
            possible=most,
        )
    raw = region.read(8, length)
    table = _parse(raw)
    metadata = _metadata(table.pop("__metadata__", {}))
    if len(table) > limits.TENSORS:
        raise refuse(
            "safetensors.limit_exceeded",
            f"The file names {len(table):,} tensors; at most {limits.TENSORS:,} are read.",
        )
    entries = {name: _entry(name, value) for name, value in table.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_layout(ordered, size - 8 - length)
    return Header(ordered, metadata, 8 + length)


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(
            "safetensors.header_json", f"The header is not UTF-8 text (byte {error.start}). {_AGAIN}"
        ) from error
    if not text.startswith("{"):
        raise refuse("safetensors.header_json", f"The header does not begin with a brace. {_AGAIN}")
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_int=_whole)
    try:
        table, end = decoder.raw_decode(text)
    except RecursionError as error:
        raise refuse("safetensors.header_json", f"The header is nested too deeply. {_AGAIN}") from error
    except json.JSONDecodeError as error:
        raise refuse(
            "safetensors.header_json", f"The header is not JSON (character {error.pos:,}). {_AGAIN}"
        ) from error
    if text[end:].strip(" ") or not isinstance(table, dict):
        raise refuse("safetensors.header_json", f"Something follows the header's JSON. {_AGAIN}")
    return table


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise refuse("safetensors.duplicate_key", f"The header has {shorten(name)} twice. {_AGAIN}")
        table[name] = value
    return table


def _constant(text: str) -> NoReturn:
    raise refuse("safetensors.header_json", f"The header holds {text}, which JSON does not have. {_AGAIN}")


def _whole(text: str) -> int:
    if len(text) > 20:
        raise refuse(
            "safetensors.header_json", f"The header holds a number of {len(text):,} digits. {_AGAIN}"
        )
    return int(text)


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise refuse("safetensors.metadata", f"__metadata__ must be a table of text. {_AGAIN}")
    used = sum(len(key) + len(text) for key, text in value.items())
    if used > limits.METADATA_BYTES:
        raise refuse(
            "safetensors.metadata",
            f"__metadata__ holds {used:,} characters; at most {limits.METADATA_BYTES:,} are read. Save it "
            "with less.",
        )
    if any("\ud800" <= c <= "\udfff" for pair in value.items() for text in pair for c in text):
        raise refuse(
            "safetensors.metadata", f"__metadata__ holds half a character (a lone surrogate). {_AGAIN}"
        )
    return value


def check_name(name: str) -> str:
    """A tensor's name as it may be shown. Raises NocturneInputError (`tensor.name_invalid`, ...)."""
    if len(name) > limits.NAME_BYTES:
        raise refuse(
            "safetensors.limit_exceeded",
            f"A tensor's name has {len(name):,} characters; at most {limits.NAME_BYTES} are read.",
        )
    shown = shorten(name)
    if not _NAME.fullmatch(name) or any(part in {"", ".", ".."} for part in name.split("/")):
        raise refuse(
            "tensor.name_invalid",
            f"The tensor name “{shown}” has characters or parts that names of weights do not have. "
            "Rename it to letters, digits, dots and underscores.",
        )
    return shown


def _entry(name: str, value: Any) -> TensorEntry:
    shown = check_name(name)
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise refuse(
            "safetensors.header_json", f"Tensor {shown} needs exactly dtype, shape and data_offsets. {_AGAIN}"
        )
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise refuse(
            "tensor.dtype",
            f"Tensor {shown} has the number format {shorten(dtype)}; known are {', '.join(ITEM_BYTES)}.",
        )
    elements = _elements(shown, shape)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_natural(place) for place in offsets):
        raise refuse(
            "safetensors.offsets", f"Tensor {shown} does not say where its bytes begin and end. {_AGAIN}"
        )
    start, end = offsets
    if start > end:
        raise refuse(
            "safetensors.offsets", f"Tensor {shown} ends ({end:,}) before it begins ({start:,}). {_AGAIN}"
        )
    if elements * ITEM_BYTES[dtype] != end - start:
        # An empty range is the sign of a tensor that shares another's place.
        code = "tensor.size_mismatch" if end > start else "safetensors.offsets"
        raise refuse(
            code,
            f"Tensor {shown} has {end - start:,} bytes; its shape and format need "
            f"{elements * ITEM_BYTES[dtype]:,}. {_AGAIN}",
            tensor=shown,
        )
    return TensorEntry(dtype, tuple(shape), start, end)


def _natural(value: Any) -> bool:
    return type(value) is int and value >= 0


def _elements(shown: str, shape: Any) -> int:
    if not isinstance(shape, list):
        raise refuse("safetensors.header_json", f"The shape of tensor {shown} is not a list. {_AGAIN}")
    if len(shape) > limits.DIMENSIONS:
        raise refuse(
            "safetensors.limit_exceeded",
            f"Tensor {shown} has {len(shape):,} dimensions; at most {limits.DIMENSIONS} are read.",
        )
    if not all(_natural(size) for size in shape):
        raise refuse(
            "tensor.shape_overflow", f"The shape of tensor {shown} is not made of whole numbers from 0 up."
        )
    # Python's integers do not wrap: 2^32 x 2^32 x 4 stays what it is.
    elements = math.prod(shape)
    if elements > limits.ELEMENTS or any(size > limits.ELEMENTS for size in shape):
        raise refuse(
            "tensor.shape_overflow", f"Tensor {shown} claims more numbers than any memory could hold."
        )
    return elements


def _check_layout(ordered: Mapping[str, TensorEntry], available: int) -> None:
    place = 0
    for name, entry in ordered.items():
        if entry.start != place:
            what = "overlaps the one before it" if entry.start < place else "leaves a hole before it"
            raise refuse(
                "safetensors.offsets",
                f"Tensor {shorten(name)} begins at byte {entry.start:,} and {what} ({place:,} expected). "
                f"{_AGAIN}",
                tensor=shorten(name),
            )
        if entry.end > available:
            raise refuse(
                "tensor.size_mismatch",
                f"The file ends early: tensor {shorten(name)} needs {entry.end:,} bytes of data, "
                f"{max(available, 0):,} are there. Copy or save the file again.",
                tensor=shorten(name),
            )
        place = entry.end
    if place != available:
        raise refuse(
            "safetensors.trailing_bytes",
            f"{available - place:,} bytes follow the last tensor. The file was changed after it was saved. "
            f"{_AGAIN}",
        )


def header_bytes(tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """The first bytes of a file of ours: length and header, padded so that tensors begin at a multiple of 8.

    Args:
        tensors: (dtype, shape) by name, in the order in which the bytes will follow.
        metadata: the `__metadata__` table.
    """
    # Sorted, because the safetensors library writes it in an order of chance: one content, one sha256.
    table: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    place = 0
    for name, (dtype, shape) in tensors.items():
        end = place + math.prod(shape) * ITEM_BYTES[dtype]
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
