"""Rows of tokens, each as long as it is, spooled to disk and filled up on the way out."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.families.described import PADDING
from consolidation.formats import limits
from consolidation.formats.refusal import refuse
from consolidation.formats.source import Source
from consolidation.formats.spool import RowSpool

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_ITEM: Final = np.dtype("<u4")


class TokenSpool(RowSpool):
    """See `RowSpool`; takes rows by `put`.

    Args:
        spool: a prefix in a folder that may be written.
        limit_bytes: the most that the filled-up rows may take.
        dtype: of the filled-up rows.
    """

    def __init__(self, spool: Path, *, limit_bytes: int, dtype: np.dtype[Any], unit: str = "line") -> None:
        super().__init__(spool, limit_bytes=limit_bytes, unit=unit)
        self._lengths, self._filled, self._longest = array("I"), dtype, 1

    def put(self, line: int, ids: NDArray[np.int64], y: int, rights: Mapping[str, Any]) -> None:
        """One row of ids as they are stored.

        Raises:
            NocturneInputError: `replay.schema` for rights that cannot be; `records.rows`,
                `replay.expansion_limit`, `records.rights`.
        """
        self.rights.add(rights)
        self._x_file.write(ids.astype(_ITEM).tobytes())
        self._lengths.append(len(ids))
        self._longest = max(self._longest, len(ids))
        self.labels.append(y)
        self.lines.append(line)
        if len(self.labels) > limits.ROWS:
            raise refuse(
                "records.rows", f"The file has more than {limits.ROWS:,} rows. Split it into several sets."
            )
        size = len(self.labels) * self._longest * self._filled.itemsize
        if max(size, self._x_file.tell() // 2) > self._limit:
            raise refuse(
                "replay.expansion_limit",
                f"The records take more than the {self._limit:,} bytes there is room for, with the shorter "
                "ones filled up to the longest. Upload fewer, or cut the longest.",
            )

    def source(self) -> Source:
        """What was read, as wide as the longest row."""
        made = super().source()
        lengths = np.frombuffer(self._lengths.tobytes(), dtype=np.uint32).astype(np.int64)
        width, dtype, path = self._longest, self._filled, self._x_spool

        def blocks(rows: int) -> Iterator[NDArray[Any]]:
            with path.open("rb") as handle:
                for start in range(0, len(lengths), rows):
                    here = lengths[start : start + rows]
                    flat = np.frombuffer(handle.read(int(here.sum()) * _ITEM.itemsize), dtype=_ITEM)
                    found = np.full((len(here), width), PADDING, dtype)
                    found[np.arange(width) < here[:, None]] = flat
                    yield found

        return Source(
            labels=made.labels, x_dtype=dtype, x_shape=(width,), x=blocks, z_width=None, z=made.z,
            transform=None, classes=None, number=made.number, rights=made.rights, bad=made.bad, sound=True,
        )  # fmt: skip
