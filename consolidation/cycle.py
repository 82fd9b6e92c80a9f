"""A night, from the evening's probes to the morning's verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from consolidation.changes import NO_CHANGES, Changes
from consolidation.day import day_sample, night_sets, remember_day
from consolidation.errors import shorten
from consolidation.estimate import night_steps
from consolidation.events import Listener, VerdictGiven
from consolidation.fit import check_dreams, check_fit, check_learns, without_probes
from consolidation.guard import judge_sleep
from consolidation.memory.store import live_sets
from consolidation.metrics import Row, learned_stages, rows_from_json
from consolidation.objectives import objective_of
from consolidation.phases.downscaling import downscaling
from consolidation.phases.dreaming import dreaming
from consolidation.phases.merging import merging
from consolidation.phases.precision import SLOW, is_slow
from consolidation.phases.replay import replay, zero_masks
from consolidation.phases.significance import estimate_fisher
from consolidation.probes import Probes
from consolidation.recipe import check_labels
from consolidation.reference import fisher_tensors, same_kind
from consolidation.report import Report, outcome
from consolidation.run import Entry, Run, Stop, require_finite
from consolidation.snapshot import fingerprint, tensors_digest
from consolidation.weights import Fisher

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from consolidation.memory.store import Records
    from consolidation.recipe import SleepRecipe


BORROWED = (
    "There are no probes: proposals are judged on the memories themselves, which can show harm but no gain."
)
UNANCHORED = (
    "The recipe asks for an elastic pull (anchor), and the model before waking is not given: nothing pulls. "
    "Give it, or set anchor to 0."
)


def sleep(
    model: nn.Module,
    memories: list[Records],
    probes: list[Records],
    recipe: SleepRecipe,
    *,
    reference: nn.Module | None = None,
    reference_fisher: Fisher | Mapping[str, Tensor] | None = None,
    awake: Records | None = None,
    history: Iterable[Row | Mapping[str, Any]] | None = None,
    workdir: str | Path | None = None,
    stop: Stop | None = None,
    device: str | torch.device = "cpu",
    on_event: Listener | None = None,
    changes: Changes = NO_CHANGES,
) -> Report:
    """One sleep cycle, in place on `model`. Deleted and expired records are left out, of the probes too.

    Args:
        memories: one set a task, or several.
        probes: held out, one a task, in task order.
        reference: the model before waking; gives the merging stage.
        reference_fisher: the Fisher stored beside `reference`; else it is estimated on the older tasks'
        memories. history: rows of the retention matrix so far, as JSON or Row.
        workdir: holds snapshots; one of this very run is resumed, bit for bit on a CPU with the same threads.
        stop: asked at every step; a reason ends the run after a snapshot.
        on_event: receives frozen events in order.
        changes: what this attempt does differently without being another run.

    Raises:
        NocturneInputError: the input does not fit, or the recipe diverged.
        Stopped: `stop` gave a reason.
        OSError: the disk is full or not writable.
    """
    where = torch.device(device)
    rows = rows_from_json(history)
    probes = live_sets(probes)
    check_learns(model)
    check_dreams(model, recipe)
    check_labels(recipe.fisher_labels, objective_of(model).name)
    check_fit(model, memories, "memories")
    check_fit(model, probes, "probe records")
    memories, shared = without_probes(memories, probes, "memories")
    day = day_sample(model, awake, probes, recipe)
    require_finite(model)
    model.to(where)
    reference = same_kind(model, reference, where)
    f_ref = fisher_tensors(model, reference_fisher, where)
    held_out = Probes(probes, where, memories)
    newest = day.task if day else learned_stages(rows, held_out.tasks).newest or memories[-1].task
    beside = reference.state_dict() if reference else {}
    known = [*memories, *probes, *([day] if day else [])]
    identity = fingerprint("sleep", recipe.to_json(), model, known)
    identity += f"\nreference {tensors_digest(beside)}{tensors_digest(f_ref or {})}"

    run = Run(
        model=model, recipe=recipe, probes=held_out, plan=night_plan(recipe, reference is not None),
        stop=stop, identity=identity, workdir=workdir, device=where, on_event=on_event,
        changes=changes,
    )  # fmt: skip
    tasks = [records for records in memories if day is None or records.task != day.task]
    count = sum(len(records) for records in [*tasks, *([day] if day else [])])
    run.total_steps = night_steps(recipe, count, changes.extended)
    report: Report | None = None
    with run:
        if shared:
            run.stream.log(
                "warning", f"{shared} memories are in the probes too; they are left out of the night."
            )
        if is_slow(recipe.precision, where):
            run.stream.log("warning", SLOW)
        if held_out.borrowed:
            run.stream.log("warning", BORROWED)
        if recipe.anchor > 0 and reference is None:
            run.stream.log("warning", UNANCHORED)
        for entry in run.stages():
            match entry.stage:
                case "wake probe":
                    _evening(run, recipe, day)
                case "merging" if reference is not None:
                    merging(run, recipe, night_sets(run, memories, day), newest, reference, f_ref)
                case "NREM replay":
                    replay(run, recipe, night_sets(run, memories, day), reference)
                case "significance":
                    _significance(run, recipe, night_sets(run, memories, day))
                case "downscaling":
                    downscaling(run, recipe)
                case "REM dreaming":
                    dreaming(run, recipe, night_sets(run, memories, day), reference)
                case "morning probe":
                    report = _morning(run, recipe, rows)
    if report is None:  # the plan always ends with the morning probe
        raise RuntimeError("the night ended without a morning")
    return report


def night_plan(recipe: SleepRecipe, reference: bool) -> list[Entry]:
    """The stages in order. Merging needs the model before waking, and comes once."""
    plan = [Entry("wake probe", 1, 3)]
    if reference and (recipe.merge != 0 or recipe.anchor > 0):
        plan.append(Entry("merging", 1, 4))
    for number in range(1, recipe.rounds + 1):
        plan += [
            Entry("NREM replay", number, 60),
            Entry("significance", number, 6),
            Entry("downscaling", number, 4),
        ]
        if recipe.dream > 0:
            twice = 2 if recipe.dream_kind == "inversion" else 1  # they are made by as many steps
            plan.append(Entry("REM dreaming", number, twice * 60 * recipe.dream + 2))
    return [*plan, Entry("morning probe", 1, 3)]


def _evening(run: Run, recipe: SleepRecipe, day: Records | None) -> None:
    if day is not None:
        remember_day(run, day)
        run.stream.log(
            "info",
            f"What was learned last is at hand: {len(day):,} training records of '{shorten(day.task)}' are "
            "replayed in the place of its memories.",
        )
    run.probe_watch("before")
    run.probe_proof("before")
    if recipe.prune_mode == "mask":
        run.kept |= {f"mask/{name}": mask for name, mask in zero_masks(run).items()}


def _significance(run: Run, recipe: SleepRecipe, memories: list[Records]) -> None:
    fisher = estimate_fisher(
        run.model, memories, samples=recipe.fisher_samples, labels=recipe.fisher_labels, device=run.device,
        generator=run.generators["labels"], seed=recipe.seed, before_chunk=run.check_stop,
    )  # fmt: skip
    run.kept |= {f"fisher/{name}": tensor for name, tensor in fisher.tensors.items()}
    run.facts["fisher"] = [fisher.samples, fisher.labels]


def _morning(run: Run, recipe: SleepRecipe, rows: list[Row]) -> Report:
    run.probe_watch("after")
    run.probe_proof("after")
    before, after = run.answers("before"), run.answers("after")
    found = outcome(
        kind="sleep", history=rows, before=before, after=after, tasks=run.probes.tasks,
        groups=run.probes.proof_groups(), objective=run.objective.name,
    )  # fmt: skip
    judged = judge_sleep(
        before=before, after=after, rows_before=found.rows_before, rows_after=found.rows_after, recipe=recipe,
        finite=all(bool(torch.isfinite(tensor).all()) for tensor in run.model.state_dict().values()),
        groups=found.group_scores(), objective=run.objective.name,
    )  # fmt: skip
    samples, labels = run.facts["fisher"]
    fisher = {n.removeprefix("fisher/"): t.cpu() for n, t in run.kept.items() if n.startswith("fisher/")}
    report = Report(
        kind="sleep", verdict=judged.verdict, reasons=judged.reasons, gain=judged.gains_json(),
        seconds=round(run.stream.seconds, 3), steps=run.stream.step, decisions=run.facts.get("decisions", []),
        fisher=Fisher(fisher, samples, labels), **found.fields(),
    )  # fmt: skip
    run.stream.emit(VerdictGiven, verdict=report.verdict, reasons=report.reasons, metrics=report.metrics)
    return report
