"""The supervisor's own look at what the trainer left: hashes, strict headers, finiteness. No torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from consolidation.errors import NocturneInputError
from consolidation.formats.checkpoint import inspect_checkpoint
from consolidation.formats.records import recheck_records
from webapp.core.checksums import file_crc32
from webapp.core.faults import fault
from webapp.core.store import file_sha256
from webapp.cycles.publish import Found, Output, TaskScore
from workers.job import FISHER, MANIFEST, MEMORIES, MODEL, REPORT

if TYPE_CHECKING:
    from pathlib import Path

    from webapp.cycles.models import Cycle


class Unusable(Exception):
    """The result does not hold what it says; nothing of it is published."""


def verify(cycle: Cycle, out: Path) -> Output:
    """Everything in `out`, checked anew.

    Raises:
        Unusable: for whatever does not fit; the text goes to the log.
    """
    fault("verify.begin")
    try:
        return _verify(cycle, out)
    except NocturneInputError as error:
        raise Unusable(f"{error.code}: {error.message}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unusable(f"{type(error).__name__}: {error}") from error


def _verify(cycle: Cycle, out: Path) -> Output:
    manifest = json.loads((out / MANIFEST).read_text())
    if (manifest["cycle"], manifest["epoch"], manifest["kind"]) != (str(cycle.pk), cycle.epoch, cycle.kind):
        raise Unusable("the manifest is of another attempt")
    files = manifest["files"]
    for name, said in files.items():
        if "/" in name or file_sha256(out / name) != (said["sha256"], said["size"]):
            raise Unusable(f"{name} is not what the manifest says")
    body = json.loads((out / REPORT).read_text())
    report = body["report"]
    return Output(
        report=report,
        verdict=str(report.get("verdict") or ""),
        reasons=[str(reason) for reason in report.get("reasons") or []],
        before=_scores(body["proof"]["before"]),
        after=_scores(body["proof"]["after"]),
        model=_model(cycle, out) if MODEL in files else None,
        memories=_memories(cycle, out) if MEMORIES in files else None,
        fisher=Found(out / FISHER, files[FISHER]) if FISHER in files else None,
    )


def _model(cycle: Cycle, out: Path) -> Found:
    """Re-encoded like an upload: the store holds only what one function wrote, and equal weights once."""
    fresh = out.parent / MODEL
    fresh.unlink(missing_ok=True)
    info = inspect_checkpoint(out / MODEL, out=fresh)
    if info["non_finite"]:
        raise Unusable("the weights are not finite")
    if cycle.base is not None and cycle.base.extras:
        info["crc32"] = file_crc32(fresh)  # for the zip in which it goes home with its base's companions
    return Found(fresh, info)


def _memories(cycle: Cycle, out: Path) -> Found:
    """Written anew like an upload, but packed as the recipe said."""
    if cycle.data is None:
        raise Unusable("memories without a training set")
    fresh = out.parent / MEMORIES
    fresh.unlink(missing_ok=True)
    info = recheck_records(out / MEMORIES, task=cycle.data.task.name, out=fresh)
    return Found(fresh, info)


def _scores(found: dict[str, Any]) -> dict[str, TaskScore]:
    return {
        task: TaskScore(float(score["value"]), int(score["examples"]), bytes.fromhex(score["correct"]))
        for task, score in found.items()
    }
