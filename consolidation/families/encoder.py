"""The `encoder` family in torch: BERT that sorts texts or finds answers in them, as transformers builds it.

Records are token ids [n, length], filled up with 0; a token is attended to when its id is not 0. A token of
the second segment (of a pair, or the text that a question is about) is its id + vocab_size. Dropout is off,
awake too: the config's own rates are not among the fields that we take.
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
from consolidation.objectives.objective import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FIELDS = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "num_labels",
)  # fmt: skip
_OLD = {".LayerNorm.weight": ".LayerNorm.gamma", ".LayerNorm.bias": ".LayerNorm.beta"}


class Bert(nn.Module):
    """x [n, width] of token ids; the head's answers. Parameters have the names that transformers has.

    The parts are those of its models, so hooks meet one module a layer.
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
        self._add_parts(library("models.bert.modeling_bert"), told)
        self.nocturne_names = dict(_other_names(self, config))

    def _add_parts(self, modeling: Any, told: Any) -> None:
        net = modeling.BertForSequenceClassification(told)
        self.bert: nn.Module = net.bert
        self.classifier: nn.Module = net.classifier

    def read(self, x: Tensor) -> tuple[Any, Tensor, Tensor]:
        """What the encoder tells; bool [n, length], which tokens are real; and which of the second segment."""
        ids, words = token_ids(x), self.nocturne_config["vocab_size"]
        second = ids >= words
        # a row of places for each record, where the library would share one: squares are told by record
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        told = self.bert(
            input_ids=torch.where(second, ids - words, ids), attention_mask=(ids != PADDING).long(),
            token_type_ids=second.long(), position_ids=places,
        )  # fmt: skip
        return told, ids != PADDING, second

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes]."""
        told, _, _ = self.read(x)
        return cast("Tensor", self.classifier(told.pooler_output))


class BertReader(Bert):
    """Where in the second segment the answer to the first begins and ends."""

    def _add_parts(self, modeling: Any, told: Any) -> None:
        pooler = bool(self.nocturne_config["pooler"])
        self.bert: nn.Module = modeling.BertModel(told, add_pooling_layer=pooler)
        self.qa_outputs = nn.Linear(told.hidden_size, 2)
        nn.init.normal_(self.qa_outputs.weight, std=told.initializer_range)
        nn.init.zeros_(self.qa_outputs.bias)
        for name, weight in self.bert.named_parameters():
            # old files have a pooler that nothing asks; it goes home as it came
            weight.requires_grad_(not name.startswith("pooler."))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, 2, length]; those of the question and of what fills up are OUTSIDE. A record of one
        segment is a text altogether."""
        told, real, second = self.read(x)
        text = torch.where(second.any(1, keepdim=True), second, real)
        logits = cast("Tensor", self.qa_outputs(told.last_hidden_state)).transpose(1, 2)
        return logits.masked_fill(~text[:, None], OUTSIDE)


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
    def build(config: Mapping[str, Any], seed: int) -> Bert:
        """Weights as transformers begins; never fetched.

        Raises:
            NocturneInputError: `family.extra`; `checkpoint.family_not_yet` for another head.
        """
        ensure_computable("encoder", config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return BertReader(config) if config["head"] == "question-answering" else Bert(config)

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
