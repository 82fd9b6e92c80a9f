"""From the names and key-values of llama.cpp to those of Hugging Face, one table an architecture.

A GGUF file keeps a model's tensors under llama.cpp's names. What its converter did to them is undone here:
the names, GPT-2's transposed matrices, the order of LLaMA's query and key rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from consolidation.formats.gguf_fields import Fields
    from consolidation.formats.gguf_header import GGUFTensor

_BLOCK: Final = re.compile(r"blk\.(0|[1-9][0-9]{0,5})\.([a-z_]+)\.(weight|bias)")
_OUTSIDE: Final = re.compile(r"([a-z_]+)\.(weight|bias)")


@dataclass(frozen=True)
class Architecture:
    """What an architecture's tensors are called here and there, and which change each needs.

    Attributes:
        title: its name for people.
        outside: Hugging Face's name by llama.cpp's, without .weight and .bias.
        block: the same inside of a block, below `prefix` and the block's number.
        prefix: what stands before a block's number.
        config: config.json from the key-values and the tensors.
        transposed: parts of a block whose weights lie on their side.
        heads: parts of a block whose rows are in pairs, with the key that counts their heads.
        left_out: parts that hold nothing that the model does not compute itself.
    """

    title: str
    outside: Mapping[str, str]
    block: Mapping[str, str]
    prefix: str
    config: Callable[[Fields, Mapping[str, GGUFTensor]], dict[str, Any]]
    transposed: frozenset[str] = frozenset()
    heads: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    def rename(self, name: str) -> tuple[str, str] | None:
        """Hugging Face's name of a tensor, and its part's name here; None for what is left out.

        Raises:
            NocturneInputError: `gguf.architecture`, for a tensor that such models do not have.
        """
        if inside := _BLOCK.fullmatch(name):
            number, part, kind = inside.groups()
            if part in self.block:
                return f"{self.prefix}{number}.{self.block[part]}.{kind}", part
        elif (outside := _OUTSIDE.fullmatch(name)) and outside[1] in self.outside:
            return f"{self.outside[outside[1]]}.{outside[2]}", outside[1]
        if name in self.left_out or (inside and inside[2] in self.left_out):
            return None
        raise refuse(
            "gguf.architecture",
            f"The file has the tensor {shorten(name)}, which no {self.title} that Nocturne knows has. "
            "Nothing was left out silently: save the model from transformers as a Hugging Face folder.",
            tensor=shorten(name),
        )


def architecture(name: object) -> Architecture:
    """The table of an architecture. Raises NocturneInputError (`gguf.architecture`)."""
    if isinstance(name, str) and name in ARCHITECTURES:
        return ARCHITECTURES[name]
    said = f"is of the architecture {shorten(name)}" if isinstance(name, str) else "does not say what it is"
    known = ", ".join(f"{key} ({value.title})" for key, value in ARCHITECTURES.items())
    raise refuse(
        "gguf.architecture",
        f"The GGUF model {said}; Nocturne reads {known}. Save it from transformers as safetensors where it "
        "was made.",
        supported=list(ARCHITECTURES),
    )


def unusual(what: str) -> NocturneInputError:
    """For a model of a known architecture with a part that is not known."""
    return refuse(
        "gguf.architecture",
        f"The GGUF model has {what}, which Nocturne does not know. Upload it as the Hugging Face folder that "
        "it was converted from.",
    )


def _rows(tensors: Mapping[str, GGUFTensor], name: str) -> int:
    if name not in tensors:
        raise refuse(
            "gguf.architecture",
            f"The file has no tensor {name}, which every model has; perhaps it holds a vocabulary only. "
            "Choose the file with the weights.",
        )
    return tensors[name].shape[0]


def _llama(fields: Fields, tensors: Mapping[str, GGUFTensor]) -> dict[str, Any]:
    if fields.count("expert_count", 0):
        raise unusual("a mixture of experts")
    heads, hidden = fields.count("attention.head_count"), fields.count("embedding_length")
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": _rows(tensors, "token_embd.weight"),
        "hidden_size": hidden,
        "intermediate_size": fields.count("feed_forward_length"),
        "num_hidden_layers": fields.count("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": fields.count("attention.head_count_kv", heads),
        "max_position_embeddings": fields.count("context_length"),
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": fields.number("rope.freq_base", 10000.0),
        "hidden_act": "silu",
        "attention_bias": "blk.0.attn_q.bias" in tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in tensors,
    }
    fields.count("vocab_size", config["vocab_size"])  # the embedding itself tells it
    usual = hidden // heads if heads else 0
    head = fields.count("attention.key_length", usual)
    if fields.count("attention.value_length", head) != head:
        raise unusual("heads whose values are wider than their keys")
    if fields.count("rope.dimension_count", head) != head:
        raise unusual("positions in a part of each head only")
    if head != usual:
        config["head_dim"] = head
    if scaling := _scaling(fields):
        config["rope_scaling"] = scaling
    return config


def _qwen2(fields: Fields, tensors: Mapping[str, GGUFTensor]) -> dict[str, Any]:
    config = _llama(fields, tensors) | {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    del config["attention_bias"], config["mlp_bias"]  # it has always the one and never the other
    return config


def _scaling(fields: Fields) -> dict[str, Any] | None:
    kind = fields.text("rope.scaling.type", "none")
    if kind == "none":
        return None
    if kind != "linear":
        raise unusual(f"positions that are scaled by the method {shorten(kind, 30)}")
    return {"rope_type": "linear", "factor": fields.number("rope.scaling.factor")}


def _gpt2(fields: Fields, tensors: Mapping[str, GGUFTensor]) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": _rows(tensors, "token_embd.weight"),
        "n_positions": fields.count("context_length"),
        "n_embd": fields.count("embedding_length"),
        "n_layer": fields.count("block_count"),
        "n_head": fields.count("attention.head_count"),
        "n_inner": fields.count("feed_forward_length"),
        "layer_norm_epsilon": fields.number("attention.layer_norm_epsilon"),
        "activation_function": "gelu_new",
    }


def _bert(fields: Fields, tensors: Mapping[str, GGUFTensor]) -> dict[str, Any]:
    if fields.flag("attention.causal", False):
        raise unusual("an attention that looks back only")
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": _rows(tensors, "token_embd.weight"),
        "hidden_size": fields.count("embedding_length"),
        "intermediate_size": fields.count("feed_forward_length"),
        "num_hidden_layers": fields.count("block_count"),
        "num_attention_heads": fields.count("attention.head_count"),
        "max_position_embeddings": fields.count("context_length"),
        "layer_norm_eps": fields.number("attention.layer_norm_epsilon"),
        "type_vocab_size": _rows(tensors, "token_types.weight"),
        "hidden_act": "gelu",
    }


_LLAMA: Final = Architecture(
    title="LLaMA, Mistral",
    outside={
        "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    },
    block={
        "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    },
    prefix="model.layers.",
    config=_llama,
    heads={"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"},
    left_out=frozenset({"rope_freqs.weight", "attn_rot_embd"}),
)  # fmt: skip

ARCHITECTURES: Final[dict[str, Architecture]] = {
    "llama": _LLAMA,
    # Its converter leaves the rows of queries and keys as they are.
    "qwen2": replace(_LLAMA, title="Qwen2", config=_qwen2, heads={}),
    "gpt2": Architecture(
        title="GPT-2",
        outside={
            "token_embd": "transformer.wte", "position_embd": "transformer.wpe",
            "output_norm": "transformer.ln_f", "output": "lm_head",
        },
        block={
            "attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
            "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
        },
        prefix="transformer.h.",
        config=_gpt2,
        transposed=frozenset({"attn_qkv", "attn_output", "ffn_up", "ffn_down"}),
    ),
    "bert": Architecture(
        title="BERT",
        outside={
            "token_embd": "embeddings.word_embeddings", "token_types": "embeddings.token_type_embeddings",
            "position_embd": "embeddings.position_embeddings", "token_embd_norm": "embeddings.LayerNorm",
        },
        block={
            "attn_q": "attention.self.query", "attn_k": "attention.self.key",
            "attn_v": "attention.self.value", "attn_output": "attention.output.dense",
            "attn_output_norm": "attention.output.LayerNorm", "ffn_up": "intermediate.dense",
            "ffn_down": "output.dense", "layer_output_norm": "output.LayerNorm",
        },
        prefix="encoder.layer.",
        config=_bert,
    ),
}  # fmt: skip
