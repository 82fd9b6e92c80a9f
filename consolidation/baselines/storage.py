"""How many bytes memories take, and how many fit a budget: the same arithmetic for every method.

"float32" is how the papers store them: 4 bytes a number, 4 a label, 4 a logit. "raw" keeps the source's
uint8, or 2 bytes for the id of a token; the other codecs pack it (`memory.codecs`), set by set; with all of
these a label takes the narrowest type and a logit 2 bytes. Lossy codecs change what is replayed, not only
what is counted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from consolidation.errors import NocturneInputError, shorten
from consolidation.memory.codecs import CODECS, Packed, codec, smallest_label_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

PUBLISHED, RAW = "float32", "raw"
NAMES = (PUBLISHED, RAW, *CODECS)
SPARE = 0.99  # of a budget in bytes: other records than the sample pack a little worse
_FULL_RANGE = np.array([0, 255], "<f8").tobytes()


class Storage:
    """A codec with the model's number of logits.

    Args:
        name: one of `NAMES`. outputs: what labels can be. answers: numbers stored of what a model says of a
            record: its logits (None: `outputs`), or the likeliest choices and the logs of their chances.

    Raises:
        NocturneInputError: `benchmark.codec`.
    """

    def __init__(self, name: str, outputs: int, answers: int | None = None) -> None:
        if name not in NAMES:
            raise NocturneInputError(
                "benchmark.codec",
                f"The codec is {shorten(name)!r}; memories are stored as one of {', '.join(NAMES)}.",
            )
        self.name, self.outputs = name, outputs
        self.answers = outputs if answers is None else answers

    def check(self, raw: Tensor) -> None:
        """Raises NocturneInputError (`benchmark.codec`) when the codec is not for records like these."""
        if raw.dtype != torch.uint8 and self.name not in (PUBLISHED, RAW):
            raise NocturneInputError(
                "benchmark.codec",
                f"The codec {self.name} packs images, and these records are ids of tokens; take "
                f"{PUBLISHED} or {RAW}.",
            )

    @property
    def lossless(self) -> bool:
        return self.name in (PUBLISHED, RAW) or codec(self.name).lossless

    def given_back(self, raw: Tensor) -> Tensor:
        """[n, width] as the codec gives it back."""
        if self.lossless or not len(raw):
            return raw
        return torch.from_numpy(codec(self.name).given_back(raw.numpy(), _FULL_RANGE))

    def set_bytes(self, raw: Tensor, *, logits: bool) -> int:
        """Bytes of one set [n, width] with its labels, and logits where a method stores them."""
        n, width = raw.shape
        if self.name == PUBLISHED:
            return int(n * (4 * width + 4 + (4 * self.answers if logits else 0)))
        beside = smallest_label_dtype(self.outputs).itemsize + (2 * self.answers if logits else 0)
        if raw.dtype != torch.uint8:
            return int(n * (2 * width + beside))
        return _packed_bytes(raw.numpy(), self.name) + int(n * beside)

    def capacity(self, budget: int, sample: Tensor, tasks: int, *, logits: bool) -> int:
        """Records that fit `budget` bytes when they lie in `tasks` sets of equal size.

        Args:
            sample: [m, width], records to measure by.

        Raises:
            NocturneInputError: `benchmark.buffer` when not even one a task fits.
        """
        each = len(sample)
        for _ in range(3):  # a larger set packs better, so the size is found in a few rounds
            size = max(1, min(each, len(sample)))
            mean = self.set_bytes(sample[:size], logits=logits) / size
            each = int(SPARE * budget / tasks / mean)
            if each < 1:
                raise NocturneInputError(
                    "benchmark.buffer",
                    f"{budget} bytes hold no memory of each of {tasks} tasks; one takes about {mean:.0f}. "
                    "Give more bytes.",
                )
        return each * tasks


def _packed_bytes(raw: NDArray[np.uint8], name: str) -> int:
    return raw.size if name == RAW else _cached_bytes(raw.tobytes(), raw.shape, name)


@lru_cache(maxsize=256)
def _cached_bytes(data: bytes, shape: tuple[int, ...], name: str) -> int:
    packed = Packed.of(np.frombuffer(data, np.uint8).reshape(shape), name)
    return packed.nbytes + packed.offsets.nbytes + packed.table.nbytes


def total_bytes(storage: Storage, sets: Sequence[Tensor], *, logits: bool) -> int:
    """Bytes of several sets."""
    return sum(storage.set_bytes(raw, logits=logits) for raw in sets if len(raw))
