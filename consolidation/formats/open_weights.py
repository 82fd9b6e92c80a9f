"""Which reader reads a checkpoint: the content decides, the file's name does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.pytorch import open_pytorch
from consolidation.formats.refusal import refuse
from consolidation.formats.safetensors import read_header
from consolidation.formats.sniff import refuse_kind, sniff
from consolidation.formats.tensor_source import Piece, TensorShape, TensorSource

if TYPE_CHECKING:
    from consolidation.formats.region import Region

WANTED: Final = "a checkpoint (safetensors, GGUF, or weights that torch.save wrote)"


def open_weights(
    region: Region, *, filename: str, spool: Path, limit_bytes: int, stack: ExitStack
) -> TensorSource:
    """The tensors of a checkpoint, whatever its format; not one of them is read yet.

    Args:
        region: the file.
        filename: the person's name for it, for sentences.
        spool: a prefix in a folder that may be written, for what has to be unpacked first.
        limit_bytes: the most that unpacking may write.
        stack: closes and removes what has to stay until the tensors were read.

    Raises:
        NocturneInputError: with a code of `refusal.CODES`.
    """
    kind = sniff(region)
    if kind in {"torch-zip", "pickle"}:
        return open_pytorch(region, filename=filename, spool=spool, limit_bytes=limit_bytes, stack=stack)
    if kind == "gguf":
        from consolidation.formats.gguf import open_gguf  # its tables of number formats take time to load

        return open_gguf(region, filename=filename)
    if kind in {"safetensors", "unknown"}:
        return open_safetensors(region)
    raise refuse_kind(kind, wanted=WANTED, filename=filename)


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


def ensure_within(source: TensorSource, limit_bytes: int) -> None:
    """Raises NocturneInputError (`weights.expansion_limit`) when the tensors, written out, need more room."""
    total = sum(entry.size for entry in source.tensors.values())
    if total > limit_bytes:
        raise refuse(
            "weights.expansion_limit",
            f"Written out, the {len(source.tensors):,} tensors of this file take {total:,} bytes; there is "
            f"room for {limit_bytes:,}. Delete what is not needed any more, or ask an owner for more room.",
            total=total,
            limit=limit_bytes,
        )
    if len(source.tensors) > limits.TENSORS:
        raise refuse(
            "safetensors.limit_exceeded",
            f"The file names {len(source.tensors):,} tensors; at most {limits.TENSORS:,} are read.",
        )
