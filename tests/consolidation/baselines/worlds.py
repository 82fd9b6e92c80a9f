"""A tiny setting: three tasks of shuffled blobs of uint8, a small mlp."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from consolidation.baselines.setting import Hyper, Setting, TaskData
from consolidation.memory.store import Transform
from consolidation.weights import new_model

WIDTH, CLASSES, TASKS = 12, 4, 3
CONFIG: dict[str, Any] = {"layers": [WIDTH, 16, 14, CLASSES], "activation": "relu", "names": ["a", "b", "c"]}


def make_setting(**changes: Any) -> Setting:
    made = Setting(
        build=lambda seed: new_model("mlp", CONFIG, seed), outputs=CLASSES, tasks=TASKS, epochs=2, batch=16,
        replay_batch=16, transform=Transform(scale=1 / 255),
        hyper=lambda name, records: Hyper(lr=0.1, alpha=0.3, beta=0.7, weight=2.0),
        sample=task_data(0).raw(), buffer=20, seed=5,
    )  # fmt: skip
    return replace(made, **changes)


def task_data(index: int, count: int = 96) -> TaskData:
    rng = np.random.default_rng(4)
    centres = rng.uniform(40, 200, (CLASSES, WIDTH))
    y = rng.integers(0, CLASSES, count)
    x = np.clip(centres[y] + rng.normal(0, 15, (count, WIDTH)), 0, 255).astype(np.uint8)
    columns = torch.from_numpy(np.random.default_rng((index, 1)).permutation(WIDTH))
    return TaskData(
        name=f"shuffle {index}", x=torch.from_numpy(x), y=torch.from_numpy(y), classes=(0, 1, 2, 3),
        columns=columns,
    )  # fmt: skip
