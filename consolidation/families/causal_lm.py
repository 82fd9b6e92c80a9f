"""The `causal_lm` family in torch: Llama, Mistral, Qwen2 and GPT-2, as transformers builds them.

Records are token ids + 1 [n, length], filled up with 0 at the end. Nothing looks ahead, so what fills up
changes no token before it, and no mask is needed. Dropout is off, awake too: the config's own rates are not
among the fields that we take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import Tensor, nn

from consolidation.families.causal_lm_spec import inner_prefix, words_name
from consolidation.families.registry import ensure_computable
from consolidation.families.rope import new_spelling
from consolidation.families.tokens import places
from consolidation.families.transformers_library import library

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LLAMA: Final = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps",
    "tie_word_embeddings",
)  # fmt: skip
_GPT2: Final = (
    "vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "activation_function",
    "layer_norm_epsilon", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn",
    "tie_word_embeddings",
)  # fmt: skip
# model_type: the names of its classes, and the fields that they take from a config
_BUILT: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", (*_LLAMA, "attention_bias", "mlp_bias")),
    "mistral": ("MistralConfig", "MistralForCausalLM", (*_LLAMA, "sliding_window")),
    "qwen2": (
        "Qwen2Config",
        "Qwen2ForCausalLM",
        (*_LLAMA, "sliding_window", "use_sliding_window", "max_window_layers", "layer_types"),
    ),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", _GPT2),
}
_ON_THEIR_SIDE: Final = frozenset({"c_attn", "c_proj", "c_fc"})  # GPT-2's layers, stored [inputs, outputs]
_HEAD: Final = "lm_head.weight"


class CausalLm(nn.Module):
    """x [n, width] of token ids + 1 gives logits [n, length, words]; position t tells token t + 1.

    The parts, and the names of their parameters, are those of transformers. A tied output layer is the same
    parameter as the embedding of the words, and `state_dict` holds it once, under the embedding's name.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.nocturne_family = "causal_lm"
        self.nocturne_config = dict(config)
        self.nocturne_dtypes: dict[str, torch.dtype] = {}
        self.prefix = inner_prefix(config["model_type"])
        self.words = self.prefix + words_name(config["model_type"])
        net = _net(config)
        self.add_module(self.prefix[:-1], net.get_submodule(self.prefix[:-1]))
        self.lm_head: nn.Linear = net.lm_head
        if config["tie_word_embeddings"]:
            self.lm_head.weight = self.get_parameter(self.words)
            own = cast("Any", self)
            own.register_state_dict_post_hook(_once)
            own.register_load_state_dict_pre_hook(_twice)
        self.nocturne_names = dict(_other_names(self, config))

    @property
    def inner(self) -> Any:
        """All but the output layer."""
        return self.get_submodule(self.prefix[:-1])

    def forward(self, x: Tensor) -> Tensor:
        ids, _ = places(x)
        # a row of places for each record, where the library would share one: squares are told by record
        order = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        told = self.inner(input_ids=ids, position_ids=order, use_cache=False)
        return cast("Tensor", self.lm_head(told.last_hidden_state))


def _net(config: Mapping[str, Any]) -> Any:
    kind = config["model_type"]
    described, built, fields = _BUILT[kind]
    given = {name: config[name] for name in fields if name in config}
    if kind == "gpt2":
        given |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    else:
        given |= {"rope_parameters": new_spelling(config), "attention_dropout": 0.0}
    told = getattr(library(f"models.{kind}.configuration_{kind}"), described)(
        **given, pad_token_id=None, bos_token_id=None, eos_token_id=None, use_cache=False,
        attn_implementation="sdpa",
    )  # fmt: skip
    return getattr(library(f"models.{kind}.modeling_{kind}"), built)(told)


def _once(_model: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    """Leaves the output layer out, which is the embedding."""
    del state[prefix + _HEAD]


def _twice(model: nn.Module, state: dict[str, Any], prefix: str, *_told: Any) -> None:
    """Hands the embedding to the output layer too."""
    words = prefix + cast("CausalLm", model).words
    if words in state:
        state[prefix + _HEAD] = state[words]


def _other_names(model: nn.Module, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(parameter, tensor of the file) of those that the file calls otherwise."""
    usual = inner_prefix(config["model_type"])
    for name in model.state_dict():
        told = config["prefix"] + name.removeprefix(usual) if name.startswith(usual) else name
        if told != name:
            yield name, told


class CausalLmAdapter:
    """See `adapter.Adapter`."""

    @staticmethod
    def build(config: Mapping[str, Any], seed: int) -> CausalLm:
        """Weights as transformers begins; never fetched.

        Raises:
            NocturneInputError: `family.extra`.
        """
        ensure_computable("causal_lm", config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return CausalLm(config)

    @staticmethod
    def blocks(model: nn.Module) -> list[nn.Module]:
        """The layers, each of which gives [n, length, width]."""
        return _layers(model)

    @staticmethod
    def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
        """The matrices of the layers; no embeddings, norms or head."""
        wanted = {
            id(weight) for layer in _layers(model) for weight in layer.parameters() if weight.dim() == 2
        }
        return {name: weight for name, weight in model.named_parameters() if id(weight) in wanted}

    @staticmethod
    def output_dim(name: str) -> int:
        """GPT-2's layers are stored [inputs, outputs]."""
        return int(name.split(".")[-2] in _ON_THEIR_SIDE)


def _layers(model: nn.Module) -> list[nn.Module]:
    inner = cast("CausalLm", model).inner
    return list(inner.h if cast("CausalLm", model).prefix == "transformer." else inner.layers)
