"""Five domains of questions about texts in turn (SubjQA's reviews, XQuAD's articles); answers are spans.

MiniLM with a new head for the start and the end of an answer, one for all domains, which are not told.
Question and text are cut to 128 tokens; only records whose answer lies within them are taken. The score is F1
over tokens with the one answer that is given, see `objectives.extractive_qa`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from consolidation.baselines.setting import Hyper, TaskData
from consolidation.benchmarks.benchmark import Benchmark, Options, task_count
from consolidation.benchmarks.minilm import MiniLm, minilm_in
from consolidation.benchmarks.text_data import filled, read_rows
from consolidation.errors import NocturneInputError
from consolidation.memory.store import Transform
from consolidation.objectives.extractive_qa import SHIFT, ExtractiveQa

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

DOMAINS = ("wikipedia", "electronics", "restaurants", "grocery", "tripadvisor")
LENGTH, EXAMPLES, PROBES, EPOCHS, LR, LAYERS = 128, 160, 80, 3, 3e-4, 2
NIGHT: dict[str, Any] = {
    "optimizer": "adamw", "clip": 1.0, "lr_share": 1.0, "batch": 16, "fresh": 64,
    "merge": 0.0, "prune": 0.0, "strengthen_top": 0.0, "fisher_samples": 16, "temperature": 1.0,
}  # fmt: skip


def hyper(method: str, records: int) -> Hyper:
    """DER++ with equal weights for what was stored and for labels."""
    return Hyper(lr=LR, alpha=0.5, beta=0.5, weight=1.0)


def placed(minilm: MiniLm, row: dict[str, Any]) -> tuple[list[int], int] | None:
    """Ids of question and text, and start * SHIFT + end of the answer; None when it lies beyond LENGTH."""
    answer = row["answers"]
    begin = int(answer["answer_start"][0])
    last = begin + len(str(answer["text"][0])) - 1
    minilm.tokenizer.enable_truncation(LENGTH, strategy="only_second")
    found = minilm.tokenizer.encode(str(row["question"]), str(row["context"]))
    start, end = (found.char_to_token(place, 1) for place in (begin, last))
    if start is None or end is None or end < start:
        return None
    ids = [token + kind * minilm.vocabulary for token, kind in zip(found.ids, found.type_ids, strict=True)]
    return ids, start * SHIFT + end


def load(minilm: MiniLm, folder: Path | None, domain: str, part: str, count: int, seed: int) -> Any:
    """x int32 [n, LENGTH] and y int64 [n] of at most `count` records.

    Raises:
        NocturneInputError: `benchmark.data`.
    """
    path = f"qa/{domain}/{part}.jsonl.gz"
    rows = read_rows(folder, "The questions of qa5", path, ("question", "context", "answers"))
    order = np.random.default_rng((seed, 53, DOMAINS.index(domain), len(part))).permutation(len(rows))
    chosen: list[tuple[list[int], int]] = []
    try:
        for place in order:
            if len(chosen) < count and (one := placed(minilm, rows[place])) is not None:
                chosen.append(one)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise NocturneInputError(
            "benchmark.data",
            f"A row of {path} has no answer with its text and answer_start. Put it there again.",
        ) from error
    if not chosen:
        raise NocturneInputError(
            "benchmark.data",
            f"No answer of {path} lies within the first {LENGTH} tokens. Give other records.",
        )
    return filled([ids for ids, _ in chosen], LENGTH), torch.tensor([y for _, y in chosen], dtype=torch.long)


def make(options: Options, seed: int) -> Benchmark:
    """The records to learn are drawn by the seed, those to score on are the same for every seed."""
    tasks = task_count(options.tasks, len(DOMAINS), len(DOMAINS))
    minilm = minilm_in(options.data)
    count = options.examples or EXAMPLES
    domains = DOMAINS[:tasks]
    train = [load(minilm, options.data, domain, "train", count, seed) for domain in domains]
    test = [load(minilm, options.data, domain, "test", PROBES, 0) for domain in domains]

    def train_of(index: int) -> TaskData:
        x, y = train[index]
        return TaskData(name=domains[index], x=x, y=y, classes=(0,))

    def test_of(index: int) -> tuple[Tensor, Tensor]:
        x, y = test[index]
        return x.float(), y

    objective = ExtractiveQa()
    learning = LAYERS if options.layers is None else options.layers
    return Benchmark(
        name="qa5", scenario="domain-incremental", tasks=tasks, train=train_of, test=test_of,
        build=minilm.builder("question-answering", 2, learning), outputs=2**32,
        epochs=options.epochs or EPOCHS, batch=16, replay_batch=16, transform=Transform(), hyper=hyper,
        model=f"MiniLM-L6, of which the last {learning} layers learn",
        data=f"SubjQA and XQuAD, {count} questions a domain", optimizer="adamw", clip=1.0,
        answers=2 * 2 * objective.kept, objective=objective, at_once=40, night=NIGHT,
    )  # fmt: skip
