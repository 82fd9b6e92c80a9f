"""Rows that come one by one, checked against each other and spooled to disk; memory stays flat.

A bad row does not stop the reading: see `bad_rows`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from consolidation.formats import limits
from consolidation.formats.bad_rows import BadRows
from consolidation.formats.record_rights import RightsColumns
from consolidation.formats.refusal import refuse
from consolidation.formats.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.errors import NocturneInputError


class RowSpool:
    """The rows of one file that is read row by row.

    Args:
        spool: a prefix in a folder that may be written; `close` removes what was put there.
        limit_bytes: the most that the numbers may take.
        dtype: the number format of x, in which `add` is given it.
        unit: what a row is called, see `bad_rows`.

    Attributes:
        labels: the y of every row.
        lines: the line number of every row.
        bad_rows: the rows that were not taken.
        x_shape: the shape of one record; None before the first.
        logits: the number of stored logits a row, or None.
        rights: what each row says of its owner, licence and so on.
    """

    def __init__(self, spool: Path, *, limit_bytes: int, dtype: str = "<f4", unit: str = "line") -> None:
        self.dtype = np.dtype(dtype)
        self.bad_rows = BadRows(unit)
        self.labels, self.lines = array("q"), array("q")
        self.x_shape: tuple[int, ...] | None = None
        self.logits: int | None = None
        self.rights = RightsColumns()
        self._limit = limit_bytes
        self._x_spool, self._z_spool = spool.with_suffix(".x"), spool.with_suffix(".z")
        self._x_file: BinaryIO = self._x_spool.open("xb")
        self._z_file: BinaryIO = self._z_spool.open("xb")

    def close(self) -> None:
        """Remove the spool."""
        self._x_file.close()
        self._z_file.close()
        self._x_spool.unlink(missing_ok=True)
        self._z_spool.unlink(missing_ok=True)

    def add(
        self,
        line: int,
        x: NDArray[Any],
        label: int,
        z: NDArray[np.float32] | None,
        rights: Mapping[str, Any],
    ) -> None:
        """One row. Raises NocturneInputError: `replay.schema` when it differs from the first row."""
        if self.x_shape is None:
            self.x_shape = x.shape
            self.logits = None if z is None else z.size
        if x.shape != self.x_shape:
            raise refuse(
                "replay.schema", f'"x" has the shape {list(x.shape)}, the first row has {list(self.x_shape)}'
            )
        if (z is None) != (self.logits is None):
            raise refuse("replay.schema", "logits must stand in every row or in none")
        if z is not None and z.shape != (self.logits,):
            raise refuse("replay.schema", f"it has {z.size:,} logits, the first row has {self.logits}")
        self.rights.add(rights)
        if z is not None:
            self._z_file.write(z.tobytes())
        self._x_file.write(x.tobytes())
        self.labels.append(label)
        self.lines.append(line)
        if len(self.labels) > limits.ROWS:
            raise refuse(
                "records.rows", f"The file has more than {limits.ROWS:,} rows. Split it into several sets."
            )
        if self._x_file.tell() + self._z_file.tell() > self._limit:
            raise refuse(
                "replay.expansion_limit",
                f"The records take more than the {self._limit:,} bytes there is room for. Upload fewer.",
            )

    def bad(self, line: int, error: NocturneInputError) -> None:
        """Remember what is wrong with a line; raises it when it is about the whole file."""
        self.bad_rows.add(line, error)

    def source(self) -> Source:
        """What was read; the bad lines go with it."""
        self._x_file.close()
        self._z_file.close()
        shape = self.x_shape or (0,)
        return Source(
            labels=np.frombuffer(self.labels, dtype=np.int64) if self.labels else np.empty(0, np.int64),
            x_dtype=self.dtype,
            x_shape=shape,
            x=lambda rows: self._blocks(self._x_spool, rows, shape, self.dtype),
            z_width=self.logits,
            z=lambda rows: self._blocks(self._z_spool, rows, (self.logits or 0,), np.dtype("<f4")),
            transform=None,
            classes=None,
            number=lambda row: self.lines[row],
            rights=self.rights.made(),
            bad=self.bad_rows,
            sound=True,
        )

    @staticmethod
    def _blocks(
        spool: Path, rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Iterator[NDArray[Any]]:
        count = dtype.itemsize * rows * int(np.prod(shape))
        with spool.open("rb") as handle:
            while piece := handle.read(count):
                yield np.frombuffer(piece, dtype=dtype).reshape(-1, *shape)
