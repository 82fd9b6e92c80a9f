"""How much the stored answers of a model take, told without it. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from consolidation.families.registry import family_objective, family_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

LIKELIEST: Final = 32  # kept of each choice, where not all logits are (objectives.likeliest)
HALF: Final = 2


def answer_numbers(family: str, config: Mapping[str, Any], width: int) -> int:
    """Numbers of one record's stored answers in a batch: logits, or the likeliest choices and their chances.

    Args:
        config: validated. width: tokens of the record, or numbers.
    """
    match family_objective(family, config):
        case "language":
            return 2 * LIKELIEST * width
        case "extractive-qa":
            return 2 * LIKELIEST * 2
    return family_spec(family).outputs(config)


def answer_bytes(family: str, config: Mapping[str, Any], width: int) -> int:
    """Bytes of one record's stored answers in a file: float16, and beside them numbers of words or places."""
    numbers = answer_numbers(family, config, width)
    match family_objective(family, config):
        case "classification":
            return HALF * numbers
        case "language" if family_spec(family).outputs(config) > 1 << 16:
            return numbers // 2 * (HALF + 4)
    return HALF * numbers
