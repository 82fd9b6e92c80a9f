"""A night on permuted digits, killed with SIGKILL at random moments and resumed until it is done: are the
final weights those of the unbroken night, to the bit?

Twenty seeds; each draws one to three moments, uniform over the unbroken night's time, at which the process
of that attempt is killed. One attempt more runs to the end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from consolidation.cycle import sleep
from consolidation.demo import digits
from consolidation.memory.store import Records
from consolidation.snapshot import tensors_digest
from consolidation.waking import wake
from consolidation.weights import load_model, new_model, save_model

if TYPE_CHECKING:
    from consolidation.events import Event

SEEDS, TASKS = 20, 3
TARGETS = {"nights that ended with other bits": 0}
LEAST = {"nights killed and resumed": SEEDS, "kills inside the night": SEEDS}
READY, DONE = "ready", "done "


def prepare(folder: Path) -> None:
    """The awake model, the one before the last waking, memories and probes, as files."""
    model = new_model(digits.FAMILY, digits.CONFIG, digits.SEED)
    for index in range(TASKS):
        save_model(model, folder / "reference.safetensors")
        task = digits.demo_task(index)
        day = wake(model, task.train, [], digits.wake_recipe(index))
        if day.memories is None:
            raise RuntimeError("the wake kept no memories")
        day.memories.save(folder / f"memories-{index}.safetensors")
        task.probe.save(folder / f"probe-{index}.safetensors")
    save_model(model, folder / "model.safetensors")


def attempt(folder: str, workdir: str) -> None:
    """The child: says when the night begins, then the stage of each event, then the digest of the weights."""
    torch.set_num_threads(1)
    files = Path(folder)
    recipe = digits.sleep_recipe(
        rounds=2, dream=0.1, momentum=0.9, wake_lr=0.05, wake_examples=60_000, snapshot_every_s=0.05,
        reconstruct="linear-decoder", min_gain=0.0,
    )  # fmt: skip
    model = load_model(files / "model.safetensors")
    stage = ""

    def listen(event: Event) -> None:
        nonlocal stage
        if getattr(event, "stage", stage) != stage:
            stage = getattr(event, "stage", stage)
            print(f"stage {stage}", flush=True)

    print(READY, flush=True)
    sleep(
        model,
        [Records.open(files / f"memories-{index}.safetensors") for index in range(TASKS)],
        [Records.open(files / f"probe-{index}.safetensors") for index in range(TASKS)],
        recipe,
        reference=load_model(files / "reference.safetensors"),
        workdir=workdir,
        on_event=listen,
    )
    print(DONE + tensors_digest(model.state_dict()), flush=True)


def run(folder: Path, workdir: Path, seconds: float | None) -> tuple[str | None, str, float]:
    """One attempt, killed `seconds` after its night began.

    Returns:
        (digest, or None when it was killed; the last stage; seconds that the night took).
    """
    code = f"from tests.bench.sections.engine_kill import attempt; attempt({str(folder)!r}, {str(workdir)!r})"
    root = Path(__file__).parents[3]
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root, env=dict(os.environ)
    )
    if child.stdout is None or child.stdout.readline().strip() != READY:
        raise RuntimeError("the child did not begin")
    began = time.monotonic()
    if seconds is not None:
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
    lines = child.stdout.read().splitlines()
    child.stdout.close()
    code_back, took = child.wait(), time.monotonic() - began
    stages = [line.removeprefix("stage ") for line in lines if line.startswith("stage ")]
    last = stages[-1] if stages else "before the first stage"
    if lines and lines[-1].startswith(DONE):
        return lines[-1].removeprefix(DONE), last, took
    if code_back != -signal.SIGKILL:
        raise RuntimeError(f"the child ended with {code_back}")
    return None, last, took


def measure() -> dict[str, Any]:
    torch.set_num_threads(1)
    where: dict[str, int] = {}
    differ = kills = nights = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        whole, _, span = run(folder, folder / "whole", None)
        for seed in range(SEEDS):
            draw = random.Random(seed)
            killed = attempts = 0
            while not killed:  # a night that was quicker than every moment drawn proves nothing
                workdir = folder / f"night-{seed}-{attempts}"
                attempts += 1
                digest: str | None = None
                for _ in range(draw.randint(1, 3)):
                    digest, stage, _ = run(folder, workdir, draw.uniform(0, span))
                    if digest is not None:
                        break
                    killed += 1
                    where[stage] = where.get(stage, 0) + 1
            if digest is None:
                digest, _, _ = run(folder, workdir, None)
            kills += killed
            nights += 1
            differ += digest != whole
    return {
        "nights killed and resumed": nights,
        "kills inside the night": kills,
        "where they fell": json.dumps(where),
        "nights that ended with other bits": differ,
        "sha256 of the unbroken night": whole,
    }
