"""Waking: plain fine-tuning on one record set, and the choice of memories for the nights to come.

Nothing here works against forgetting; that is what sleep is for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from consolidation.changes import NO_CHANGES, Changes
from consolidation.events import Listener, VerdictGiven
from consolidation.fit import check_batch, check_fit, check_learns, without_probes
from consolidation.guard import judge_wake
from consolidation.memory.remembering import remember
from consolidation.memory.sampling import Batch, Sampler
from consolidation.memory.store import live_sets
from consolidation.metrics import Row, rows_from_json
from consolidation.objectives.objective import narrowed
from consolidation.phases.precision import SLOW, is_slow, passes
from consolidation.phases.training import LoopPlan, Terms, Training
from consolidation.probes import Probes
from consolidation.report import Report, outcome
from consolidation.run import Entry, Run, Stop, require_finite
from consolidation.snapshot import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from consolidation.memory.store import Records
    from consolidation.recipe import WakeRecipe

PLAN = [Entry("wake probe", 1, 3), Entry("learning", 1, 60), Entry("morning probe", 1, 3)]


def wake(
    model: nn.Module,
    data: Records,
    probes: list[Records],
    recipe: WakeRecipe,
    *,
    history: Iterable[Row | Mapping[str, Any]] | None = None,
    workdir: str | Path | None = None,
    stop: Stop | None = None,
    device: str | torch.device = "cpu",
    on_event: Listener | None = None,
    changes: Changes = NO_CHANGES,
) -> Report:
    """Trains `model` in place on `data`; `report.memories` holds `recipe.memories` records with logits.

    BatchNorm layers are trained on the batches' own statistics; every batch is whole, whatever the number of
    records. Deleted and expired records are left out, of the probes too. Arguments, events, resume and errors
    as for `cycle.sleep`; and `cycle.batchnorm_batch`.
    """
    where = torch.device(device)
    rows = rows_from_json(history)
    check_batch(model, recipe.batch)
    check_learns(model)
    probes = live_sets(probes)
    check_fit(model, [data], "training records")
    check_fit(model, probes, "probe records")
    [data], shared = without_probes([data], probes, "training records")
    require_finite(model)
    model.to(where)
    run = Run(
        model=model,
        recipe=recipe,
        probes=Probes(probes, where),
        plan=PLAN,
        stop=stop,
        workdir=workdir,
        identity=fingerprint("wake", recipe.to_json(), model, [data, *probes]),
        device=where,
        on_event=on_event,
        changes=changes,
    )
    run.total_steps = changes.steps(math.ceil(recipe.epochs * len(data) / recipe.batch))
    report: Report | None = None
    with run:
        if shared:
            run.stream.log("warning", f"{shared} training records are in the probes too; they are left out.")
        if is_slow(recipe.precision, where):
            run.stream.log("warning", SLOW)
        for entry in run.stages():
            match entry.stage:
                case "wake probe":
                    run.probe_watch("before")
                    run.probe_proof("before")
                case "learning":
                    _learn(run, recipe, data)
                case "morning probe":
                    report = _morning(run, recipe, data, rows)
    if report is None:  # the plan always ends with the morning probe
        raise RuntimeError("the day ended without a morning probe")
    return report


def _learn(run: Run, recipe: WakeRecipe, data: Records) -> None:
    def loss(batch: Batch) -> Terms:
        with passes(recipe.precision, run.device):
            out = run.model(batch.x)
        targets = run.objective.targets(batch.x, batch.y)
        value = run.objective.loss(narrowed(out.float(), batch.head), targets).mean()
        return Terms(value, {"ce": value})

    plan = LoopPlan(
        steps=run.total_steps,
        lr=recipe.lr,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum,
        clip=recipe.clip,
    )
    run.model.train()
    Training(run, plan, Sampler([data], recipe.batch, "uniform", recipe.seed), loss).go()
    run.model.eval()


def _morning(run: Run, recipe: WakeRecipe, data: Records, rows: list[Row]) -> Report:
    run.probe_watch("after")
    run.probe_proof("after")
    before, after = run.answers("before"), run.answers("after")
    found = outcome(
        kind="wake", history=rows, before=before, after=after, tasks=run.probes.tasks, woke=data.task,
        groups=run.probes.proof_groups(), objective=run.objective.name,
    )  # fmt: skip
    judged = judge_wake(
        task=data.task,
        before=before,
        after=after,
        confidence=recipe.confidence,
        seed=recipe.seed,
        finite=all(bool(torch.isfinite(tensor).all()) for tensor in run.model.state_dict().values()),
        objective=run.objective.name,
    )
    report = Report(
        kind="wake",
        verdict=judged.verdict,
        reasons=judged.reasons,
        gain=judged.gains_json(),
        seconds=round(run.stream.seconds, 3),
        steps=run.stream.step,
        memories=remember(run.model, data, recipe, run.device),
        **found.fields(),
    )
    run.stream.emit(VerdictGiven, verdict=report.verdict, reasons=report.reasons, metrics=report.metrics)
    return report
