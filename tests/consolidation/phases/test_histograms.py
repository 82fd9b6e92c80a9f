from __future__ import annotations

import numpy as np
import torch

from consolidation.phases.histograms import SIGNIFICANCE_EDGES, WEIGHT_EDGES, log_histogram


def test_the_bins_are_those_of_numpy() -> None:
    values = torch.exp(torch.randn(5000, generator=torch.Generator().manual_seed(1)) * 3)
    counts, zeros = log_histogram([values.reshape(50, 100)], WEIGHT_EDGES)
    inside = np.clip(np.log10(values.double().numpy()), WEIGHT_EDGES[0], WEIGHT_EDGES[-1])
    assert counts == np.histogram(inside, WEIGHT_EDGES)[0].tolist()
    assert zeros == 0


def test_zeros_are_counted_apart_and_what_is_not_finite_is_left_out() -> None:
    odd = torch.tensor([0.0, -0.0, 1.5, -1.5, float("nan"), float("inf"), 1e-40, 1e30])
    counts, zeros = log_histogram([odd, torch.zeros(2, 2)], SIGNIFICANCE_EDGES)
    assert zeros == 6
    assert sum(counts) == 4
    assert (counts[0], counts[-1]) == (1, 1)
