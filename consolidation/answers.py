"""What a model scored on each record of a probe, kept so that every figure can be computed anew. Torch-free.

Where an answer is right or wrong it is a bool; where it is better or worse (a text's words, an answer's
overlap) it is a float32 between 0 and 1. A task's score is the mean of its answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Answers: TypeAlias = "NDArray[np.bool_] | NDArray[np.float32]"
LEAST_SCORE = 1e-30  # of a record whose perplexity is told: float32 cannot say e^-100


def scores(answers: Mapping[str, Answers]) -> dict[str, float]:
    """The mean of each task's answers, a fraction of 1."""
    return {task: float(each.mean(dtype=np.float64)) for task, each in answers.items()}


def pack(answers: Mapping[str, Answers]) -> dict[str, bytes]:
    """Bools eight a byte, the last one filled up with zeros; floats as float32, little endian."""
    return {
        task: each.astype("<f4").tobytes() if each.dtype == np.float32 else np.packbits(each != 0).tobytes()
        for task, each in answers.items()
    }


def unpack_one(data: bytes, count: int) -> Answers:
    """The inverse of `pack` for one task, given how many answers it has: their size tells their kind."""
    if len(data) == 4 * count and count:
        return np.frombuffer(data, "<f4").astype(np.float32)
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(np.bool_)


def unpack(packed: Mapping[str, bytes], counts: Mapping[str, int]) -> dict[str, Answers]:
    """The inverse of `pack`, given the number of answers of each task."""
    return {task: unpack_one(data, counts[task]) for task, data in packed.items()}


def perplexity(answers: Answers) -> float:
    """exp of the mean -log of the scores of a language probe, whose records weigh the same.

    A record's score is exp(-nll) with nll the mean over its tokens, so records of one length give the
    perplexity of the text.
    """
    return float(np.exp(-np.log(np.maximum(answers.astype(np.float64), LEAST_SCORE)).mean()))
