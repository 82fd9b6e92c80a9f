"""The twin of permuted MNIST for CI: five shuffles of 8 x 8 digits, seconds a run, no file needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from consolidation.baselines.setting import Hyper, TaskData
from consolidation.benchmarks.benchmark import Benchmark, Options, task_count
from consolidation.demo import digits
from consolidation.weights import new_model

if TYPE_CHECKING:
    from torch import Tensor, nn


def hyper(method: str, records: int) -> Hyper:
    """As on permuted MNIST, where the digits are learned well too."""
    return Hyper(lr=0.1, alpha=0.5, beta=1.0, weight=0.7)


def make(options: Options, seed: int) -> Benchmark:
    """The splits and shuffles are the demo's and the same for every seed; the model's start is not."""
    tasks = task_count(options.tasks, len(digits.TASKS), len(digits.TASKS))
    parts = [digits.demo_task(index) for index in range(tasks)]

    def train_of(index: int) -> TaskData:
        records = parts[index].train
        return TaskData(
            name=parts[index].name, x=torch.from_numpy(records.x), y=torch.from_numpy(records.y),
            classes=tuple(range(digits.CLASSES)),
        )  # fmt: skip

    def test_of(index: int) -> tuple[Tensor, Tensor]:
        records = parts[index].probe
        return torch.from_numpy(records.inputs()), torch.from_numpy(records.y)

    def build(number: int) -> nn.Module:
        return new_model(digits.FAMILY, digits.CONFIG, number)

    return Benchmark(
        name="permuted-digits", scenario="domain-incremental", tasks=tasks, train=train_of, test=test_of,
        build=build, outputs=digits.CLASSES, epochs=options.epochs or digits.EPOCHS, batch=32,
        replay_batch=32,
        transform=digits.TRANSFORM, hyper=hyper, data="8 x 8 digits (UCI)", model="mlp 64-100-100-10",
    )  # fmt: skip
