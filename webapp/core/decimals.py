"""How many decimals a score is written with.

Three, which suits shares of right answers. A language model's score is 1 / perplexity, and a text that it
reads well has .02: there, three digits that count are written, or a change of a tenth would read as none.
"""

from __future__ import annotations

import math

LEAST, MOST = 3, 6


def decimals(level: float | None) -> int:
    """
    Args:
        level: the score itself, or one that a difference is between; a fraction of 1.
    """
    if not level:
        return LEAST
    return min(MOST, max(LEAST, 2 - math.floor(math.log10(abs(level)))))


def signed(value: float, level: float | None) -> str:
    """A difference of scores around a level: "+0.122", "−0.00035"."""
    return f"{value:+.{decimals(level)}f}".replace("-", "−")
