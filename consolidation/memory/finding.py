"""Which rows of a record file are asked for, by id or by owner: only those columns are read. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from consolidation.memory.files import broken, map_tensors, read_rights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

ID_BYTES: Final = 16
# Rows that are looked at at once: 4 MiB of ids.
CHUNK: Final = 1 << 18

# "S16" [M], sorted, each once: numpy compares them as bytes.
Ids: TypeAlias = "NDArray[np.bytes_]"


def as_ids(given: Iterable[bytes]) -> Ids:
    """Ids of 16 bytes, each once and in order. Raises ValueError for one of another length."""
    known = set(given)
    if any(len(one) != ID_BYTES for one in known):
        raise ValueError("an id has 16 bytes")
    return np.frombuffer(b"".join(sorted(known)), f"S{ID_BYTES}")


def rows_with(path: Path, *, ids: Ids, owners: Collection[str] = ()) -> NDArray[np.bool_]:
    """bool [N]: the records with one of these ids, or of one of these owners.

    Args:
        path: a record file of ours.
        ids: as `as_ids` gives them.

    Raises:
        NocturneInputError: `records.format`.
        OSError: it cannot be read.
    """
    tensors, meta = map_tensors(path)
    column = _id_column(tensors)
    hit = np.zeros(len(column), np.bool_)
    for start in range(0, len(column) if len(ids) else 0, CHUNK):
        part = column[start : start + CHUNK]
        place = np.minimum(np.searchsorted(ids, part), len(ids) - 1)
        hit[start : start + CHUNK] = ids[place] == part
    words = read_rights(tensors, meta).owner if owners else None
    if words is not None:
        asked = np.array([text in owners for text in words.texts])
        if words.which is None:
            hit |= asked[0]
        elif len(words.which) != len(hit) or int(words.which.max(initial=0)) >= len(asked):
            raise broken("its owners do not line up")
        else:
            hit |= asked[words.which]
    return hit


def ids_at(path: Path, rows: NDArray[np.bool_]) -> set[bytes]:
    """The ids of some rows. Raises as `rows_with`."""
    column = _id_column(map_tensors(path)[0])
    # numpy drops the zeros at the end of such a text
    return {bytes(one).ljust(ID_BYTES, b"\0") for one in column[np.flatnonzero(rows)].tolist()}


def owners_of(path: Path) -> tuple[str, ...]:
    """The different owners that the records name. Raises as `rows_with`."""
    tensors, meta = map_tensors(path)
    words = read_rights(tensors, meta).owner
    return tuple(text for text in words.texts if text) if words is not None else ()


def _id_column(tensors: dict[str, NDArray[Any]]) -> Ids:
    column = tensors.get("id")
    if column is None or column.dtype != np.uint8 or column.ndim != 2 or column.shape[1] != ID_BYTES:
        raise broken("it lacks x, y or id")
    return np.ascontiguousarray(column).view(f"S{ID_BYTES}").ravel()
