"""One job through the engine: load, run, leave the result in a folder that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from consolidation.changes import Changes
from consolidation.errors import NocturneInputError
from consolidation.memory.store import Records
from consolidation.recipe import SleepRecipe, WakeRecipe, recipe_from_json
from consolidation.snapshot import environment
from consolidation.weights import load_fisher, load_model, new_model, save_fisher, save_model
from webapp.core.faults import fault
from workers.job import FISHER, MANIFEST, MEMORIES, MODEL, REPORT, Job, fsync
from workers.telling import finite

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from consolidation.events import Event
    from consolidation.report import Report
    from workers.telling import Teller


def train(job: Job, teller: Teller, stop: Callable[[], str | None]) -> dict[str, Any]:
    """Run the job.

    Returns:
        What the last line says: {"files": {name: {"size", "sha256"}}, "verdict", "seconds", "steps"}.

    Raises:
        NocturneInputError: the input is at fault.
        Stopped: `stop` said so; a snapshot is in the work folder.
    """
    torch.set_num_threads(job.threads)
    fault("trainer.load")
    model = _model(job)
    probes = [Records.open(path) for path in job.probes]
    teller.tell({"kind": "ready", "environment": environment() | {"device": job.device}})
    report = _run(job, model, probes, stop, lambda event: teller.event(event.to_json()))
    files = _leave(job, model, report)
    return {
        "files": files,
        "verdict": report.verdict,
        "seconds": report.seconds,
        "steps": report.steps,
    }


def _model(job: Job) -> nn.Module:
    if job.checkpoint is not None:
        return load_model(job.checkpoint, base=job.base)
    if job.init is None:
        raise NocturneInputError(
            "cycle.no_checkpoint", "There is no model to begin from; upload a checkpoint."
        )
    return new_model(job.init["family"], job.init["config"], int(job.init.get("seed", 0)))


def _run(
    job: Job,
    model: nn.Module,
    probes: list[Records],
    stop: Callable[[], str | None],
    on_event: Callable[[Event], None],
) -> Report:
    """The engine's entry point for this kind; each works in place on `model`."""
    if job.kind == "score":
        from consolidation.scoring import score

        memories = Records.open(job.data) if job.data else None
        return score(
            model, probes, memories=memories, history=job.history, stop=stop, device=job.device,
            on_event=on_event,
        )  # fmt: skip
    recipe = recipe_from_json(job.recipe, job.kind)
    if isinstance(recipe, WakeRecipe):
        from consolidation.waking import wake

        return wake(
            model,
            Records.open(_given(job.data)),
            probes,
            recipe,
            history=job.history,
            workdir=job.work,
            stop=stop,
            device=job.device,
            on_event=on_event,
            changes=_changes(job),
        )
    return _sleep(job, model, probes, recipe, stop, on_event)


def _sleep(
    job: Job,
    model: nn.Module,
    probes: list[Records],
    recipe: SleepRecipe,
    stop: Callable[[], str | None],
    on_event: Callable[[Event], None],
) -> Report:
    from consolidation.cycle import sleep

    return sleep(
        model,
        [Records.open(path) for path in job.memories],
        probes,
        recipe,
        reference=load_model(job.reference, base=model) if job.reference else None,
        reference_fisher=load_fisher(job.reference_fisher) if job.reference_fisher else None,
        awake=Records.open(job.awake) if job.awake else None,
        history=job.history,
        workdir=job.work,
        stop=stop,
        device=job.device,
        on_event=on_event,
        changes=_changes(job),
    )


def _changes(job: Job) -> Changes:
    return Changes(extended=job.extended, micro_batch=job.micro_batch)


def _given(path: str | None) -> str:
    if path is None:
        raise NocturneInputError("cycle.no_data", "A wake learns one training set; choose one.")
    return path


def _leave(job: Job, model: nn.Module, report: Report) -> dict[str, dict[str, Any]]:
    """Write the result beside its final place, sync it, and rename it into place."""
    out = Path(job.out)
    fresh = out.with_name(f"tmp-{out.name}")
    fault("leave.before_write")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    if job.kind != "score":
        save_model(model, fresh / MODEL)
    if report.memories is not None:
        report.memories.save(fresh / MEMORIES)
    if report.fisher is not None:
        save_fisher(report.fisher, fresh / FISHER)
    body = {"report": finite(_slim(report.to_json())), "proof": _proof(report)}
    (fresh / REPORT).write_text(json.dumps(body))
    files = {path.name: _described(path) for path in sorted(fresh.iterdir())}
    manifest = {
        "version": 1,
        "cycle": job.cycle,
        "epoch": job.epoch,
        "kind": job.kind,
        "recipe": job.recipe,
        "finite": all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values()),
        "files": files,
    }
    (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1))
    fault("leave.after_write")
    for path in fresh.iterdir():
        fsync(path)
    fsync(fresh)
    fault("leave.before_rename")
    shutil.rmtree(out, ignore_errors=True)
    fresh.replace(out)
    fault("leave.after_rename")
    fsync(out.parent)
    return files


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def _slim(report: dict[str, Any]) -> dict[str, Any]:
    """Without the single answers: they become rows of scores."""
    return {key: value for key, value in report.items() if key != "correct"}


def _proof(report: Report) -> dict[str, dict[str, Any]]:
    """{"before" | "after": {task: {"value", "examples", "correct": packed bits in hex, proof order}}}."""
    scores = {"before": report.before, "after": report.after}
    return {
        when: {
            task: {
                "value": value,
                "examples": report.counts[task],
                "correct": report.correct[when][task].hex(),
            }
            for task, value in found.items()
        }
        for when, found in scores.items()
    }
