"""GPT-2: the config's fields and the tensors (Radford et al. 2019). Its layers are stored [in, out]."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from consolidation.families.described_fields import (
    ACTIVATIONS,
    MOST_HEADS,
    MOST_INNER,
    MOST_LAYERS,
    MOST_PLACES,
    MOST_WIDTH,
    MOST_WORDS,
    choice,
    flag,
    number,
    refuse,
    whole,
)

MODEL_TYPES: Final = ("gpt2",)
KEPT: Final = (
    "resid_pdrop", "embd_pdrop", "attn_pdrop", "summary_type", "summary_use_proj", "summary_activation",
    "summary_proj_to_labels", "summary_first_dropout",
)  # fmt: skip
# The triangle that hides later words, and the number that stands for minus infinity: made anew by any reader.
BUFFER: Final = re.compile(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias")


def read_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every field, checked. Raises NocturneInputError (`hf.config_range`)."""
    width = whole(config, ("n_embd", "hidden_size"), 1, MOST_WIDTH)
    heads = whole(config, ("n_head", "num_attention_heads"), 1, MOST_HEADS)
    if width % heads:
        raise refuse(f"A width of {width} cannot be shared by {heads} attention heads.")
    if flag(config, "add_cross_attention", False):
        raise refuse("A GPT-2 with cross-attention (add_cross_attention) is not read. Choose a plain one.")
    return {
        "model_type": choice(config, "model_type", MODEL_TYPES),
        "vocab_size": whole(config, "vocab_size", 1, MOST_WORDS),
        "n_positions": whole(config, ("n_positions", "max_position_embeddings"), 1, MOST_PLACES),
        "n_embd": width,
        "n_layer": whole(config, ("n_layer", "num_hidden_layers"), 1, MOST_LAYERS),
        "n_head": heads,
        "n_inner": whole(config, "n_inner", 1, MOST_INNER, 4 * width),
        "activation_function": choice(config, "activation_function", ACTIVATIONS, "gelu_new"),
        "layer_norm_epsilon": number(config, "layer_norm_epsilon", 0.0, 1.0, 1e-5),
        "scale_attn_weights": flag(config, "scale_attn_weights", True),
        "scale_attn_by_inverse_layer_idx": flag(config, "scale_attn_by_inverse_layer_idx", False),
        "reorder_and_upcast_attn": flag(config, "reorder_and_upcast_attn", False),
        "tie_word_embeddings": flag(config, "tie_word_embeddings", True),
    }


def shapes(clean: Mapping[str, Any], prefix: str) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model of this config."""
    width, inner = clean["n_embd"], clean["n_inner"]
    found: dict[str, tuple[int, ...]] = {
        f"{prefix}wte.weight": (clean["vocab_size"], width),
        f"{prefix}wpe.weight": (clean["n_positions"], width),
    }
    for number_ in range(clean["n_layer"]):
        layer = f"{prefix}h.{number_}"
        for part, width_in, out in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, inner),
            ("mlp.c_proj", inner, width),
        ):
            found[f"{layer}.{part}.weight"], found[f"{layer}.{part}.bias"] = (width_in, out), (out,)
        for norm in ("ln_1", "ln_2"):
            found[f"{layer}.{norm}.weight"] = found[f"{layer}.{norm}.bias"] = (width,)
    found[f"{prefix}ln_f.weight"] = found[f"{prefix}ln_f.bias"] = (width,)
    if not clean["tie_word_embeddings"]:
        found["lm_head.weight"] = (clean["vocab_size"], width)
    return found
