"""How many decimals a score is written with.

Three, which suits shares of right answers. A language model's score is 1 / perplexity, and a text that it
reads well has .02: there, three digits that count are written, or a change of a tenth would read as none.
"""

from __future__ import annotations

import math

LEAST, MOST = 3, 6


def decimals(*levels: float | None) -> int:
    """
    Args:
        levels: the score itself, or the two that a difference is between; fractions of 1, None for unknown.
    """
    level = max((abs(one) for one in levels if one is not None), default=0.0)
    return min(MOST, max(LEAST, 2 - math.floor(math.log10(level)))) if level else LEAST


def signed(value: float, digits: int) -> str:
    """A difference of scores: "+0.122", "−0.00035"."""
    return f"{value:+.{digits}f}".replace("-", "−")
