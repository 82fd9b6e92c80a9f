"""Published figures, to stand beside ours: ACC in percent, by method and buffer. Torch-free.

Buzzega et al. 2020 (DER, NeurIPS), table 2 and its supplement; Boschini et al. 2022 (X-DER) for CIFAR-100.
"""

from __future__ import annotations

from collections.abc import Mapping

Anchors = Mapping[str, Mapping[int | None, float]]

ANCHORS: dict[tuple[str, int], Anchors] = {
    ("permuted-mnist", 20): {
        "finetune": {None: 40.70},
        "joint": {None: 94.33},
        "ewc": {None: 75.79},
        "er": {200: 72.37, 500: 80.60, 5120: 89.90},
        "derpp": {200: 83.58, 500: 88.21, 5120: 92.26},
    },
    # class-incremental; "about", read from the papers' tables
    ("split-cifar", 10): {"finetune": {None: 9.0}, "er": {500: 21.0}, "derpp": {500: 37.0}},
}


def published(benchmark: str, tasks: int) -> Anchors:
    """Empty where the protocol, with this count of tasks, was never published."""
    return ANCHORS.get((benchmark, tasks), {})
