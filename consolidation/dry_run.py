"""A few real steps of a night, to foretell how long it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from consolidation.estimate import DryRun
from consolidation.fit import check_learns, without_probes
from consolidation.memory.sampling import Sampler
from consolidation.phases.replay import ReplayLoss
from consolidation.phases.training import LoopPlan, Training
from consolidation.probes import Probes
from consolidation.run import Entry, Run
from consolidation.snapshot import Undo

if TYPE_CHECKING:
    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe

STEPS = 5


def dry_run(
    model: nn.Module, memories: list[Records], recipe: SleepRecipe, device: str | torch.device = "cpu"
) -> DryRun:
    """Times five replay steps after one that warms up. The model is as before when it returns, bit for bit.

    Args:
        memories: fitting the model (`fit.check_fit`); deleted and expired ones are left out.

    Raises:
        NocturneInputError: `memories.empty`, `weights.frozen`, `cycle.diverged`, `cycle.out_of_memory`.
    """
    where = torch.device(device)
    memories, _ = without_probes(memories, [], "memories")
    check_learns(model)
    model.to(where)
    run = Run(
        model=model, recipe=recipe, probes=Probes([], where), plan=[Entry("NREM replay", 1, 1)], identity="",
        workdir=None, stop=None, device=where, on_event=None,
    )  # fmt: skip
    plan = LoopPlan(
        steps=STEPS + 1, lr=1e-6, optimizer=recipe.optimizer, momentum=recipe.momentum, clip=recipe.clip,
        noise=recipe.noise, average=recipe.average, micro=recipe.micro_batch,
    )  # fmt: skip
    with run:
        undo = Undo(run.folder, "dry-run")
        weights: dict[str, Tensor] = dict(model.named_parameters())
        undo.keep(weights)
        try:
            hidden = _hidden(model, memories[0], where)
            loss = ReplayLoss(run, recipe, None, memories)
            sampler = Sampler(memories, recipe.batch, recipe.sampling, recipe.seed)
            loop = Training(run, plan, sampler, loss, extra=loss.extra)
            loop.undo.keep(loop.before)  # what a fault in these steps would put back
            loop.advance(1)
            began = time.perf_counter()
            loop.advance(STEPS)
            if where.type == "cuda":
                torch.cuda.synchronize(where)
            seconds = (time.perf_counter() - began) / STEPS
        finally:
            undo.restore(weights)
    return DryRun(seconds, sum(weight.numel() for weight in weights.values()), hidden)


def _hidden(model: nn.Module, records: Records, device: torch.device) -> int:
    """Numbers that all layers with weights give for one record."""
    seen: list[int] = []

    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            seen.append(output.numel())

    wide = {id(weight) for weight in model.parameters() if weight.dim() > 1}
    layers = [m for m in model.modules() if any(id(w) in wide for w in m.parameters(recurse=False))]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        with torch.no_grad():
            model(torch.from_numpy(records.inputs(slice(0, 1))).to(device))
    finally:
        for handle in handles:
            handle.remove()
    return sum(seen)
