"""Logs points to a rival through its own Python interface; runs under the rivals' Python, not under ours.

    python rival_writer.py mlflow http://127.0.0.1:5000
    python rival_writer.py tensorboard some/folder

Says first where the points go. Then each line on stdin is a number of points to log next, and the answer
is the last step with the moment at which the call for it began (ms since 1970). One point goes in by the
call for one and is flushed; many go in by whatever the product has for many. Steps count from 1.
"""

from __future__ import annotations

import json
import math
import sys
import time
from importlib import import_module
from typing import Any

A_BATCH = 1000  # the most that MLflow takes at once


def value(step: int) -> float:
    return 1 + math.sin(step / 700) + (step % 97) / 300


class MLflow:
    """A run of an experiment of its own."""

    def __init__(self, address: str) -> None:
        mlflow = import_module("mlflow")
        self._metric = import_module("mlflow.entities").Metric
        self._client = mlflow.MlflowClient(address)
        experiment = self._client.create_experiment(f"bench {time.time_ns()}")
        self._run = self._client.create_run(experiment).info.run_id
        self.where = {"experiment": experiment, "run": self._run}

    def one(self, step: int) -> None:
        self._client.log_metric(self._run, "loss", value(step), step=step)

    def many(self, steps: range) -> None:
        now = int(time.time() * 1000)
        for start in range(0, len(steps), A_BATCH):
            batch = [self._metric("loss", value(step), now + step, step) for step in steps[start:][:A_BATCH]]
            self._client.log_batch(self._run, metrics=batch)


class TensorBoard:
    """TensorBoard's own writer of event files: what PyTorch's SummaryWriter hands its scalars to.

    tensorboardX is no substitute here: its flush does not wait for the point that was just added.
    """

    def __init__(self, folder: str) -> None:
        writer = import_module("tensorboard.summary.writer.event_file_writer")
        self._event = import_module("tensorboard.compat.proto.event_pb2").Event
        self._summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        self._file = writer.EventFileWriter(folder)
        self.where = {"folder": folder}

    def _add(self, step: int) -> None:
        value_of = self._summary.Value(tag="loss", simple_value=value(step))
        summary = self._summary(value=[value_of])
        self._file.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def one(self, step: int) -> None:
        self._add(step)
        self._file.flush()

    def many(self, steps: range) -> None:
        for step in steps:
            self._add(step)
        self._file.flush()


def say(something: Any) -> None:
    print(json.dumps(something), flush=True)


def main() -> None:
    product, place = sys.argv[1:]
    to = MLflow(place) if product == "mlflow" else TensorBoard(place)
    say(to.where)
    step = 0
    for line in sys.stdin:
        count = int(line)
        began = time.time() * 1000
        if count == 1:
            to.one(step + 1)
        else:
            to.many(range(step + 1, step + 1 + count))
        step += count
        say([step, began])


if __name__ == "__main__":
    main()
