"""A folder as the text benchmarks want it, in small: texts of few words, a BERT of two narrow layers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from consolidation.benchmarks import glue5, lm5, qa5
from consolidation.weights import new_model

GOOD, BAD = ["warm", "bright", "kind", "gentle"], ["cold", "dull", "cruel", "harsh"]
PLAIN = ["the", "room", "was", "and", "food", "seemed", "they", "said", "staff"]
WORDS = [*GOOD, *BAD, *PLAIN]
BERT: dict[str, Any] = {
    "model_type": "bert", "vocab_size": 5 + len(WORDS), "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 160,
}  # fmt: skip


def make_folder(folder: Path, train: int = 48, test: int = 16) -> Path:
    """glue/, qa/, lm/ and minilm/ in a folder."""
    rng = np.random.default_rng(3)
    for task in glue5.TASKS:
        for part, count in (("train", train), ("dev", test)):
            write(
                folder / "glue" / task.folder / f"{part}.jsonl.gz", [_judged(task, rng) for _ in range(count)]
            )
    for domain in qa5.DOMAINS:
        for part, count in (("train", train), ("test", test)):
            write(folder / "qa" / domain / f"{part}.jsonl.gz", [_asked(rng) for _ in range(count)])
    for index, domain in enumerate(lm5.DOMAINS):
        own = WORDS[index :: len(lm5.DOMAINS)]
        for part, count in (("train", 400), ("test", 150)):
            lines = [" ".join(rng.choice(own, 12)) for _ in range(count)]
            (folder / "lm").mkdir(exist_ok=True)
            (folder / "lm" / f"{domain}.{part}.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    make_minilm(folder / "minilm")
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))


def _judged(task: glue5.Task, rng: np.random.Generator) -> dict[str, Any]:
    """A text whose words tell its label."""
    label = int(rng.integers(2))
    words = [*rng.choice(PLAIN, 3), *rng.choice((BAD, GOOD)[label], 2)]
    row: dict[str, Any] = {task.first: " ".join(rng.permutation(words)), "label": label}
    return row if task.second is None else row | {task.second: " ".join(rng.choice(PLAIN, 4))}


def _asked(rng: np.random.Generator) -> dict[str, Any]:
    """The answer is the one good word among plain ones."""
    words = list(rng.choice(PLAIN, 8))
    answer = str(rng.choice(GOOD))
    words[int(rng.integers(8))] = answer
    context = " ".join(words)
    found = {"text": [answer], "answer_start": [context.index(answer)]}
    return {"question": "the room was", "context": context, "answers": found}


def make_minilm(folder: Path) -> None:
    folder.mkdir(parents=True)
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(BERT))
    model = new_model("encoder", BERT | {"head": "sequence-classification", "num_labels": 2}, 1)
    body = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("bert.")}
    save_file({name.removeprefix("bert."): tensor.clone() for name, tensor in body.items()},
              folder / "model.safetensors")  # fmt: skip
