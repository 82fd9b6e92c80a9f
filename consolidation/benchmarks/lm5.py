"""Five text domains in turn: newspapers, fiction, Perl's manual, a handbook in German and in French.

Blocks of 128 tokens; the score of a domain is 1 / perplexity on blocks of its test texts, and what is
forgotten is told on the logs of perplexities. The domain is not told, and there is one output layer. Two
models: `gpt2-small`, trained here, on the texts of the first domain, and `smollm2`, which others trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from consolidation.baselines.setting import Hyper, TaskData
from consolidation.benchmarks.benchmark import Benchmark, Options, task_count
from consolidation.benchmarks.text_data import read_text
from consolidation.errors import NocturneInputError, shorten
from consolidation.memory.store import Transform
from consolidation.objectives.language import Language

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

DOMAINS = ("press", "fiction", "perl", "handbook_de", "handbook_fr")
LENGTH = 128
MODELS = ("gpt2-small", "smollm2")
NIGHT: dict[str, Any] = {
    "optimizer": "adamw", "clip": 1.0, "fresh": 32, "duration": 0.3,
    "merge": 0.0, "prune": 0.0, "strengthen_top": 0.0, "fisher_samples": 8, "temperature": 1.0,
}  # fmt: skip


class Model(NamedTuple):
    """A model to begin with, its tokenizer, and how much of the texts it is given.

    Attributes:
        build: seed -> the model; it begins the same for every seed, as trained models do.
        examples, probes: blocks of a domain to learn and to score on.
        batch: blocks a step, and as many memories beside them.
        precision: of all passes, the night's and its rivals'.
    """

    about: str
    tokenizer: Any
    build: Callable[[int], nn.Module]
    lr: float
    examples: int
    probes: int
    epochs: int
    batch: int
    precision: str


def open_model(options: Options) -> Model:
    """Raises NocturneInputError: `benchmark.model`, `benchmark.data`, `family.extra`."""
    name = options.model or MODELS[0]
    if name == "gpt2-small":
        from consolidation.benchmarks.small_gpt2 import small_gpt2

        return small_gpt2(options.data, options.layers)
    if name == "smollm2":
        from consolidation.benchmarks.smollm2 import smollm2

        return smollm2(options.data, options.layers)
    raise NocturneInputError(
        "benchmark.model", f"The model is {shorten(name)!r}; lm5 takes one of {', '.join(MODELS)}."
    )


def texts(folder: Path | None, domain: str, part: str) -> str:
    return read_text(folder, "The texts of lm5", f"lm/{domain}.{part}.txt.gz")


def blocks(tokenizer: Any, text: str, count: int, rng: np.random.Generator) -> Tensor:
    """int32 [n, LENGTH] of ids + 1: at most `count` blocks of the text, in the order of the draw.

    Raises:
        NocturneInputError: `benchmark.data` for a text of less than one block.
    """
    ids: list[int] = []
    for line in text.splitlines():
        ids += tokenizer.encode(line, add_special_tokens=False).ids
    whole = len(ids) // LENGTH
    if whole < 1:
        raise NocturneInputError(
            "benchmark.data",
            f"A text of lm5 has {len(ids)} tokens, and a block takes {LENGTH}. Give more text.",
        )
    found = torch.tensor(ids[: whole * LENGTH], dtype=torch.int32).reshape(whole, LENGTH) + 1
    return found[torch.from_numpy(rng.permutation(whole)[:count])]


def make(options: Options, seed: int) -> Benchmark:
    """The blocks to learn are drawn by the seed, those to score on are the same for every seed."""
    tasks = task_count(options.tasks, len(DOMAINS), len(DOMAINS))
    model = open_model(options)
    count = options.examples or model.examples

    def drawn(index: int, part: str, most: int, number: int) -> Tensor:
        rng = np.random.default_rng((number, 41, index, len(part)))
        return blocks(model.tokenizer, texts(options.data, DOMAINS[index], part), most, rng)

    train = [drawn(index, "train", count, seed) for index in range(tasks)]
    test = [drawn(index, "test", model.probes, 0) for index in range(tasks)]

    def train_of(index: int) -> TaskData:
        x = train[index]
        return TaskData(name=DOMAINS[index], x=x, y=torch.zeros(len(x), dtype=torch.long), classes=(0,))

    def test_of(index: int) -> tuple[Tensor, Tensor]:
        x = test[index].float()
        return x, torch.zeros(len(x), dtype=torch.long)

    def hyper(method: str, records: int) -> Hyper:
        return Hyper(lr=model.lr, alpha=0.5, beta=0.5, weight=1.0)

    objective = Language()
    return Benchmark(
        name="lm5", scenario="domain-incremental", tasks=tasks, train=train_of, test=test_of,
        build=model.build, outputs=2**16, epochs=options.epochs or model.epochs, batch=model.batch,
        replay_batch=model.batch,
        transform=Transform(), hyper=hyper, model=model.about, optimizer="adamw", clip=1.0,
        precision=model.precision, data=f"five text domains, {count} blocks of {LENGTH} tokens each",
        answers=2 * LENGTH * objective.kept, objective=objective, at_once=8,
        night=NIGHT | {"batch": model.batch, "precision": model.precision},
    )  # fmt: skip
