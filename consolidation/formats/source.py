"""What every reader of records hands over, whatever the format was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from consolidation.formats.bad_rows import BadRows
from consolidation.memory.rights import Rights

if TYPE_CHECKING:
    import numpy as np

RECORDS_KEY: Final = "nocturne.records"

Blocks = Callable[[int], Iterator[NDArray[Any]]]


@dataclass(frozen=True)
class Source:
    """What a reader found.

    Attributes:
        labels: [N] int64.
        x_dtype: little-endian number format of x.
        x_shape: the shape of one record.
        x: x in blocks of the given number of rows.
        z_width: logits a row, or None.
        z: the logits in blocks of rows, any float.
        transform: from the file, if it says.
        classes: from the file, if it says.
        number: how a person finds row i: the number of its line, row or picture.
        rights: what the records say of their owners, licences and so on.
        bad: the rows that were found to be bad, or will be while x and z are read.
        sound: whether x is known to hold finite numbers only, and no row of it can turn out bad.
        objective: what is asked of a record, if the file says.
        label_names: of the labels 0, 1, ... (of the head, where there is one), when they came as names.
        head: (first, last), the columns of the model's outputs that are this task's own, last excluded.
    """

    labels: NDArray[np.int64]
    x_dtype: np.dtype[Any]
    x_shape: tuple[int, ...]
    x: Blocks
    z_width: int | None
    z: Blocks
    transform: Mapping[str, Any] | None
    classes: int | None
    number: Callable[[int], int] = field(default=lambda row: row + 1)
    rights: Rights = field(default_factory=Rights)
    bad: BadRows = field(default_factory=BadRows)
    sound: bool = False

    objective: str | None = None
    label_names: tuple[str, ...] = ()
    head: tuple[int, int] | None = None

    def relabelled(self, ranks: NDArray[np.int64] | None) -> Source:
        """With label `ranks[i]` for each i; None: as it is."""
        return self if ranks is None else replace(self, labels=ranks[self.labels])

    @property
    def width(self) -> int:
        """Numbers a record."""
        return math.prod(self.x_shape)
