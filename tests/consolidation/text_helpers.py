"""A tiny BERT and tasks of token ids for it: what a text is about is told by one of its words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from consolidation.memory.store import Records
from consolidation.weights import new_model

BERT: dict[str, Any] = {
    "model_type": "bert", "vocab_size": 40, "hidden_size": 8, "intermediate_size": 12,
    "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16, "num_labels": 3,
    "head": "sequence-classification",
}  # fmt: skip
CLASSES = 3


def text_records(index: int, count: int, seed: int, *, width: int = 12, logits: bool = False) -> Records:
    """`count` texts of 4 to `width` tokens of task `index`; word 3 index + 1 + label is somewhere in each."""
    rng = np.random.default_rng((seed, index))
    y = rng.integers(0, CLASSES, count)
    x = np.zeros((count, width), np.uint8)
    for row, label in enumerate(y):
        length = int(rng.integers(4, width + 1))
        x[row, :length] = rng.integers(20, 40, length)
        x[row, rng.integers(0, length)] = 3 * index + 1 + label
    z = rng.normal(0, 2, (count, CLASSES)).astype(np.float16) if logits else None
    return Records(task=f"words {index}", x=x, y=y, z=z, classes=CLASSES)


def tiny_bert(seed: int = 1, **changes: Any) -> nn.Module:
    """With weights that are not as small as a fresh BERT's, so that its answers differ from text to text."""
    model = new_model("encoder", BERT | changes, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return model
