"""Our replay loop beside the same arithmetic written straight: noise on hidden states, cross-entropy and
logits' distance, a clipped gradient, SGD, a running mean of the weights.

Both sides run in one process in short turns, so that whatever else the machine does falls on both, and once
more each in a process of its own, for the peak of its memory.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from consolidation.families.adapter import adapter_of
from consolidation.memory.sampling import Sampler
from consolidation.memory.store import Records, Transform
from consolidation.phases.replay import ReplayLoss
from consolidation.phases.training import LoopPlan, Training
from consolidation.probes import Probes
from consolidation.recipe import SleepRecipe, preset
from consolidation.run import Entry, Run
from consolidation.weights import new_model
from tests.bench.sections.engine_scaling import resident

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "mlp": ("mlp", {"layers": [784, 100, 100, 10], "activation": "relu", "names": ["0", "1", "2"]}, 150, 60),
    "resnet18": (
        "vision",
        {"architecture": "resnet18", "input": [3, 32, 32], "classes": 10, "width": 64, "stem": "cifar"},
        2,
        5,
    ),
}  # name: (family, config, steps a turn, turns)
BATCH, TASKS, EACH, LR, SIGMA, CLIP = 64, 5, 200, 0.05, 0.05, 5.0
LEAST = {"mlp throughput, ours / plain": 0.9, "resnet18 throughput, ours / plain": 0.9}
TARGETS = {"mlp memory, ours - plain, GB": 0.15, "resnet18 memory, ours - plain, GB": 0.15}


def memories(width: int) -> list[Records]:
    """Random pictures with labels and logits: throughput does not depend on what is on them."""
    rng = np.random.default_rng(0)
    return [
        Records(
            task=f"task {index}", x=rng.integers(0, 256, (EACH, width), dtype=np.uint8),
            y=rng.integers(0, 10, EACH), z=rng.normal(0, 2, (EACH, 10)).astype(np.float16), classes=10,
            transform=Transform(scale=1 / 255, mean=0.5, sd=0.25),
        )
        for index in range(TASKS)
    ]  # fmt: skip


def a_model(name: str) -> tuple[nn.Module, int]:
    family, config, _, _ = MODELS[name]
    width = config["layers"][0] if family == "mlp" else int(np.prod(config["input"]))
    clean: dict[str, Any] = {"layout": "chw"} | config if family != "mlp" else config
    return new_model(family, clean, 1).eval(), width


def plain(name: str) -> Callable[[int], None]:
    """A turn of `n` steps as a person would write them for this very model."""
    model, width = a_model(name)
    sets = memories(width)
    x = torch.from_numpy(np.concatenate([records.inputs() for records in sets]))
    y = torch.from_numpy(np.concatenate([records.y for records in sets]))
    z = torch.from_numpy(np.concatenate([np.asarray(records.z, np.float32) for records in sets]))
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=LR)
    average = [parameter.detach().clone() for parameter in parameters]
    done = 0

    def hook(_module: nn.Module, _args: Any, h: Tensor) -> Tensor:
        rms = h.detach().flatten(1).square().mean(1).sqrt().reshape(-1, *[1] * (h.dim() - 1))
        return h + SIGMA * rms * torch.randn_like(h)

    for block in adapter_of(model).blocks(model):
        block.register_forward_hook(hook)

    def turn(steps: int) -> None:
        nonlocal done
        for _ in range(steps):
            rows = torch.randint(len(x), (BATCH,))
            optimizer.zero_grad()
            logits = model(x[rows])
            ce = functional.cross_entropy(logits, y[rows])
            distill = functional.mse_loss(logits, z[rows])
            loss = 0.5 * ce + 0.5 * distill
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            done += 1
            with torch.no_grad():
                for mean, parameter in zip(average, parameters, strict=True):
                    mean.lerp_(parameter, 1 / done)
            if not torch.isfinite(loss):
                raise FloatingPointError

    return turn


def ours(name: str) -> Callable[[int], None]:
    """A turn of `n` steps of the engine's loop, with a listener, as a night on a page has one."""
    model, width = a_model(name)
    sets = memories(width)
    recipe: SleepRecipe = preset("night", lr=LR, noise=SIGMA, clip=CLIP, batch=BATCH, average=1.0)
    device = torch.device("cpu")
    heard = 0

    def listen(_event: object) -> None:
        nonlocal heard
        heard += 1

    run = Run(
        model=model, recipe=recipe, probes=Probes([], device), plan=[Entry("NREM replay", 1, 1)], identity="",
        workdir=None, stop=lambda: None, device=device, on_event=listen,
    )  # fmt: skip
    plan = LoopPlan(
        steps=10**9, lr=LR, optimizer="sgd", momentum=0.0, clip=CLIP, noise=SIGMA, average=1.0
    )  # fmt: skip
    sampler = Sampler(sets, BATCH, recipe.sampling, 0)
    loop = Training(run, plan, sampler, ReplayLoss(run, recipe, None, sets))
    loop.average_from = 0

    def turn(steps: int) -> None:
        before = heard
        loop.advance(steps)
        if heard - before < steps:
            raise RuntimeError("a step went unheard")

    return turn


SIDES = {"plain": plain, "ours": ours}


def peak(name: str, side: str) -> float:
    """GB at the peak of a process that does nothing else."""
    code = f"from tests.bench.sections.engine_replay import alone; alone({name!r}, {side!r})"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    return float(done.stdout.strip()) / 1e9


def alone(name: str, side: str) -> None:
    """The child of `peak`."""
    torch.set_num_threads(1)
    SIDES[side](name)(3 * MODELS[name][2] + 3)
    print(resident("VmHWM"))  # ru_maxrss would count the parent that it was forked from


def measure() -> dict[str, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name, (_, _, steps, turns) in MODELS.items():
        loops = {side: make(name) for side, make in SIDES.items()}
        speed: dict[str, list[float]] = {side: [] for side in SIDES}
        for loop in loops.values():
            loop(steps)
        for index in range(turns):
            for side in sorted(SIDES, reverse=index % 2 == 1):
                began = time.perf_counter()
                loops[side](steps)
                speed[side].append(steps / (time.perf_counter() - began))
        rate = {side: statistics.median(values) for side, values in speed.items()}
        ratio = statistics.median(a / b for a, b in zip(speed["ours"], speed["plain"], strict=True))
        memory = {side: peak(name, side) for side in SIDES}
        for side in SIDES:
            found[f"{name} {side}, steps/s"] = round(rate[side], 2)
        found[f"{name} throughput, ours / plain"] = round(ratio, 3)
        for side in SIDES:
            found[f"{name} {side}, peak GB"] = round(memory[side], 3)
        found[f"{name} memory, ours - plain, GB"] = round(memory["ours"] - memory["plain"], 3)
    torch.set_num_threads(threads)
    return found
