"""Our optimisers take torch's own steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from consolidation.phases.optimizers import clear_gradients, make_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

State = tuple[dict[str, Tensor], int]
CASES: dict[str, tuple[str, float, Callable[[list[Tensor]], torch.optim.Optimizer]]] = {
    "sgd": ("sgd", 0.0, lambda p: torch.optim.SGD(p, lr=0.05)),
    "momentum": ("sgd", 0.9, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    "adamw": ("adamw", 0.0, lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.0)),
}


def loss(weights: list[Tensor], step: int) -> Tensor:
    return sum(((w - step * 0.1).cos() * w).sum() for w in weights)  # type: ignore[return-value]


@pytest.mark.parametrize("case", CASES)
def test_they_equal_torchs(case: str) -> None:
    name, momentum, theirs = CASES[case]
    start = [torch.randn(5, 3, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    mine = {str(i): w.clone().requires_grad_() for i, w in enumerate(start)}
    other = [w.clone().requires_grad_() for w in start]
    optimizer, reference = make_optimizer(mine, name, 0.05, momentum), theirs(other)
    for step in range(25):
        clear_gradients(mine)
        loss(list(mine.values()), step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        reference.zero_grad()
        loss(other, step).backward()  # type: ignore[no-untyped-call]
        reference.step()
    for a, b in zip(mine.values(), other, strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_their_state_survives(case: str) -> None:
    name, momentum, _ = CASES[case]

    def go(start: Tensor, steps: range, state: State | None) -> tuple[Tensor, State]:
        weights = {"w": start.clone().requires_grad_()}
        optimizer = make_optimizer(weights, name, 0.05, momentum)
        if state:
            optimizer.load(*state)
        for step in steps:
            clear_gradients(weights)
            loss(list(weights.values()), step).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return weights["w"].detach(), (optimizer.tensors(), optimizer.count)

    whole, _ = go(torch.ones(4), range(12), None)
    half, state = go(torch.ones(4), range(7), None)
    assert torch.equal(go(half, range(7, 12), state)[0], whole)


def test_a_night_does_not_load_the_compiler() -> None:
    code = (
        "import sys; from consolidation.cycle import sleep\n"
        "from tests.consolidation.helpers import make_world\n"
        "w = make_world(passes=1.0); sleep(w.model, w.memories, w.probes, w.recipe)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "False"
