"""A tiny BERT and tasks of token ids for it: what a text is about is told by one of its words."""

from __future__ import annotations

import json
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


WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "morning", "night", "##s", "very")


def tokenizer_json(words: tuple[str, ...] = WORDS) -> bytes:
    """A tokenizer of whole words and endings, as BERT's are, for a vocabulary of these words."""
    specials = [
        {
            "id": words.index(word),
            "content": word,
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        for word in words
        if word[0] == "["
    ]
    part = {
        name: {"id": f"[{name}]", "ids": [words.index(f"[{name}]")], "tokens": [f"[{name}]"]}
        for name in ("CLS", "SEP")
    }
    single = [
        {"SpecialToken": {"id": "CLS", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "SEP", "type_id": 0}},
    ]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "SEP", "type_id": 1}}]
    return json.dumps({
        "version": "1.0", "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": None, "added_tokens": specials,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": single + second,
                           "special_tokens": {f"{name}": value for name, value in part.items()}},
        "decoder": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {word: at for at, word in enumerate(words)}},
    }).encode()  # fmt: skip
