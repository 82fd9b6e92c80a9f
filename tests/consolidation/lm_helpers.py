"""Tiny language models of every kind, and texts for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from consolidation.weights import new_model

LLAMA: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 23, "hidden_size": 16, "intermediate_size": 20,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 24,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "model_type": "gpt2", "vocab_size": 23, "n_positions": 24, "n_embd": 8, "n_layer": 2, "n_head": 2,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "llama, tied, with offsets": LLAMA | {"tie_word_embeddings": True, "attention_bias": True,
                                          "mlp_bias": True, "head_dim": 6},
    "mistral": LLAMA | {"model_type": "mistral", "sliding_window": 4},
    "qwen2": LLAMA | {"model_type": "qwen2", "tie_word_embeddings": True},
    "gpt2": GPT2,
}  # fmt: skip


def tiny_lm(config: dict[str, Any], seed: int = 1) -> nn.Module:
    """With weights that are not as small as fresh ones, so that its answers differ from text to text."""
    model = new_model("causal_lm", config, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return model


def token_records(count: int, width: int, seed: int = 0, words: int = 23) -> Tensor:
    """float32 [count, width] of ids + 1; each of 3 tokens or more, the rest filled up with 0."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, words + 1, (count, width))
    for row in x[1:]:
        row[rng.integers(3, width + 1) :] = 0
    return torch.from_numpy(x.astype(np.float32))
