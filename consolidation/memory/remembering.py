"""What is kept of a day: the chosen records, packed, with the logits of the model that has just learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from consolidation.families.adapter import adapter_of
from consolidation.fit import io_widths, vocabulary_of
from consolidation.memory.budget import fit_rows
from consolidation.memory.selection import NEEDS_FEATURES, NEEDS_LOSSES, Rows, select
from consolidation.objectives.classification import cross_entropy
from consolidation.phases.noise import recorded
from consolidation.token_fit import asked_at_once

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from consolidation.memory.store import Records
    from consolidation.recipe import WakeRecipe

HALF_MOST = 65504.0  # the largest float16
CHUNK = 1024


class Answers(NamedTuple):
    """Of n records: logits float16 [n, classes], cross-entropies float32 [n], and, when they were asked for,
    the last hidden states float32 [n, width]."""

    logits: NDArray[np.float16]
    losses: NDArray[np.float32]
    features: NDArray[np.float32] | None


@torch.no_grad()
def answers(model: nn.Module, data: Records, rows: Rows, device: torch.device, hidden: bool) -> Answers:
    """What the model, in eval mode, says of these rows. Without blocks its logits stand for features."""
    blocks = adapter_of(model).blocks(model)[-1:] if hidden else []
    training = model.training
    model.eval()
    logits, losses, features = [], [], []
    words = vocabulary_of(model)
    at_once = asked_at_once(CHUNK, data.width, words)
    for place in range(0, len(rows), at_once):
        part = rows[place : place + at_once]
        with recorded(blocks) as seen:
            said = model(torch.from_numpy(data.inputs(part)).to(device))
        y = torch.from_numpy(np.asarray(data.y[part])).to(device)
        logits.append(said.clamp(-HALF_MOST, HALF_MOST).half().cpu().numpy())
        losses.append(cross_entropy(said, y).float().cpu().numpy())
        if hidden:
            state = seen[-1] if seen else said
            # of a text the first token's, which the head reads: texts are of different lengths
            state = state.flatten(1) if words is None else state[:, 0]
            features.append(state.float().cpu().numpy())
    model.train(training)
    return Answers(
        np.concatenate(logits), np.concatenate(losses), np.concatenate(features) if hidden else None
    )


def remember(model: nn.Module, data: Records, recipe: WakeRecipe, device: torch.device) -> Records | None:
    """The records to keep, with logits [n, classes], or None when the recipe keeps none.

    A lossy codec keeps the logits of the inputs as they were before it.

    Raises:
        NocturneInputError: `memories.budget`, `memories.codec`.
    """
    if recipe.memories == 0:
        return None
    classes = io_widths(model)[1]
    rule, y = recipe.selection, np.asarray(data.y)
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
        # a logit's size does not depend on its value, so the search need not ask the model
        sized = data.with_logits(np.zeros((len(data), classes), np.float16), classes)
        rows, kept = fit_rows(sized, recipe.memory_bytes, recipe.codec, pick, recipe.memories)
    logits = told.logits[rows] if told else answers(model, data, rows, device, hidden=False).logits
    return kept.with_logits(logits, classes)
