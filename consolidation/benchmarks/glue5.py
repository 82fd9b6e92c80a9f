"""Five tasks of GLUE in turn (Wang et al. 2019), one body, one head of two columns each, the task told.

SST-2, QNLI, CoLA, MRPC, RTE: 1,600 training examples each, one epoch of AdamW in batches of 32, scored on up
to 600 examples of each task's development set. QNLI is its development set cut in two ("reduced"). Texts are
cut to 64 tokens; passes run in bf16. Which examples are drawn follows the seed, and so does the start of the
heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from consolidation.baselines.setting import Hyper, TaskData
from consolidation.benchmarks.benchmark import Benchmark, Options, task_count
from consolidation.benchmarks.minilm import MiniLm, minilm_in
from consolidation.benchmarks.text_data import filled, read_rows
from consolidation.errors import NocturneInputError
from consolidation.memory.store import Transform
from consolidation.objectives.classification import Classification

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


class Task(NamedTuple):
    """Where it lies, and the fields of its texts; the second is None for single sentences."""

    name: str
    folder: str
    first: str
    second: str | None


TASKS = (
    Task("SST-2", "sst2", "sentence", None),
    Task("QNLI (reduced)", "qnli", "question", "sentence"),
    Task("CoLA", "cola", "sentence", None),
    Task("MRPC", "mrpc", "sentence1", "sentence2"),
    Task("RTE", "rte", "sentence1", "sentence2"),
)
LENGTH, EXAMPLES, PROBES, LABELS = 64, 1600, 600, 2
NIGHT: dict[str, Any] = {
    "optimizer": "adamw", "clip": 1.0, "lr_share": 1.0, "batch": 16, "precision": "bf16", "fresh": 200,
    "duration": 0.3, "average": 0.0, "merge": 0.0, "prune": 0.0, "strengthen_top": 0.0, "fisher_samples": 16,
}  # fmt: skip


def hyper(method: str, records: int) -> Hyper:
    """The rate of the trial; DER++ with the weights that its paper has for CIFAR-10 with 500 memories."""
    return Hyper(lr=1e-4, alpha=0.2, beta=0.5, weight=10.0)


def load(
    minilm: MiniLm, folder: Path | None, task: Task, index: int, part: str, count: int, seed: int
) -> tuple[Tensor, Tensor]:
    """x int32 [n, LENGTH] and y int64 [n] of at most `count` examples; labels are columns of all logits.

    Raises:
        NocturneInputError: `benchmark.data`.
    """
    fields = [name for name in (task.first, task.second, "label") if name is not None]
    rows = read_rows(folder, "GLUE", f"glue/{task.folder}/{part}.jsonl.gz", fields)
    order = np.random.default_rng((seed, 31, index, len(part))).permutation(len(rows))[:count]
    chosen = [rows[place] for place in order]
    if any(row["label"] not in range(LABELS) for row in chosen):
        raise NocturneInputError(
            "benchmark.data", f"glue/{task.folder}/{part}.jsonl.gz has labels other than 0 and 1."
        )
    texts = [
        minilm.encode(str(row[task.first]), None if task.second is None else str(row[task.second]), LENGTH)
        for row in chosen
    ]
    labels = [LABELS * index + int(row["label"]) for row in chosen]
    return filled(texts, LENGTH), torch.tensor(labels, dtype=torch.long)


def make(options: Options, seed: int) -> Benchmark:
    tasks = task_count(options.tasks, len(TASKS), len(TASKS))
    minilm = minilm_in(options.data)
    count = options.examples or EXAMPLES
    # test examples are the same for every seed
    train = [load(minilm, options.data, TASKS[i], i, "train", count, seed) for i in range(tasks)]
    test = [load(minilm, options.data, TASKS[i], i, "dev", PROBES, 0) for i in range(tasks)]
    outputs = LABELS * tasks

    def train_of(index: int) -> TaskData:
        x, y = train[index]
        head = (LABELS * index, LABELS * (index + 1))
        return TaskData(name=TASKS[index].name, x=x, y=y, classes=tuple(range(*head)), head=head)

    def test_of(index: int) -> tuple[Tensor, Tensor]:
        x, y = test[index]
        return x.float(), y

    learning = options.layers
    return Benchmark(
        name="glue5", scenario="task-incremental", tasks=tasks, train=train_of, test=test_of,
        build=minilm.builder("sequence-classification", outputs, learning), outputs=outputs,
        epochs=options.epochs or 1, batch=32, replay_batch=32, transform=Transform(), hyper=hyper,
        model="MiniLM-L6" if learning is None else f"MiniLM-L6, of which the last {learning} layers learn",
        data=f"GLUE, {count} examples a task", optimizer="adamw", clip=1.0,
        precision="bf16", objective=Classification(), at_once=100, night=NIGHT,
    )  # fmt: skip
