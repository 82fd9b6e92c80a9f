"""What every method is given, the same for all: the tasks, the model, the optimiser's facts, the budget."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from consolidation.errors import NocturneInputError, shorten

if TYPE_CHECKING:
    from torch import Tensor, nn

    from consolidation.memory.store import Transform

CODECS = ("float32", "uint8", "deflate")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskData:
    """One task's training set, in its source's precision.

    Attributes:
        x: uint8 [n, width], shared between tasks; `columns` int64 [width] says how this task orders it.
        y: int64 [n]. classes: the labels that occur in this task.
    """

    name: str
    x: Tensor
    y: Tensor
    classes: tuple[int, ...]
    columns: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def raw(self, rows: Tensor | None = None) -> Tensor:
        """uint8 [m, width]."""
        chosen = self.x if rows is None else self.x.index_select(0, rows)
        return chosen if self.columns is None else chosen.index_select(1, self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyper:
    """What a method's paper tuned. `alpha`, `beta` of DER++; `weight`, `gamma` of online EWC."""

    lr: float
    alpha: float = 0.0
    beta: float = 0.0
    weight: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything a method may know.

    Attributes:
        build: a fresh model from a seed. outputs: its logits. tasks: how many will come.
        hyper: (method, records in the buffer) -> Hyper.
        buffer: memories in records, or `buffer_bytes` in bytes: exactly one of them.
        codec: how memories are stored: "float32" (as published), "uint8", "deflate". All three give the very
            numbers back, as the source is uint8; they differ in bytes.
        sample: uint8 [m, width] records to tell the mean size of a deflated one by.
        task_ids: whether methods are told which task a test example is of.
        ratio: compute that `derpp-thin` may spend. recipe: changes to the night's preset.
    """

    build: Callable[[int], nn.Module]
    outputs: int
    tasks: int
    epochs: int
    batch: int
    replay_batch: int
    transform: Transform
    hyper: Callable[[str, int], Hyper]
    sample: Tensor
    buffer: int | None = None
    buffer_bytes: int | None = None
    codec: str = "float32"
    task_ids: bool = False
    seed: int = 0
    ratio: float = 1.15
    recipe: dict[str, object] | None = None

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise NocturneInputError(
                "benchmark.codec",
                f"The codec is {shorten(self.codec)!r}; memories are stored as one of {', '.join(CODECS)}.",
            )
        if (self.buffer is None) == (self.buffer_bytes is None):
            raise NocturneInputError(
                "benchmark.buffer", "The memories' budget is given in records or in bytes: give one of them."
            )

    def inputs(self, raw: Tensor) -> Tensor:
        """float32 [n, width]: what the model is given."""
        t = self.transform
        found = raw.float()
        if t.scale != 1.0:
            found.mul_(t.scale)
        return found if (t.mean, t.sd) == (0.0, 1.0) else found.sub_(t.mean).div_(t.sd)

    def generator(self, purpose: int) -> torch.Generator:
        """One random stream a purpose."""
        return torch.Generator().manual_seed((self.seed << 8) + purpose)

    # ------------------------------------------------------------ bytes

    def record_bytes(self, raw: Tensor, *, logits: bool) -> int:
        """Bytes of these records [n, width] with their labels, and logits where a method stores them.

        float32: 4 a number, 4 a label, 4 a logit. Else: fp16 logits, a label in 1 byte (2 above 256 classes).
        """
        n, width = raw.shape
        if self.codec == "float32":
            return int(n * (4 * width + 4 + (4 * self.outputs if logits else 0)))
        beside = (1 if self.outputs <= 256 else 2) + (2 * self.outputs if logits else 0)
        if self.codec == "uint8":
            return int(n * (width + beside))
        return sum(len(zlib.compress(row.tobytes(), 9)) for row in raw.numpy()) + int(n * beside)

    def capacity(self, *, logits: bool, beside: int = 0) -> int:
        """Records that fit the budget. `beside`: bytes of the budget that go to other things.

        Raises:
            NocturneInputError: `benchmark.buffer` when none fits.
        """
        if self.buffer is not None:
            return self.buffer
        mean = self.record_bytes(self.sample, logits=logits) / len(self.sample)
        fits = int(((self.buffer_bytes or 0) - beside) / mean)
        if fits < 1:
            raise NocturneInputError(
                "benchmark.buffer",
                f"{self.buffer_bytes} bytes hold no memory; one takes about {mean:.0f}, and {beside} go to "
                "what is stored beside. Give more bytes.",
            )
        return fits
