"""Synaptic Sleep Replay beside its rivals: wake as fine-tuning does, keep memories, sleep once a task.

The memories of a task are class-balanced, with the fp16 logits of the model that had just learned it; older
sets are cut down to an equal share. The night follows the wake at once, so a sample of the newest task's
training records is still at hand for it, as it is for every method that learns in between. The Fisher of the
last night is kept (fp16, its bytes counted) and weighs the model before waking when the two are merged.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from consolidation.baselines.compute import NightMeter, forward_only
from consolidation.baselines.method import Learner
from consolidation.baselines.storage import total_bytes
from consolidation.memory.remembering import answers
from consolidation.memory.selection import select_class_balanced
from consolidation.memory.store import Records
from consolidation.recipe import preset
from consolidation.weights import Fisher

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from consolidation.baselines.setting import Setting, TaskData
    from consolidation.recipe import SleepRecipe


class Sleep(Learner):
    """One night of a preset after each task."""

    name = "sleep"
    stores_logits = True
    preset_name = "night"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.memories: list[Records] = []
        self.fisher: Fisher | None = None

    def beside_bytes(self) -> int:
        """The Fisher's, 2 a weight; nothing when the preset does not merge."""
        merges = self.recipe(0, 1).merge != 0
        return 2 * self.parameter_count() if merges else 0

    def recipe(self, task: int, examples: int) -> SleepRecipe:
        """This night's recipe: the preset, what the wake was, and the setting's changes."""
        given: dict[str, Any] = {
            "wake_examples": examples, "min_gain": 0.0, "seed": 1000 * self.setting.seed + task,
            "wake_lr": self.setting.hyper(self.name, 1).lr,
        }  # fmt: skip
        return preset(self.preset_name, **(given | (self.setting.recipe or {})))

    def learn(self, task: int, data: TaskData) -> None:
        before = copy.deepcopy(self.model)
        super().learn(task, data)
        self.keep(task, data)
        self.night(task, data, before)

    def keep(self, task: int, data: TaskData) -> None:
        """Cuts older sets down to their new share, and keeps as much of the newest task."""
        shares = [len(part) for part in np.array_split(np.arange(self.capacity), task + 1)]
        self.memories = [
            old.take(self.chosen(old.y, share, self.setting.seed))
            for old, share in zip(self.memories, shares, strict=False)
            if share
        ]
        if not shares[-1]:
            return
        rows = torch.from_numpy(self.chosen(data.y.numpy(), shares[-1], self.setting.seed + task))
        raw = self.setting.storage.given_back(data.raw(rows))
        kept = self.records(data, raw, rows)
        if self.objective.kept:
            self.cost.f += len(kept)
            told = answers(self.model, kept, np.arange(len(kept)), torch.device("cpu"), hidden=False)
            self.memories.append(told.beside(kept))
            return
        z = forward_only(self.cost, self.model, self.setting.inputs(raw))
        self.memories.append(kept.with_logits(z.half().numpy(), self.setting.outputs))

    def chosen(self, y: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
        """Rows to keep, class-balanced; what is no label is nothing to balance by."""
        labels = y if self.objective.name == "classification" else np.zeros_like(y)
        return select_class_balanced(labels, count, seed)

    def records(self, data: TaskData, raw: Tensor, rows: Tensor) -> Records:
        return Records(
            task=data.name, x=raw.numpy(), y=data.y.index_select(0, rows).numpy(),
            classes=self.setting.outputs, transform=self.setting.transform, objective=self.objective.name,
            head=data.head,
        )  # fmt: skip

    def night(self, task: int, data: TaskData, before: nn.Module) -> None:
        from consolidation.cycle import sleep

        recipe = self.recipe(task, len(data) * self.setting.epochs)
        awake = self.at_hand(task, data, recipe.fresh)
        newest = len(awake or self.memories[-1])
        with NightMeter(self.model, recipe, newest, self.setting.outputs) as meter:
            report = sleep(
                self.model, self.memories, [], recipe, reference=before, reference_fisher=self.fisher,
                awake=awake, on_event=meter,
            )  # fmt: skip
        meter.add_to(self.cost, report)
        self.fisher = as_stored(report.fisher) if report.fisher is not None else None

    def at_hand(self, task: int, data: TaskData, most: int) -> Records | None:
        """Training records of this very task, which every method may see until the next one comes."""
        if not most:
            return None
        order = np.random.default_rng((self.setting.seed, 3, task)).permutation(len(data))
        rows = torch.from_numpy(order[:most])
        return self.records(data, data.raw(rows), rows)

    def stored_bytes(self) -> int:
        sets = [torch.from_numpy(np.array(kept.x)) for kept in self.memories]
        return total_bytes(self.setting.storage, sets, logits=True) + self.beside_bytes()


def as_stored(fisher: Fisher) -> Fisher:
    """A Fisher after fp16, each tensor scaled by a power of two (as `weights.save_fisher` does)."""
    kept = {}
    for name, tensor in fisher.tensors.items():
        top = float(tensor.max())
        power = torch.tensor(math.ceil(math.log2(top)) - 15 if top > 0 else 0)
        kept[name] = torch.ldexp(torch.ldexp(tensor, -power).half().float(), power)
    return Fisher(kept, fisher.samples, fisher.labels)


class LiteralSleep(Sleep):
    """The article's reading: labels only, significance by the Fisher alone, no merging, no averaging."""

    name = "sleep-literal"
    preset_name = "literal"
