"""Five small tasks that a small model forgets: handwritten digits, each time with its pixels shuffled anew.

Torch-free, so the web may build the demo project with it. All is fixed by seeds; no score is stored anywhere.
Data: Optical Recognition of Handwritten Digits (Alpaydin & Kaynak, CC BY 4.0), see LICENSE.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from consolidation.memory.store import Records, Transform
from consolidation.recipe import SleepRecipe, WakeRecipe, preset

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAMILY = "mlp"
CONFIG: dict[str, Any] = {
    "layers": [64, 100, 100, 10],
    "activation": "relu",
    "names": ["net.0", "net.2", "net.4"],
}
TASKS = ("Digits", "Digits, shuffle 1", "Digits, shuffle 2", "Digits, shuffle 3", "Digits, shuffle 4")
CLASSES = 10
TRAIN = 1297
EPOCHS = 12
WAKE_LR = 0.2
MEMORIES = 150  # of each task
SEED = 7
TRANSFORM = Transform(scale=1 / 16, mean=0.305, sd=0.376)


@dataclass(frozen=True, slots=True)
class DemoTask:
    """One task: `train` to learn from (1,297 records), `probe` held out (500 records)."""

    name: str
    train: Records
    probe: Records


@cache
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as data:
        return data["x"].reshape(-1, 64), data["y"].astype(np.int64)


def demo_task(index: int) -> DemoTask:
    """Task `index` (0 to 4): the first has its pixels in place, the others in a fixed shuffle of their own.

    Every task splits the images anew, so that a probe is never a training image of the same task.
    """
    x, y = _digits()
    rng = np.random.default_rng((SEED, index))
    order = rng.permutation(len(x))
    pixels = np.arange(64) if index == 0 else rng.permutation(64)
    shuffled = np.ascontiguousarray(x[:, pixels])

    def part(rows: NDArray[np.int64]) -> Records:
        return Records(
            task=TASKS[index], x=shuffled[rows], y=y[rows], classes=CLASSES, transform=TRANSFORM
        )  # fmt: skip

    return DemoTask(TASKS[index], part(order[:TRAIN]), part(order[TRAIN:]))


def write_task(index: int, folder: Path) -> dict[str, Path]:
    """Writes one task's record files into `folder`; returns {"train": path, "probe": path}."""
    task = demo_task(index)
    paths = {
        "train": folder / f"train-{index + 1}.safetensors",
        "probe": folder / f"probe-{index + 1}.safetensors",
    }
    task.train.save(paths["train"])
    task.probe.save(paths["probe"])
    return paths


def wake_recipe(index: int) -> WakeRecipe:
    """How task `index` is learned: plain fine-tuning, nothing against forgetting, a few memories kept."""
    return WakeRecipe(epochs=EPOCHS, batch=32, lr=WAKE_LR, memories=MEMORIES, seed=SEED + index)


def sleep_recipe(**overrides: Any) -> SleepRecipe:
    """The Night preset, told what the five days were: .15 of their examples, half their learning rate."""
    day = {"wake_examples": len(TASKS) * EPOCHS * TRAIN, "wake_lr": WAKE_LR, "seed": SEED}
    return preset("night", **(day | overrides))
