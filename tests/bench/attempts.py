"""One wake, run by a bare trainer or by a whole nights worker: how fast its steps were, and what it took."""

from __future__ import annotations

import json
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from consolidation.demo import digits
from consolidation.snapshot import tensors_digest
from consolidation.weights import load_model
from tests.bench.intervals import mean_ratio
from tests.support.jobs import Lab, eventually
from tests.support.processes import SHIFT, process
from webapp.checkpoints.models import Checkpoint
from webapp.core.store import store_path
from webapp.cycles.choices import TERMINAL, State
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.fleet.models import Worker
from webapp.live.models import Frame
from webapp.memories.models import Use
from workers.child import Trainer
from workers.devices import Device
from workers.job import JOB_FILE, MODEL, OUT_DIR
from workers.scratch import cycle_folder

if TYPE_CHECKING:
    from tests.bench.database import Server

CALIBRATING, LEAST_EPOCHS = 40, 4
_LEFT_OUT = 0.1


@dataclass(frozen=True)
class Reading:
    """One run: steps a second, processor seconds of the trainer and of what ran for it, and the weights."""

    rate: float
    trainer_seconds: float
    digest: str
    others_seconds: float | None = None


class Bench:
    """The job, on a database of its own.

    Args:
        width: of both hidden layers.
    """

    def __init__(self, server: Server, url: str, width: int) -> None:
        self._server, self._url = server, url
        self._config = digits.CONFIG | {"layers": [64, width, width, digits.CLASSES]}
        self._lab = Lab.make()
        self._runs = 0
        self._job: dict[str, Any] = {}
        self._folder = ""

    def supervised(self, epochs: int) -> Reading:
        """By a nights worker that was there before the cycle; its own start does not count."""
        self._runs += 1
        log = self._server.data / f"shift-{self._runs}.log"
        Worker.objects.all().delete()
        with process(
            *SHIFT, database_url=self._url, log=log, NOCTURNE_LEASE_SECONDS="45", NOCTURNE_POLL_SECONDS="1"
        ) as shift:
            eventually(Worker.objects.exists, timeout=60, what="the nights worker")
            time.sleep(1)
            before, database = psutil.Process(shift.pid).cpu_times(), self._server.processor_seconds()
            cycle = self._queue(epochs)
            while (now := Cycle.objects.get(pk=cycle.pk)).state not in TERMINAL:
                time.sleep(0.5)  # rarely, so that looking is no load
            if now.state != State.SUCCEEDED:
                raise SystemExit(f"the cycle ended as {now.state}: {now.error_message}\n{log.read_text()}")
            after, database_after = psutil.Process(shift.pid).cpu_times(), self._server.processor_seconds()
        folder = cycle_folder(cycle.pk) / f"e{now.epoch}"
        self._job, self._folder = json.loads((folder / JOB_FILE).read_text()), str(folder)
        own = after.user + after.system - before.user - before.system
        trainer = after.children_user + after.children_system - before.children_user - before.children_system
        frames = Frame.objects.filter(cycle=cycle, points__isnull=False).order_by("seq")
        told = [json.loads(points) for points in frames.values_list("points", flat=True) if points]
        made = Checkpoint.objects.select_related("project").get(cycle=cycle)
        return Reading(
            rate=_rate(told),
            trainer_seconds=trainer,
            digest=_digest(store_path(made.project.workspace_id, made.sha256)),
            others_seconds=None
            if database is None or database_after is None
            else own + database_after - database,
        )

    def alone(self, epochs: int) -> Reading:
        """By `python -m workers.trainer`, on the job file that a supervised run was given."""
        self._runs += 1
        folder = self._server.data / f"alone-{self._runs}"
        folder.mkdir()
        job = self._job | {"recipe": self._job["recipe"] | {"epochs": epochs}}
        (folder / JOB_FILE).write_text(json.dumps(job).replace(self._folder, str(folder)))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        trainer = Trainer.start(folder, device=Device("cpu", 0), threads=1)
        chunks: list[bytes] = []
        while chunk := os.read(trainer.events, 1 << 16):
            chunks.append(chunk)
        os.close(trainer.events)
        eventually(lambda: trainer.poll() is not None, what="the trainer's end")
        if trainer.close() != 0:
            raise SystemExit((folder / "trainer.log").read_text())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = [json.loads(line) for line in b"".join(chunks).splitlines()]
        return Reading(
            rate=_rate([line["points"] for line in lines if line["kind"] == "points"]),
            trainer_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            digest=_digest(folder / OUT_DIR / MODEL),
        )

    def _queue(self, epochs: int) -> Cycle:
        lab = self._lab.another_project(f"run {self._runs}")
        data = lab.put(0, Use.TRAINING)
        lab.put(0, Use.PROBE)
        return cycle_start(
            actor=lab.alice, project=lab.project, kind="wake", data=data,
            recipe=digits.wake_recipe(0).to_json() | {"epochs": epochs},
            init={"family": digits.FAMILY, "config": self._config, "seed": digits.SEED},
        )  # fmt: skip


def compare(server: Server, name: str, width: int, *, pairs: int, seconds: int) -> dict[str, Any]:
    """Pairs of runs of about `seconds` each, in alternating order."""
    with server.fresh() as url:
        bench = Bench(server, url, width)
        steps_an_epoch = -(-digits.TRAIN // digits.wake_recipe(0).batch)
        epochs = round(bench.supervised(CALIBRATING).rate * seconds / steps_an_epoch)
        epochs = max(LEAST_EPOCHS, epochs)
        alone: list[Reading] = []
        supervised: list[Reading] = []
        for pair in range(pairs):
            first = (alone, bench.alone), (supervised, bench.supervised)
            for readings, run in first if pair % 2 == 0 else reversed(first):
                readings.append(run(epochs))
            print(f"  pair {pair + 1}: {alone[-1].rate:.1f} alone, {supervised[-1].rate:.1f} supervised")
    ratio, low, high = mean_ratio([b.rate / a.rate for a, b in zip(alone, supervised, strict=True)])
    others = [each.others_seconds for each in supervised if each.others_seconds is not None]
    share = sum(others) / sum(each.trainer_seconds for each in supervised) if others else None
    results = {each.digest for each in (*alone, *supervised)}
    rate = sum(each.rate for each in alone) / pairs
    return {
        f"{name}: hidden layers, steps": f"{width}, {epochs * steps_an_epoch}",
        f"{name}: a step alone, ms": round(1000 / rate, 3),
        f"{name}: steps a second alone": round(rate, 1),
        f"{name}: steps a second supervised": round(sum(each.rate for each in supervised) / pairs, 1),
        f"{name}: what it costs, %": round((1 - ratio) * 100, 2),
        f"{name}: 95 % of that": f"{(1 - high) * 100:.2f} to {(1 - low) * 100:.2f}",
        f"{name}: supervisor + database s a trainer s": None if share is None else round(share, 3),
        f"{name}: trainer s supervised / alone": round(
            sum(each.trainer_seconds for each in supervised) / sum(each.trainer_seconds for each in alone), 3
        ),
        f"{name}: runs that ended with other bits": len(results) - 1,
    }


def _rate(told: list[dict[str, Any]]) -> float:
    """Steps a second by the engine's clock, without the first tenth."""
    times = [t for points in told for t in points["t"]]
    first = int(len(times) * _LEFT_OUT)
    return (len(times) - 1 - first) / float(times[-1] - times[first])


def _digest(path: Path) -> str:
    """Of the weights; two files of the same ones may differ in the order of their metadata."""
    return tensors_digest(load_model(path).state_dict())
