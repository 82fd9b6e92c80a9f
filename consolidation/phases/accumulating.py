"""Gradient accumulation: a batch goes through the model in slices, and its gradient is that of the whole.

Every term of our losses is a mean over the batch, so a slice's loss is weighted by its share of the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from consolidation.changes import MICRO_BATCH
from consolidation.errors import NocturneInputError
from consolidation.phases.optimizers import clear_gradients
from consolidation.token_fit import learnt_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from consolidation.memory.sampling import Batch
    from consolidation.run import Run


class Terms(NamedTuple):
    """The loss to descend, its parts before weighting for the charts, and, for samplers that ask for it,
    each record's own label loss [n] (detached)."""

    loss: Tensor
    parts: dict[str, Tensor]
    each: Tensor | None = None


def backward(loss: Callable[[Batch], Terms], batch: Batch, micro: int) -> Terms:
    """Adds the gradient of the batch's mean loss to every `.grad`, `micro` records at a time (0: all).

    Returns:
        The detached loss and parts of the whole batch.
    """
    n = len(batch.y)
    if not 0 < micro < n:
        terms = loss(batch)
        terms.loss.backward()  # type: ignore[no-untyped-call]
        return Terms(terms.loss.detach(), {k: v.detach() for k, v in terms.parts.items()}, terms.each)
    total = torch.zeros((), device=batch.y.device)
    parts: dict[str, Tensor] = {}
    each: list[Tensor] = []
    for start in range(0, n, micro):
        piece = batch.part(slice(start, start + micro))
        share = len(piece.y) / n
        terms = loss(piece)
        (terms.loss * share).backward()  # type: ignore[no-untyped-call]
        total += terms.loss.detach() * share
        for name, part in terms.parts.items():
            parts[name] = parts.get(name, torch.zeros_like(total)) + part.detach() * share
        if terms.each is not None:
            each.append(terms.each)
    return Terms(total, parts, torch.cat(each) if each else None)


def descend(
    run: Run, loss: Callable[[Batch], Terms], batch: Batch, weights: Mapping[str, Tensor], asked: int
) -> Terms:
    """The gradients of one batch in `weights`; without room for it, once more with half as many at a time.

    Args:
        asked: records at a time that the recipe wants, 0 for all.

    Raises:
        NocturneInputError: `cycle.out_of_memory`, when half is still too much.
    """
    while True:
        clear_gradients(weights)
        try:
            return backward(loss, batch, at_once(run, asked, batch))
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        # outside of the handler: the error's traceback holds the tensors that there was no room for
        clear_gradients(weights)
        halve(run, at_once(run, asked, batch), len(batch.y), run.entry.stage)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine had no room; the CPU allocator says so by a RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def micro_of(run: Run, asked: int) -> int:
    """Records at a time: what the recipe asks, or what is left of it after this night ran out of memory."""
    return int(run.facts.get(MICRO_BATCH, asked))


def at_once(run: Run, asked: int, batch: Batch) -> int:
    """As `micro_of`; of a language model no more than `learnt_at_once` says."""
    micro = micro_of(run, asked)
    if run.objective.name != "language":
        return micro
    wanted = micro or len(batch.y)
    most = learnt_at_once(wanted, batch.x.shape[1], run.outputs, run.device.type != "cpu")
    return most if most < wanted else micro


def halve(run: Run, asked: int, batch: int, stage: str) -> None:
    """After running out of memory: half as many records at a time from now on, once a night.

    Raises:
        NocturneInputError: `cycle.out_of_memory` the second time, or when one record is too many.
    """
    now = min(micro_of(run, asked) or batch, batch)
    if MICRO_BATCH in run.facts or now < 2:
        raise NocturneInputError(
            "cycle.out_of_memory",
            f"{stage} ran out of memory with {now} records at a time; the weights from before this stage "
            f"were put back. Set micro_batch to {max(1, now // 2)} or less, or take a larger machine.",
            micro_batch=now,
        )
    run.facts[MICRO_BATCH] = now // 2
    run.stream.log(
        "warning",
        f"{stage} ran out of memory with {now} records at a time; it goes on with {now // 2} at a time and "
        "the same batch.",
    )
