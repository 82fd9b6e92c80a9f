"""Scoring: what a checkpoint knows now, and nothing changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from consolidation.errors import NocturneInputError
from consolidation.events import Listener, VerdictGiven
from consolidation.fit import check_fit
from consolidation.memory.store import live_sets
from consolidation.metrics import Row, rows_from_json
from consolidation.probes import Probes
from consolidation.report import Report, outcome
from consolidation.run import Entry, Run, Stop, require_finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from consolidation.memory.store import Records


def score(
    model: nn.Module,
    probes: list[Records],
    *,
    history: Iterable[Row | Mapping[str, Any]] | None = None,
    stop: Stop | None = None,
    device: str | torch.device = "cpu",
    on_event: Listener | None = None,
) -> Report:
    """Scores `model` on the proof half of every probe; the report has no verdict and no `before`. Deleted and
    expired records are left out.

    Raises:
        NocturneInputError: as `cycle.sleep`, and `probes.empty` without any probe.
        Stopped: `stop` gave a reason.
    """
    where = torch.device(device)
    probes = live_sets(probes)
    if not probes:
        raise NocturneInputError(
            "probes.empty",
            "There are no probes to score on, or all of their records are deleted or have expired; add at "
            "least one.",
        )
    check_fit(model, probes, "probe records")
    require_finite(model)
    model.to(where)
    run = Run(
        model=model,
        recipe=None,
        probes=Probes(probes, where),
        plan=[Entry("scoring", 1, 1)],
        identity="",
        workdir=None,
        stop=stop,
        device=where,
        on_event=on_event,
    )
    with run:
        for _ in run.stages():
            run.probe_proof("after")
    found = outcome(
        kind="score",
        history=rows_from_json(history),
        before={},
        after=run.answers("after"),
        tasks=run.probes.tasks,
        groups=run.probes.proof_groups(),
        objective=run.objective.name,
    )
    report = Report(
        kind="score",
        verdict=None,
        reasons=[],
        gain={"mean": None, "tasks": {}},
        steps=0,
        seconds=round(run.stream.seconds, 3),
        **found.fields(),
    )
    run.stream.emit(VerdictGiven, verdict=None, reasons=[], metrics=report.metrics)
    return report
