"""The ordering on real permuted MNIST, five tasks. Not in CI: `pytest -m slow`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consolidation.benchmarks.run import RowSpec, run_row


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sleep_is_above_replay_above_fine_tuning_on_five_tasks() -> None:
    data = os.environ.get("NOCTURNE_BENCHMARK_DATA")
    if not data:
        pytest.skip("NOCTURNE_BENCHMARK_DATA names no folder with mnist.npz")
    acc = {
        method: run_row(
            RowSpec(benchmark="permuted-mnist", method=method, seed=0, tasks=5, buffer=500), Path(data), False
        )["acc"]
        for method in ("finetune", "er", "sleep")
    }
    # one seed's measured distances are about twice these
    assert acc["sleep"] > acc["er"] + 0.5
    assert acc["er"] > acc["finetune"] + 8
