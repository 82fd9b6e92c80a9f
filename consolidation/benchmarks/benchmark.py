"""What a benchmark is: tasks in turn, test sets, a model, and the figures its protocol fixes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from consolidation.errors import NocturneInputError, shorten

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from consolidation.baselines.setting import Hyper, TaskData
    from consolidation.memory.store import Transform
    from consolidation.objectives.objective import Objective

PROTOCOLS = {
    "permuted-mnist": "consolidation.benchmarks.permuted_mnist:make",
    "permuted-digits": "consolidation.benchmarks.permuted_digits:make",
    "split-cifar": "consolidation.benchmarks.split_cifar:make",
    "glue5": "consolidation.benchmarks.glue5:make",
    "lm5": "consolidation.benchmarks.lm5:make",
    "qa5": "consolidation.benchmarks.qa5:make",
}


class TestSet(Protocol):
    """x float32 [n, width] and y int64 [n] of task `index`."""

    def __call__(self, index: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line may change of a protocol."""

    data: Path | None = None
    download: bool = False
    tasks: int | None = None
    model: str | None = None
    epochs: int | None = None
    examples: int | None = None
    layers: int | None = None
    precision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A protocol, its data loaded.

    Attributes:
        scenario: "domain-incremental", "class-incremental" or "task-incremental", where a task has a head of
            its own and is known when it is scored. model, data: what they are, for people.
        train: task index -> TaskData. test: task index -> inputs and labels.
        optimizer, clip, precision, answers: see `Setting`.
        objective: what scores are told by; None: whether the likeliest class is the right one.
        at_once: test records that go through a model together; None: as many as the method likes.
        night: what the protocol's night has otherwise than the preset.
    """

    name: str
    scenario: str
    tasks: int
    train: Callable[[int], TaskData]
    test: TestSet
    build: Callable[[int], nn.Module]
    outputs: int
    epochs: int
    batch: int
    replay_batch: int
    transform: Transform
    hyper: Callable[[str, int], Hyper]
    model: str
    data: str
    optimizer: str = "sgd"
    clip: float = 0.0
    precision: str = "fp32"
    answers: int | None = None
    objective: Objective | None = None
    at_once: int | None = None
    night: Mapping[str, Any] = field(default_factory=dict)

    @property
    def class_incremental(self) -> bool:
        return self.scenario == "class-incremental"


def open_benchmark(name: str, options: Options, seed: int) -> Benchmark:
    """The benchmark with its tasks as `seed` draws them.

    Raises:
        NocturneInputError: `benchmark.name`, `benchmark.data`, `benchmark.tasks`.
    """
    if name not in PROTOCOLS:
        raise NocturneInputError(
            "benchmark.name", f"No benchmark is called {shorten(name)!r}; there are {', '.join(PROTOCOLS)}."
        )
    module, maker = PROTOCOLS[name].split(":")
    made: Benchmark = getattr(import_module(module), maker)(options, seed)
    if options.precision is None:
        return made
    night = {**made.night, "precision": options.precision}
    return replace(made, precision=options.precision, night=night)


def task_count(asked: int | None, default: int, most: int) -> int:
    """Raises NocturneInputError (`benchmark.tasks`)."""
    count = default if asked is None else asked
    if not 2 <= count <= most:
        raise NocturneInputError(
            "benchmark.tasks", f"The number of tasks is {count}; this benchmark takes 2 to {most}."
        )
    return count
