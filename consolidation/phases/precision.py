"""The number format of the training passes: bfloat16 products over float32 weights.

Mixed precision is Micikevicius et al. 2018, bfloat16 Kalamkar et al. 2019: it has float32's range, so no loss
needs scaling. Only forward passes of the optimiser loop are cast; gradients, optimiser state, averages,
losses, the Fisher and all probes stay float32.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def passes(precision: str, device: torch.device) -> Iterator[None]:
    """Inside, "bf16" has matrix products and convolutions done in bfloat16; "fp32" changes nothing.

    One context a pass: inside of one, casts of the weights are kept, and those that a pass without gradients
    has made would cut the next one off from its weights.
    """
    if precision == "fp32":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16):
        yield
