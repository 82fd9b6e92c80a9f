"""Records of token ids as a text model takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consolidation.families.described import PADDING

if TYPE_CHECKING:
    from torch import Tensor


def token_ids(x: Tensor) -> Tensor:
    """int64 [n, length] from records [n, width] that came as floats (ids below 2^24 are exact in float32).

    Columns at the end that only fill up are cut off, so that a batch costs what its longest record does; one
    column always stays.
    """
    ids = x.flatten(1).long()
    used = (ids != PADDING).any(0).nonzero()
    length = int(used[-1]) + 1 if len(used) else 1
    return ids[:, :length]


def places(x: Tensor) -> tuple[Tensor, Tensor]:
    """(ids, real), int64 and bool [n, length], of records that hold ids + 1, so that 0 can be a token.

    Cut like `token_ids`; where a record is only filled up, `real` is false and the id is 0.
    """
    shifted = token_ids(x)
    return (shifted - 1).clamp_min(0), shifted != PADDING
