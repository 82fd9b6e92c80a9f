"""A tiny world: three tasks of 2-D-ish blobs, a small model that knows them badly, memories with logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from consolidation.memory.store import Records, Transform
from consolidation.recipe import SleepRecipe, WakeRecipe, preset
from consolidation.weights import new_model

if TYPE_CHECKING:
    from consolidation.events import Event

CONFIG: dict[str, Any] = {"layers": [8, 16, 12, 4], "activation": "relu", "names": ["a.0", "a.1", "head"]}
TASKS = ("first", "second", "third")


def make_records(index: int, count: int, seed: int, *, logits: bool = False, dtype: str = "u1") -> Records:
    """`count` records of task `index`: four clusters, whose places the task shuffles."""
    shape = np.random.default_rng(100 + index).permutation(8)
    rng = np.random.default_rng((seed, index))
    centres = np.random.default_rng(9).uniform(40, 200, (4, 8))
    y = rng.integers(0, 4, count)
    x = np.clip(centres[y][:, shape] + rng.normal(0, 18, (count, 8)), 0, 255).astype(dtype)
    z = rng.normal(0, 2, (count, 4)).astype(np.float16) if logits else None
    transform = Transform(scale=1 / 255, mean=0.45, sd=0.25)
    return Records(task=TASKS[index], x=x, y=y, z=z, classes=4, transform=transform)


@dataclass
class World:
    model: nn.Module
    reference: nn.Module
    memories: list[Records]
    probes: list[Records]
    recipe: SleepRecipe


def make_world(**overrides: Any) -> World:
    """Everything a short night needs, the same at every call."""
    settings: dict[str, Any] = {
        "passes": 10, "lr": 0.05, "batch": 16, "fisher_samples": 60, "seed": 3, "min_gain": 0.0,
        "momentum": 0.9, "snapshot_every_s": 0, "dream": 0.1,
    }  # fmt: skip
    return World(
        model=new_model("mlp", CONFIG, 1),
        reference=new_model("mlp", CONFIG, 2),
        memories=[make_records(i, 40, 1, logits=i != 1) for i in range(3)],
        probes=[make_records(i, 60, 2) for i in range(3)],
        recipe=preset("night", **(settings | overrides)),
    )


def wake_recipe(**overrides: Any) -> WakeRecipe:
    settings: dict[str, Any] = {"epochs": 4, "batch": 16, "lr": 0.1, "memories": 30, "snapshot_every_s": 0}
    return WakeRecipe(**(settings | overrides))


def bits(model: nn.Module) -> dict[str, bytes]:
    """The exact bytes of every tensor."""
    return {name: tensor.detach().numpy().tobytes() for name, tensor in model.state_dict().items()}


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules())


class Recorder:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [body for event in self.events if (body := event.to_json())["kind"] == kind]


def batch_of(records: Records) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(records.inputs()), torch.from_numpy(np.asarray(records.y))
