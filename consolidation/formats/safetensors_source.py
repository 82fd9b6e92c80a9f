"""The tensors of one safetensors file, as a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from consolidation.errors import shorten
from consolidation.formats.refusal import refuse
from consolidation.formats.safetensors import read_header
from consolidation.formats.tensor_source import Piece, TensorShape, TensorSource

if TYPE_CHECKING:
    from consolidation.formats.region import Region


def open_safetensors(region: Region) -> TensorSource:
    """One safetensors file. Raises NocturneInputError (`safetensors.*`, `tensor.*`)."""
    header = read_header(region)

    def read(name: str) -> Iterator[Piece]:
        entry = header.tensors[name]
        left = entry.end - entry.start
        for piece in region.chunks(header.data_start + entry.start, left):
            left -= len(piece)
            yield piece
        if left:
            raise refuse(
                "tensor.size_mismatch", f"The file changed while tensor {shorten(name)} was read. Try again."
            )

    return TensorSource(
        format="safetensors",
        tensors={name: TensorShape(entry.dtype, entry.shape) for name, entry in header.tensors.items()},
        read=read,
        metadata=header.metadata,
    )
