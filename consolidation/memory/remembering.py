"""What is kept of a day: the chosen records, packed, with the logits of the model that has just learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from consolidation.families.adapter import adapter_of
from consolidation.fit import asked_of, vocabulary_of
from consolidation.memory.budget import fit_rows
from consolidation.memory.selection import NEEDS_FEATURES, NEEDS_LOSSES, Rows, select
from consolidation.objectives import objective_of
from consolidation.objectives.objective import narrowed
from consolidation.phases.noise import recorded

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from consolidation.memory.store import Records
    from consolidation.recipe import WakeRecipe

HALF_MOST = np.float16(65504)  # the largest
CHUNK = 1024


class Answers(NamedTuple):
    """Of n records: what is stored of the answers (logits float16 [n, classes]; where only the likeliest are,
    z float16 and top [n, S, k]), losses float32 [n], and, when they were asked for, the last hidden states
    float32 [n, width]."""

    z: NDArray[np.float16]
    top: NDArray[np.uint16] | NDArray[np.int32] | None
    losses: NDArray[np.float32]
    features: NDArray[np.float32] | None

    def beside(self, records: Records, rows: Rows | slice = slice(None)) -> Records:
        """The records with these answers; `rows`: which of these answers are theirs."""
        if self.top is None:
            return records.with_logits(self.z[rows], self.z.shape[1])
        return records.with_top(self.top[rows], self.z[rows])


@torch.no_grad()
def answers(model: nn.Module, data: Records, rows: Rows, device: torch.device, hidden: bool) -> Answers:
    """What the model, in eval mode, says of these rows. Without blocks its logits stand for features."""
    blocks = adapter_of(model).blocks(model)[-1:] if hidden else []
    training = model.training
    model.eval()
    zs, tops, losses, features = [], [], [], []
    words, objective = vocabulary_of(model), objective_of(model)
    at_once = asked_of(model, CHUNK, data.width)
    head = None if data.head is None else torch.tensor([data.head], device=device)
    for place in range(0, len(rows), at_once):
        part = rows[place : place + at_once]
        x = torch.from_numpy(data.inputs(part)).to(device)
        with recorded(blocks) as seen:
            said = model(x)
        targets = objective.targets(x, torch.from_numpy(np.asarray(data.y[part])).to(device))
        stored = objective.stored(said)
        zs.append(stored.z.cpu().numpy())
        if stored.top is not None:
            tops.append(_narrow(stored.top.cpu().numpy(), said.shape[-1]))
        losses.append(objective.loss(narrowed(said, head), targets).float().cpu().numpy())
        if hidden:
            features.append(_features(seen[-1] if seen else said, words, objective.name).cpu().numpy())
    model.train(training)
    width = data.width if objective.name == "language" else None
    return Answers(
        _joined(zs, width), _joined(tops, width) if tops else None, np.concatenate(losses),
        np.concatenate(features) if hidden else None,
    )  # fmt: skip


def _narrow(top: NDArray[np.int32], choices: int) -> NDArray[np.uint16] | NDArray[np.int32]:
    return top.astype(np.uint16) if choices <= 1 << 16 else top


def _joined(parts: list[NDArray[Any]], width: int | None) -> NDArray[Any]:
    """The parts as one; those of shorter texts filled up to `width` places."""
    if width is None:
        if parts[0].ndim == 3:  # choices among positions: short texts have fewer than are kept
            most = max(part.shape[2] for part in parts)
            parts = [_filled(part, 2, most) for part in parts]
        return np.concatenate(parts)
    return np.concatenate([_filled(part, 1, width) for part in parts])


def _filled(part: NDArray[Any], axis: int, size: int) -> NDArray[Any]:
    """Filled up along an axis: likeliest choices with 0, and their log-chances with the lowest there is."""
    room = [(0, 0)] * part.ndim
    room[axis] = (0, size - part.shape[axis])
    if part.dtype == np.float16:
        return np.pad(part, room, constant_values=-HALF_MOST)
    return np.pad(part, room)


def _features(state: Tensor, words: int | None, objective: str) -> Tensor:
    """float32 [n, width]: of a text the first token's state, which the head reads, because texts are of
    different lengths; of one that is to go on the mean over its tokens."""
    if words is None or state.dim() < 3:
        return state.flatten(1).float()
    return (state.mean(1) if objective == "language" else state[:, 0]).float()


def remember(model: nn.Module, data: Records, recipe: WakeRecipe, device: torch.device) -> Records | None:
    """The records to keep, with the model's answers, or None when the recipe keeps none.

    A lossy codec keeps the logits of the inputs as they were before it.

    Raises:
        NocturneInputError: `memories.budget`, `memories.codec`.
    """
    if recipe.memories == 0:
        return None
    rule, y = recipe.selection, np.asarray(data.y)
    if data.objective != "classification":  # where an answer lies is no class to be balanced by
        y = np.zeros_like(y)
    told: Answers | None = None
    if rule in NEEDS_FEATURES | NEEDS_LOSSES:
        told = answers(model, data, np.arange(len(data)), device, rule in NEEDS_FEATURES)

    def pick(count: int) -> Rows:
        return select(
            rule, y, count, recipe.seed,
            features=told.features if told else None, losses=told.losses if told else None,
        )  # fmt: skip

    if recipe.memory_bytes is None:
        rows = pick(recipe.memories)
        kept = data.take(rows).encoded(recipe.codec)
    else:
        # the size of what is stored of an answer does not depend on its value, so one is enough to know it
        one = answers(model, data, np.zeros(1, np.int64), device, hidden=False)
        sized = one.beside(data, np.zeros(len(data), np.int64))
        rows, kept = fit_rows(sized, recipe.memory_bytes, recipe.codec, pick, recipe.memories)
    if told:
        return told.beside(kept, rows)
    return answers(model, data, rows, device, hidden=False).beside(kept)
