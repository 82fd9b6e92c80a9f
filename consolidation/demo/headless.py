"""The whole demo in one process: five wakes in turn, then one sleep, all computed here and now."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from consolidation.cycle import sleep
from consolidation.demo import digits
from consolidation.waking import wake
from consolidation.weights import new_model, save_model

if TYPE_CHECKING:
    from consolidation.events import Listener
    from consolidation.memory.store import Records
    from consolidation.metrics import Row


def run_demo(on_event: Listener | None = None, workdir: str | Path | None = None) -> dict[str, Any]:
    """Learns five tasks one after the other, forgets, sleeps.

    Args:
        on_event: receives the events of all six cycles.
        workdir: when given, the checkpoints before and after the sleep are left there.

    Returns:
        {"before": {"retention", "forgetting"}, "after": {...}, "verdict", "seconds"}; fractions of 1.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are so small that a second thread only waits
    try:
        return _run(on_event, workdir)
    finally:
        torch.set_num_threads(threads)


def _run(on_event: Listener | None, workdir: str | Path | None) -> dict[str, Any]:
    began = time.monotonic()
    tasks = [digits.demo_task(index) for index in range(len(digits.TASKS))]
    model = new_model(digits.FAMILY, digits.CONFIG, digits.SEED)
    reference = model
    history: list[Row] = []
    memories: list[Records] = []
    for index, task in enumerate(tasks):
        reference = copy.deepcopy(model)
        known = [one.probe for one in tasks[: index + 1]]
        day = wake(model, task.train, known, digits.wake_recipe(index), history=history, on_event=on_event)
        history.append(day.matrix[-1])
        if day.memories is not None:
            memories.append(day.memories)
    folder = Path(workdir) if workdir is not None else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        save_model(model, folder / "before.safetensors")
    probes = [task.probe for task in tasks]
    night = sleep(
        model,
        memories,
        probes,
        digits.sleep_recipe(),
        reference=reference,
        awake=tasks[-1].train,
        history=history,
        on_event=on_event,
    )
    if folder is not None:
        save_model(model, folder / "after.safetensors")
    shown = {
        when: {name: night.metrics[when][name] for name in ("retention", "forgetting")}
        for when in ("before", "after")
    }
    return shown | {"verdict": night.verdict, "seconds": round(time.monotonic() - began, 3)}
