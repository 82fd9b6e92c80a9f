"""Writes a record file again without some of its records; those that stay are copied as they are."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.formats.dtypes import ITEM_BYTES, SAFETENSORS
from consolidation.formats.output import new_file
from consolidation.formats.records import label_histogram
from consolidation.formats.safetensors import header_bytes
from consolidation.memory.files import KEY, map_tensors, rights_tensors
from consolidation.memory.store import Records

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PIECE: Final = 8 * 2**20
_BY_ROW: Final = frozenset({"y", "x", "z", "id"})


def erase_rows(path: Path, doomed: NDArray[np.bool_], out: Path) -> dict[str, Any] | None:
    """A new file without the content of the doomed records; their ids alone move to `gone`.

    Inputs as they are go through in pieces, so memory does not grow with the set. Packed ones are packed
    anew, because a block or a dictionary may hold what was deleted; those sets are small, a budget made them.

    Args:
        path: a record file of ours.
        doomed: bool [N].
        out: the new file; it exists afterwards only on success.

    Returns:
        {"rows", "label_histogram", "rights", "next_expiry", "size", "sha256"}; None when nothing is left, and
        then no file is written.

    Raises:
        NocturneInputError: `records.format` and the codes of a bad set.
        OSError: the disk refused.
    """
    if doomed.all():
        return None
    opened = Records.open(path)
    if opened.packed is not None:
        left = opened.with_rights(tombstone=doomed).save(out)
        with out.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return _told(left) | {"size": out.stat().st_size, "sha256": digest}
    stay = np.flatnonzero(~doomed)
    tensors, meta = map_tensors(path)
    rights = opened.rights.take(stay).pruned()
    columns, words = rights_tensors(rights)
    fixed: dict[str, NDArray[Any]] = {
        **columns, "gone": np.concatenate([opened.gone, np.ascontiguousarray(opened.ids)[doomed]]),
    }  # fmt: skip
    by_row = {name: tensor for name, tensor in tensors.items() if name in _BY_ROW}
    shapes = {name: (len(stay), *tensor.shape[1:]) for name, tensor in by_row.items()}
    shapes |= {name: tensor.shape for name, tensor in fixed.items()}
    kinds = {name: SAFETENSORS[tensor.dtype.str] for name, tensor in (by_row | fixed).items()}
    # Wide numbers first: each then begins at a multiple of its own width.
    order = sorted(kinds, key=lambda name: -ITEM_BYTES[kinds[name]])
    meta = {**meta, "version": 2, "words": words}
    with new_file(out) as target:
        layout = {name: (kinds[name], shapes[name]) for name in order}
        target.write(header_bytes(layout, {KEY: json.dumps(meta, sort_keys=True)}))
        for name in order:
            if name in fixed:
                target.write(np.ascontiguousarray(fixed[name]).tobytes())
                continue
            tensor = by_row[name]
            width = tensor.dtype.itemsize * int(np.prod(tensor.shape[1:], dtype=np.int64))
            step = max(1, PIECE // width)
            for start in range(0, len(stay), step):
                target.write(np.ascontiguousarray(tensor[stay[start : start + step]]).tobytes())
    return _told(Records.open(out)) | {"size": target.size, "sha256": target.sha256()}


def _told(left: Records) -> dict[str, Any]:
    return {
        "rows": len(left),
        "label_histogram": label_histogram(left.y, left.classes),
        "rights": left.rights.names,
        "next_expiry": left.rights.next_expiry,
    }
