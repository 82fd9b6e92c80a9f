"""Numbers of GGUF tensors as safetensors keeps them, in pieces of bounded memory.

Plain formats (F32, F16, BF16, F64) stay what they are. Quantised ones become F32: that is what llama.cpp and
transformers compute with, and it holds every value of them exactly; F16 would take half the room, but a block
whose scale is large leaves its range. The arithmetic is `gguf.quants` of llama.cpp's own Python package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import gguf
import numpy as np

from consolidation.formats import limits
from consolidation.formats.dtypes import ITEM_BYTES
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.formats.gguf_header import GGUFTensor
    from consolidation.formats.region import Region
    from consolidation.formats.tensor_source import Piece

# What may be held at once of a tensor that has to be rearranged.
HELD_BYTES: Final = 768 * 2**20
_BITS: Final = {2: "<u2", 4: "<u4", 8: "<u8"}


def in_order(region: Region, tensor: GGUFTensor, first: int = 0, count: int | None = None) -> Iterator[Piece]:
    """`count` numbers from the `first` on (both whole blocks), as bytes of `tensor.type.dtype`.

    Raises:
        NocturneInputError: `tensor.size_mismatch`, when the file became shorter meanwhile.
    """
    kind = tensor.type
    blocks = (tensor.elements if count is None else count) // kind.numbers
    left = blocks * kind.size
    # Whole blocks, and not more than a chunk of them once they are written out.
    chunk = max(1, limits.CHUNK // (kind.numbers * ITEM_BYTES[kind.dtype])) * kind.size
    for piece in _whole(region, tensor.start + first // kind.numbers * kind.size, left, chunk):
        if len(piece) % kind.size:
            break
        left -= len(piece)
        yield piece if kind.plain else _dequantised(piece, kind.number)
    if left:
        raise refuse("tensor.size_mismatch", "The file changed while a tensor was read. Try again.")


def transposed(region: Region, tensor: GGUFTensor) -> Iterator[Piece]:
    """A tensor of two dimensions, with rows and columns exchanged; it is held whole."""
    table = _held(region, tensor, 0, tensor.elements).reshape(tensor.shape).T
    each = max(1, limits.CHUNK // (table.itemsize * table.shape[1]))
    for start in range(0, len(table), each):
        yield np.ascontiguousarray(table[start : start + each]).tobytes()


def split_halves(region: Region, tensor: GGUFTensor, heads: int) -> Iterator[Piece]:
    """Rows of each head in the order of two halves, where the file has them in pairs; one head is held.

    Rotary embeddings turn two numbers of a head together. llama.cpp keeps such a pair in neighbouring rows,
    transformers keeps the first ones of all pairs and then the second ones.
    """
    count = tensor.elements // heads
    rows = tensor.shape[0] // heads
    for head in range(heads):
        table = _held(region, tensor, head * count, count)
        pairs = table.reshape(rows // 2, 2, count // rows)
        yield np.ascontiguousarray(pairs.swapaxes(0, 1)).tobytes()


def _held(region: Region, tensor: GGUFTensor, first: int, count: int) -> NDArray[Any]:
    """`count` numbers, once in memory; as whole numbers of their width, for they are only moved."""
    held = np.empty(count, dtype=_BITS[ITEM_BYTES[tensor.type.dtype]])
    room, place = held.view(np.uint8), 0
    for piece in in_order(region, tensor, first, count):
        room[place : place + len(piece)] = np.frombuffer(piece, np.uint8)
        place += len(piece)
    return held


def _whole(region: Region, start: int, size: int, chunk: int) -> Iterator[bytes]:
    """Pieces of exactly `chunk` bytes, but for the last: a read may give fewer than were asked for."""
    rest = b""
    for piece in region.chunks(start, size, chunk=chunk):
        rest = rest + piece if rest else piece
        if len(rest) >= chunk:
            yield rest[:chunk]
            rest = rest[chunk:]
    if rest:
        yield rest


def _dequantised(piece: bytes, number: int) -> bytes:
    blocks = np.frombuffer(piece, dtype=np.uint8).reshape(1, -1)
    with np.errstate(all="ignore"):  # scales of hostile blocks may be infinite; such weights are marked
        values = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType(number))
    return np.ascontiguousarray(values, dtype="<f4").tobytes()
