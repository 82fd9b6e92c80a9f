"""A small GPT-2 (6 layers of 256, 8,192 words) that is trained here, because no such model lies in a package.

Its tokenizer, byte-level BPE, and its weights are learned from the training texts of the first domain alone,
once in a process and with a seed of their own: whatever seed a row has, it begins with the same model.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from consolidation.benchmarks import lm5
from consolidation.benchmarks.text_data import tokenizers
from consolidation.objectives.language import Language
from consolidation.phases.optimizers import clip_gradients, gradient_norm, make_optimizer
from consolidation.weights import new_model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

CONFIG: dict[str, Any] = {
    "model_type": "gpt2", "vocab_size": 8192, "n_positions": lm5.LENGTH, "n_embd": 256, "n_layer": 6,
    "n_head": 8,
}  # fmt: skip
EPOCHS, BATCH, RATE = 1, 8, 2e-3
EXAMPLES, PROBES, LEARNING_EPOCHS, LR = 128, 32, 2, 1e-3


def small_gpt2(folder: Path | None, layers: int | None) -> lm5.Model:
    """Raises NocturneInputError: `benchmark.data`, `family.extra`."""
    tokenizer = _tokenizer(folder)

    def build(seed: int) -> nn.Module:
        model = copy.deepcopy(_trained(folder))
        if layers is not None:
            freeze(model, CONFIG["n_layer"] - layers)
        return model

    about = "GPT-2 6 x 256, 8,192 words, trained on the first domain"
    return lm5.Model(
        about=about if layers is None else f"{about}, of which the last {layers} layers learn",
        tokenizer=tokenizer, build=build, lr=LR, examples=EXAMPLES, probes=PROBES, epochs=LEARNING_EPOCHS,
        batch=BATCH, precision="bf16",
    )  # fmt: skip


def freeze(model: nn.Module, below: int) -> None:
    """The embeddings, which are the output layer too, and the first `below` layers learn no more."""
    for name, weight in model.named_parameters():
        place = name.removeprefix("transformer.h.").split(".")[0]
        if name.split(".")[-2] in ("wte", "wpe") or (place.isdecimal() and int(place) < below):
            weight.requires_grad_(False)


@lru_cache(maxsize=1)
def _tokenizer(folder: Path | None) -> Any:
    text = lm5.texts(folder, lm5.DOMAINS[0], "train")
    made = tokenizers().ByteLevelBPETokenizer()
    made.train_from_iterator(text.splitlines(), vocab_size=CONFIG["vocab_size"], show_progress=False)
    return made


@lru_cache(maxsize=1)
def _trained(folder: Path | None) -> nn.Module:
    """AdamW at 2e-3, falling to 0 in a straight line."""
    x = lm5.blocks(
        _tokenizer(folder), lm5.texts(folder, lm5.DOMAINS[0], "train"), 10**9, np.random.default_rng(0)
    ).float()
    model, objective = new_model("causal_lm", CONFIG, 0), Language()
    weights = dict(model.named_parameters())
    optimizer: Any = make_optimizer(weights, "adamw", RATE, 0.0)
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(x), generator=generator) for _ in range(EPOCHS)]
    steps = [rows for order in orders for rows in torch.split(order, BATCH)]
    model.train()
    for number, rows in enumerate(steps):
        part = x[rows]
        loss = objective.loss(model(part), objective.targets(part, torch.zeros(len(part)))).mean()
        for weight, gradient in zip(
            weights.values(), torch.autograd.grad(loss, list(weights.values())), strict=True
        ):
            weight.grad = gradient
        clip_gradients(weights, float(gradient_norm(weights)), 1.0)
        optimizer.lr = RATE * (1 - number / len(steps))
        optimizer.step()
    for weight in weights.values():
        weight.grad = None
    return model.eval()
