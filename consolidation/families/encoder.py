"""The `encoder` family in torch: BERT with a head for sequence classification, as transformers builds it.

Records are token ids [n, length], filled up with 0; a token is attended to when its id is not 0, and all are
of the first segment. Dropout is off, awake too: the config's own rates are not among the fields that we take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from consolidation.families.described import PADDING
from consolidation.families.encoder_spec import PREFIX
from consolidation.families.registry import ensure_computable
from consolidation.families.tokens import token_ids
from consolidation.families.transformers_library import library

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FIELDS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "num_labels",
)  # fmt: skip
_OLD = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}


class BertClassifier(nn.Module):
    """x [n, length] of token ids gives logits [n, classes]; parameters have the names that transformers has.

    The parts are those of its BertForSequenceClassification, so hooks meet one module a layer.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.nocturne_family = "encoder"
        self.nocturne_config = dict(config)
        self.nocturne_dtypes: dict[str, torch.dtype] = {}
        told = library("models.bert.configuration_bert").BertConfig(
            **{name: config[name] for name in _FIELDS},
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=PADDING,
            attn_implementation="sdpa",
        )  # fmt: skip
        net = library("models.bert.modeling_bert").BertForSequenceClassification(told)
        self.bert: nn.Module = net.bert
        self.classifier: nn.Module = net.classifier
        self.nocturne_names = dict(_other_names(self, config))

    def forward(self, x: Tensor) -> Tensor:
        ids = token_ids(x)
        # a row of places for each record, where the library would share one: squares are told by record
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        told = self.bert(
            input_ids=ids, attention_mask=(ids != PADDING).long(), token_type_ids=torch.zeros_like(ids),
            position_ids=places,
        )  # fmt: skip
        return cast("Tensor", self.classifier(told.pooler_output))


def _other_names(model: nn.Module, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(parameter, tensor of the file) of those that the file calls otherwise."""
    for name in model.state_dict():
        told = config["prefix"] + name.removeprefix(PREFIX) if name.startswith(PREFIX) else name
        if config["norms"] == "gamma":
            for new, old in _OLD.items():
                told = told.removesuffix(new) + old if told.endswith(new) else told
        if told != name:
            yield name, told


class EncoderAdapter:
    """See `adapter.Adapter`."""

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> BertClassifier:
        """Weights as transformers begins; never fetched.

        Raises:
            NocturneInputError: `family.extra`; `checkpoint.family_not_yet` for another head.
        """
        ensure_computable("encoder", config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return BertClassifier(config)

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        """What each layer ends with, [n, length, width]."""
        return [layer.output for layer in _layers(model)]

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        """The Linear weights of the layers; no embeddings, norms, pooler or head."""
        wanted = {
            id(m.weight) for layer in _layers(model) for m in layer.modules() if isinstance(m, nn.Linear)
        }
        return {name: weight for name, weight in model.named_parameters() if id(weight) in wanted}


def _layers(model: nn.Module) -> list[Any]:
    return list(cast("Any", model).bert.encoder.layer)
