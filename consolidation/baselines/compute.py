"""What a method costs, counted in examples: the currency in which all methods are compared.

compute = forward+backward passes + 1/3 of forward-only passes (a backward pass costs about two forward ones),
over what fine-tuning alone spends. Everything counts but the scoring of test sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from consolidation.events import Decision, Event, StageStarted, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from consolidation.recipe import SleepRecipe
    from consolidation.report import Report


TRAINING = ("NREM replay", "REM dreaming")


@dataclass
class Cost:
    """`fb` and `f`: examples passed forward and backward, and forward only; `steps`: gradient steps."""

    fb: float = 0.0
    f: float = 0.0
    steps: int = 0

    @property
    def compute(self) -> float:
        return self.fb + self.f / 3


class NightMeter:
    """Counts one night by a hook on the model, so that no pass is forgotten; gates that score memories count.

    Per-sample gradients by `vmap` look to a hook like one example, so the Fisher's samples are taken from the
    recipe and the report where that gives more. Use as a context around `sleep`, with itself as listener.
    """

    def __init__(self, model: nn.Module, recipe: SleepRecipe, newest: int, classes: int) -> None:
        self.model, self.recipe, self.newest, self.classes = model, recipe, newest, classes
        self.steps, self.merged = 0, 0
        self.fb, self.f, self.trained = 0, 0, 0
        self._stage = ""

    def __enter__(self) -> NightMeter:
        self._handle = self.model.register_forward_hook(self._passed)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._stage = event.stage
        elif isinstance(event, Step):
            self.steps += 1
        elif isinstance(event, Decision) and event.name == "merge" and event.kept:
            self.merged = min(self.recipe.fisher_samples, self.newest)

    def _passed(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if not torch.is_grad_enabled():
            self.f += len(inputs[0])
            return
        self.fb += len(inputs[0])
        if self._stage in TRAINING:
            self.trained += len(inputs[0])

    def add_to(self, cost: Cost, report: Report) -> None:
        """Adds the night to `cost`. With exact labels a Fisher sample has one backward pass a class."""
        rounds = self.recipe.rounds
        samples = self.merged + (report.fisher.samples * rounds if report.fisher is not None else 0)
        backward = self.classes if self.recipe.fisher_labels == "exact" else 1
        cost.fb += max(self.fb, self.trained + samples * (1 + 2 * backward) / 3)
        cost.f += self.f
        cost.steps += self.steps


def forward_only(cost: Cost, model: nn.Module, x: torch.Tensor, chunk: int = 1024) -> torch.Tensor:
    """Logits [n, classes] in eval mode without gradients, counted in `cost`."""
    cost.f += len(x)
    return in_chunks(model, x, chunk)


def in_chunks(
    call: nn.Module | Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, chunk: int
) -> torch.Tensor:
    """`call` on x [n, ...], `chunk` rows at a time, without gradients; a module in eval mode."""
    training = getattr(call, "training", False)
    if isinstance(call, torch.nn.Module):
        call.eval()
    with torch.no_grad():
        found = torch.cat([call(x[place : place + chunk]) for place in range(0, len(x), chunk)])
    if isinstance(call, torch.nn.Module):
        call.train(training)
    return found
