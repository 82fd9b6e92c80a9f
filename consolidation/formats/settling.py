"""Tensors of a described model that are no weights of their own: buffers, and the second one of a tie.

What any reader of the architecture makes anew (masks, position numbers) is left out. An output layer that is
the embedding, and is in the file all the same, must be its copy to the bit: then it is left out too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from consolidation.errors import shorten
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from consolidation.families.described import Described
    from consolidation.formats.tensor_source import Piece, TensorSource

_SHOWN: Final = 3


def settled(source: TensorSource, spec: Described, config: Mapping[str, Any]) -> TensorSource:
    """The source with nothing but weights, each of them once, and a note on what was left out.

    Raises:
        NocturneInputError: `checkpoint.tied`: both of a tie are there and differ; what reading raises.
    """
    left = {name: why for name in source.tensors if (why := spec.left_out(name))}
    notes = [_note(why, [name for name in left if left[name] == why]) for why in dict.fromkeys(left.values())]
    twins = spec.twins(config)
    for second, first in twins.items():
        if second not in source.tensors or first not in source.tensors:
            continue
        if not _alike(source, first, second):
            raise refuse(
                "checkpoint.tied",
                f"The config says that {shorten(second)} is {shorten(first)} (tie_word_embeddings), but the "
                "file has both, and they differ. Correct the config, or save the model again.",
            )
        notes.append(f"{shorten(second)} is the same as {shorten(first)} and is kept once.")
    gone = {*left, *(second for second, first in twins.items() if first in source.tensors)}
    kept = {name: entry for name, entry in source.tensors.items() if name not in gone}
    return replace(source, tensors=kept, notes=(*source.notes, *notes))


def _note(why: str, names: list[str]) -> str:
    shown = ", ".join(shorten(name, 40) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"Left out, because every program makes {why} anew: {shown}{more}."


def _alike(source: TensorSource, first: str, second: str) -> bool:
    """Whether two tensors have the same bytes, in flat memory."""
    if source.tensors[first] != source.tensors[second]:
        return False
    return same_bytes(source.read(first), source.read(second))


def same_bytes(one: Iterator[Piece], other: Iterator[Piece]) -> bool:
    """Whether two streams say the same, however each is cut into pieces."""
    a, b = memoryview(b""), memoryview(b"")
    while True:
        a, b = a or _next(one), b or _next(other)
        most = min(len(a), len(b))
        if most == 0:
            return len(a) == len(b)
        if bytes(a[:most]) != bytes(b[:most]):
            return False
        a, b = a[most:], b[most:]


def _next(pieces: Iterator[Piece]) -> memoryview:
    """The next piece that is not empty; an empty one at the end."""
    for piece in pieces:
        if len(piece):
            return memoryview(piece).cast("B")
    return memoryview(b"")
