"""The number format of the training passes: bfloat16 products over float32 weights.

Mixed precision is Micikevicius et al. 2018, bfloat16 Kalamkar et al. 2019: it has float32's range, so no loss
needs scaling. Only forward passes of the optimiser loop are cast; gradients, optimiser state, averages,
losses, the Fisher and all probes stay float32.
"""

from __future__ import annotations

import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


SLOW = (
    "This processor has no bfloat16 arithmetic of its own: bf16 makes the training passes many times slower, "
    "not faster. Set precision to fp32."
)


def is_slow(precision: str, device: torch.device) -> bool:
    """Whether the precision costs time here instead of saving it: bf16 on an x86 processor with no more than
    AVX2, where every product is emulated."""
    if precision != "bf16" or device.type != "cpu" or platform.machine() not in {"x86_64", "AMD64"}:
        return False
    return torch.backends.cpu.get_cpu_capability() in {"DEFAULT", "AVX2"}


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
