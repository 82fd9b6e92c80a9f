"""Rows that come one by one, checked against each other and spooled to disk; memory stays flat.

A bad row does not stop the reading: the first twenty are reported with their numbers, and how many there are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from consolidation.formats import limits
from consolidation.formats.record_rights import RightsColumns
from consolidation.formats.refusal import refuse
from consolidation.formats.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.errors import NocturneInputError

# These are about the file as a whole, not about a row that could be corrected.
_ENDING: Final = frozenset({
    "replay.expansion_limit", "records.rows", "gzip.malformed", "records.rights", "records.mapping",
})  # fmt: skip


class RowSpool:
    """The rows of one text file.

    Args:
        spool: a prefix in a folder that may be written; `close` removes what was put there.
        limit_bytes: the most that the numbers may take.

    Attributes:
        labels: the y of every row.
        lines: the line number of every row.
        x_shape: the shape of one record; None before the first.
        logits: the number of stored logits a row, or None.
        rights: what each row says of its owner, licence and so on.
    """

    def __init__(self, spool: Path, *, limit_bytes: int) -> None:
        self.labels, self.lines = array("q"), array("q")
        self.x_shape: tuple[int, ...] | None = None
        self.logits: int | None = None
        self.rights = RightsColumns()
        self._limit = limit_bytes
        self._bad: list[dict[str, Any]] = []
        self._bad_total = 0
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
        x: NDArray[np.float32],
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
        if error.code in _ENDING:
            raise error
        self._bad_total += 1
        if len(self._bad) < limits.BAD_LINES_SHOWN:
            self._bad.append({"line": line, "code": error.code, "message": error.message})

    def source(self) -> Source:
        """What was read. Raises NocturneInputError: the report of the bad lines, if there were any."""
        self._x_file.close()
        self._z_file.close()
        if self._bad:
            raise _report(self._bad, self._bad_total)
        return Source(
            labels=np.frombuffer(self.labels.tobytes(), dtype=np.int64),
            x_dtype=np.dtype("<f4"),
            x_shape=self.x_shape or (0,),
            x=lambda rows: self._blocks(self._x_spool, rows, self.x_shape or (0,)),
            z_width=self.logits,
            z=lambda rows: self._blocks(self._z_spool, rows, (self.logits or 0,)),
            transform=None,
            classes=None,
            place=lambda row: f"line {self.lines[row]:,}",
            rights=self.rights.made(),
        )

    @staticmethod
    def _blocks(spool: Path, rows: int, shape: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
        count = 4 * rows * int(np.prod(shape))
        with spool.open("rb") as handle:
            while piece := handle.read(count):
                yield np.frombuffer(piece, dtype="<f4").reshape(-1, *shape)


def _report(bad: list[dict[str, Any]], total: int) -> NocturneInputError:
    first = bad[0]
    more = ""
    if total > 1:
        numbers = ", ".join(str(item["line"]) for item in bad[1:])
        end = ", ..." if total > len(bad) else ""
        more = f" {total:,} lines are bad in all (also {numbers}{end})."
    return refuse(
        first["code"],
        f"Line {first['line']:,}: {first['message']}.{more} Nothing was kept; correct the file and upload "
        "it again.",
        lines=bad,
        total=total,
    )
