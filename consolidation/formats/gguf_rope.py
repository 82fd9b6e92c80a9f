"""LLaMA 3's scaled positions: GGUF has the finished factors, config.json has what they are computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from consolidation.formats.gguf_models import unusual

# What every release of LLaMA 3.1 to 3.3 has; only `factor` differs between them.
_LOW, _HIGH, _TRAINED = 1.0, 4.0, 8192
_NEAR: Final = 1e-4


def llama3_scaling(factors: Sequence[float], *, theta: float) -> dict[str, Any] | None:
    """`rope_scaling` of config.json for the divisors in `rope_freqs.weight`.

    Args:
        factors: one for each pair of numbers of a head.
        theta: the base of the frequencies.

    Returns:
        None when nothing is scaled.

    Raises:
        NocturneInputError: `gguf.architecture`, when they are not LLaMA 3's.
    """
    factor = max(factors)
    if all(value == 1.0 for value in factors):
        return None
    expected = [_llama3(number, len(factors), theta, factor) for number in range(len(factors))]
    if not all(abs(a - b) <= _NEAR * b for a, b in zip(factors, expected, strict=True)):
        raise unusual("factors of its positions (rope_freqs) that are not LLaMA 3's")
    return {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": _LOW,
        "high_freq_factor": _HIGH,
        "original_max_position_embeddings": _TRAINED,
    }


def _llama3(number: int, pairs: int, theta: float, factor: float) -> float:
    """The divisor of one frequency: 1 for short waves, `factor` for long ones, between them in between."""
    wave: float = 2 * math.pi * theta ** (number / pairs)
    if wave < _TRAINED / _HIGH:
        return 1.0
    if wave > _TRAINED / _LOW:
        return factor
    share = (_TRAINED / wave - _LOW) / (_HIGH - _LOW)
    return 1 / ((1 - share) / factor + share)
