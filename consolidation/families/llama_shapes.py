"""Llama and those that are built just like it: the config's fields and the tensors (Touvron et al. 2023).

Mistral differs in what it attends to, Qwen2 in the offsets of its queries, keys and values.
"""

from __future__ import annotations

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
from consolidation.families.rope import read_rope

MODEL_TYPES: Final = ("llama", "mistral", "qwen2")
_WINDOW: Final = 4096
_LOOKS: Final = ("full_attention", "sliding_attention")
KEPT: Final = ("attention_dropout", "pretraining_tp")


def read_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every field, checked. Raises NocturneInputError (`hf.config_range`)."""
    kind = choice(config, "model_type", MODEL_TYPES)
    hidden = whole(config, "hidden_size", 1, MOST_WIDTH)
    heads = whole(config, "num_attention_heads", 1, MOST_HEADS)
    groups = whole(config, "num_key_value_heads", 1, MOST_HEADS, heads)
    if heads % groups:
        raise refuse(
            f"The model's config says {heads} attention heads and {groups} key-value heads; the one must be "
            "a multiple of the other."
        )
    if (config.get("head_dim") is None or kind == "llama") and hidden % heads:
        raise refuse(f"A width of {hidden} cannot be shared by {heads} attention heads.")
    head = whole(config, "head_dim", 1, MOST_WIDTH, hidden // heads)
    if head % 2:
        raise refuse(f"The positions turn a head's numbers in pairs, and its heads have {head}.")
    # Not there is not the same as null: Transformers then takes the first Mistral's window.
    window = config.get("sliding_window", _WINDOW if kind == "mistral" else None)
    return {
        "model_type": kind,
        "vocab_size": whole(config, "vocab_size", 1, MOST_WORDS),
        "hidden_size": hidden,
        "intermediate_size": whole(config, "intermediate_size", 1, MOST_INNER),
        "num_hidden_layers": whole(config, "num_hidden_layers", 1, MOST_LAYERS),
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": head,
        "hidden_act": choice(config, "hidden_act", ACTIVATIONS, "silu"),
        "max_position_embeddings": whole(config, "max_position_embeddings", 1, MOST_PLACES, 2048),
        "rms_norm_eps": number(config, "rms_norm_eps", 0.0, 1.0, 1e-6),
        **read_rope(config, head),
        # The others have theirs always or never, whatever is said.
        "attention_bias": kind == "llama" and flag(config, "attention_bias", False),
        "mlp_bias": kind == "llama" and flag(config, "mlp_bias", False),
        "tie_word_embeddings": flag(config, "tie_word_embeddings", False),
        "sliding_window": (
            None if window is None else whole({"sliding_window": window}, "sliding_window", 1, MOST_PLACES)
        ),
        **(_qwen2_windows(config) if kind == "qwen2" else {}),
    }


def _qwen2_windows(config: Mapping[str, Any]) -> dict[str, Any]:
    """Whether its window is used, and in which layers: from a number on, or as a list says."""
    found: dict[str, Any] = {
        "use_sliding_window": flag(config, "use_sliding_window", False),
        "max_window_layers": whole(config, "max_window_layers", 0, MOST_LAYERS, 28),
    }
    given, layers = config.get("layer_types"), config["num_hidden_layers"]
    if given is None:
        return found
    if not isinstance(given, list) or len(given) != layers or not all(one in _LOOKS for one in given):
        raise refuse(
            f"The model's config says layer_types; it must be a list of {layers}, each one of "
            f"{', '.join(_LOOKS)}."
        )
    return {**found, "layer_types": list(given)}


def shapes(clean: Mapping[str, Any], prefix: str) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model of this config."""
    width, inner, head = clean["hidden_size"], clean["intermediate_size"], clean["head_dim"]
    asked, given = clean["num_attention_heads"] * head, clean["num_key_value_heads"] * head
    found: dict[str, tuple[int, ...]] = {f"{prefix}embed_tokens.weight": (clean["vocab_size"], width)}
    for number_ in range(clean["num_hidden_layers"]):
        layer = f"{prefix}layers.{number_}"
        for part, out, width_in in (
            ("self_attn.q_proj", asked, width),
            ("self_attn.k_proj", given, width),
            ("self_attn.v_proj", given, width),
            ("self_attn.o_proj", width, asked),
            ("mlp.gate_proj", inner, width),
            ("mlp.up_proj", inner, width),
            ("mlp.down_proj", width, inner),
        ):
            found[f"{layer}.{part}.weight"] = (out, width_in)
            if _has_bias(clean, part):
                found[f"{layer}.{part}.bias"] = (out,)
        found[f"{layer}.input_layernorm.weight"] = (width,)
        found[f"{layer}.post_attention_layernorm.weight"] = (width,)
    found[f"{prefix}norm.weight"] = (width,)
    if not clean["tie_word_embeddings"]:
        found["lm_head.weight"] = (clean["vocab_size"], width)
    return found


def _has_bias(clean: Mapping[str, Any], part: str) -> bool:
    if part.startswith("mlp."):
        return bool(clean["mlp_bias"])
    if clean["model_type"] == "qwen2":
        return part != "self_attn.o_proj"
    return bool(clean["attention_bias"])
