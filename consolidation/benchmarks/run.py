"""One row of a table: one method, one seed, all tasks in turn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from consolidation.answers import LEAST_SCORE
from consolidation.baselines.method import Method, heads, make_method
from consolidation.baselines.setting import Setting
from consolidation.benchmarks.benchmark import Benchmark, Options, open_benchmark
from consolidation.metrics import Row, average_accuracy, backward_transfer, forgetting
from consolidation.objectives.objective import narrowed

if TYPE_CHECKING:
    from torch import Tensor

    from consolidation.objectives.objective import Objective

Matrix = list[list[float | None]]
RATIO = 1.15  # what `derpp-thin` may spend when nothing else is said


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSpec:
    """What makes a row: two rows with equal specs are the same row, wherever the data lay."""

    benchmark: str
    method: str
    seed: int
    tasks: int | None = None
    model: str | None = None
    epochs: int | None = None
    examples: int | None = None
    layers: int | None = None
    precision: str | None = None
    buffer: int | None = None
    buffer_bytes: int | None = None
    codec: str = "float32"
    task_ids: bool = False
    ratio: float = RATIO
    recipe: dict[str, Any] = field(default_factory=dict)

    def like(self, method: str, seed: int) -> RowSpec:
        """The same for another method and seed. Only nights have a recipe, only `derpp-thin` a ratio."""
        changes: dict[str, Any] = {"method": method, "seed": seed}
        if not method.startswith("sleep"):
            changes["recipe"] = {}
        if method != "derpp-thin":
            changes["ratio"] = RATIO
        return replace(self, **changes)

    def settings(self) -> dict[str, Any]:
        """All but method and seed, as JSON; what a row's `settings` begin with."""
        plain = asdict(self)
        del plain["method"], plain["seed"]
        return plain


def run_row(
    spec: RowSpec, data: Path | None, download: bool, on_task: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Runs one row on one thread.

    Args:
        on_task: called with (tasks done, tasks in all).

    Returns:
        method, seed, acc, forgetting, bwt (percent points), compute_ratio, bytes, steps, seconds (learning
        only, not scoring), parameters (at first and at last), settings, matrix (fractions of 1, [task
        learned][task scored], null where not scored). Of language: perplexity and rise. Class-incremental:
        acc_task_il, forgetting_task_il and matrix_task_il too. What cannot be told is null, and `reasons`
        says why.

    Raises:
        NocturneInputError: of the benchmark, its data, the method or a recipe.
    """
    torch.set_num_threads(1)
    options = Options(
        data=data, download=download, tasks=spec.tasks, model=spec.model, epochs=spec.epochs,
        examples=spec.examples, layers=spec.layers, precision=spec.precision,
    )  # fmt: skip
    benchmark = open_benchmark(spec.benchmark, options, spec.seed)
    method = make_method(spec.method, _setting(benchmark, spec))
    at_first = method.parameter_count()
    whole: Matrix = []
    masked: Matrix = []
    seconds, examples = 0.0, 0
    for task in range(benchmark.tasks):
        training = benchmark.train(task)
        examples += len(training) * benchmark.epochs
        began = time.perf_counter()
        method.learn(task, training)
        seconds += time.perf_counter() - began
        scores = [_scores(benchmark, method, old) if old <= task and method.scored else (None, None)
                  for old in range(benchmark.tasks)]  # fmt: skip
        whole.append([score for score, _ in scores])
        masked.append([score for _, score in scores])
        if on_task:
            on_task(task + 1, benchmark.tasks)
    row: dict[str, Any] = {"method": spec.method, "seed": spec.seed}
    row |= _figures(benchmark, whole, "")
    row |= {
        "compute_ratio": round(method.cost.compute / examples, 4), "bytes": method.stored_bytes(),
        "steps": method.cost.steps, "seconds": round(seconds, 2), "matrix": whole,
        "parameters": [at_first, method.parameter_count()],
    }  # fmt: skip
    if benchmark.class_incremental:
        row |= {k: v for k, v in _figures(benchmark, masked, "_task_il").items() if k != "reasons"}
        row["matrix_task_il"] = masked
    if benchmark.objective is not None and benchmark.objective.name == "language":
        row |= _words(benchmark, whole)
    about: dict[str, Any] = {
        "scenario": benchmark.scenario,
        "tasks": benchmark.tasks,
        "model": benchmark.model,
        "data": benchmark.data,
        "epochs": benchmark.epochs,
        "precision": benchmark.precision,
    }
    if benchmark.night and method.name.startswith("sleep"):
        about["night"] = dict(benchmark.night)
    row["settings"] = spec.settings() | {"protocol": about, "torch": torch.__version__}
    return row


def _setting(benchmark: Benchmark, spec: RowSpec) -> Setting:
    first = benchmark.train(0)
    generator = torch.Generator().manual_seed(spec.seed)
    rows = torch.randperm(len(first), generator=generator)[:1000]
    return Setting(
        build=benchmark.build, outputs=benchmark.outputs, tasks=benchmark.tasks, epochs=benchmark.epochs,
        batch=benchmark.batch, replay_batch=benchmark.replay_batch, transform=benchmark.transform,
        hyper=benchmark.hyper, sample=first.raw(rows), buffer=spec.buffer, buffer_bytes=spec.buffer_bytes,
        codec=spec.codec, task_ids=spec.task_ids or benchmark.class_incremental, seed=spec.seed,
        ratio=spec.ratio, recipe=dict(benchmark.night) | spec.recipe, optimizer=benchmark.optimizer,
        clip=benchmark.clip, precision=benchmark.precision, answers=benchmark.answers,
    )  # fmt: skip


def _scores(benchmark: Benchmark, method: Method, task: int) -> tuple[float | None, float | None]:
    """Accuracy on one task among all classes, and among the task's own where those are fewer.

    A method that is told the task has no score among all classes.
    """
    if benchmark.objective is not None:
        return _score(benchmark, benchmark.objective, method, task), None
    x, y = benchmark.test(task)
    logits = method.logits(x, task)
    whole = None if benchmark.class_incremental and method.needs_task_ids else _accuracy(logits, y)
    if not benchmark.class_incremental:
        return whole, None
    inside = torch.full_like(logits, float("-inf"))
    classes = torch.tensor(benchmark.train(task).classes)
    inside[:, classes] = logits[:, classes]
    return whole, _accuracy(inside, y)


def _score(benchmark: Benchmark, objective: Objective, method: Method, task: int) -> float:
    """The mean score of a task's records among the columns of its own head; of language, the geometric mean,
    which is 1 / perplexity."""
    x, y = benchmark.test(task)
    head = heads(benchmark.train(task), len(y))
    found = []
    step = benchmark.at_once or len(y)
    for part in (slice(place, place + step) for place in range(0, len(y), step)):
        out = narrowed(method.logits(x[part], task), None if head is None else head[part])
        found.append(objective.scores(out, objective.targets(x[part], y[part])).double())
    scores = torch.cat(found)
    if objective.name == "language":
        return float(scores.clamp_min(LEAST_SCORE).log().mean().exp())
    return float(scores.mean())


def _accuracy(logits: Tensor, y: Tensor) -> float:
    return float((logits.argmax(1) == y).double().mean())


def _words(benchmark: Benchmark, matrix: Matrix) -> dict[str, Any]:
    """Of language: `perplexity` after the last task, the geometric mean over tasks, its log, and `rise`,
    the mean over the old tasks of how far the log of the perplexity ends above its lowest; logs times 100."""
    logs: Matrix = [[None if score is None else math.log(score) for score in scores] for scores in matrix]
    found = _figures(benchmark, logs, "")
    last = [log for log in logs[-1] if log is not None]
    if found["acc"] is None or not last:
        return {"perplexity": None, "log_perplexity": None, "rise": None}
    mean = -sum(last) / len(last)
    return {
        "perplexity": round(math.exp(mean), 3), "log_perplexity": round(100 * mean, 3),
        "rise": found["forgetting"],
    }  # fmt: skip


def _figures(benchmark: Benchmark, matrix: Matrix, suffix: str) -> dict[str, Any]:
    tasks = [str(index) for index in range(benchmark.tasks)]
    rows = [
        Row(f"task {index}", "wake", dict(zip(tasks, scores, strict=True)), tasks[index])
        for index, scores in enumerate(matrix)
    ]
    found = {
        "acc": average_accuracy(rows, tasks), "forgetting": forgetting(rows, tasks),
        "bwt": backward_transfer(rows, tasks),
    }  # fmt: skip
    figures: dict[str, Any] = {
        f"{name}{suffix}": None if metric.value is None else round(100 * metric.value, 3)
        for name, metric in found.items()
    }
    reasons = {name: metric.reason for name, metric in found.items() if metric.reason is not None}
    return figures | ({"reasons": reasons} if reasons else {})
