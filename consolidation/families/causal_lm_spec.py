"""The `causal_lm` family, described without torch: models that say the next word, built like Llama or GPT-2.

config = the fields of config.json that say what is computed, e.g. {"model_type": "llama",
"hidden_size": 2048, "num_hidden_layers": 16, ...}, and {"prefix": "model."}, what stands
before the names of the inner model, or nothing. See `llama_shapes` and `gpt2_shapes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consolidation.families import gpt2_shapes, llama_shapes
from consolidation.families.described import Described, Shapes
from consolidation.families.described_fields import choice
from consolidation.families.rope import new_spelling


class CausalLmSpec(Described):
    """See `registry.FamilySpec` and `described.Described`."""

    name = "causal_lm"
    title = "Language model (Llama, Mistral, Qwen2, GPT-2)"
    adapter = "consolidation.families.causal_lm:CausalLmAdapter"
    kept: tuple[str, ...] = (*llama_shapes.KEPT, *gpt2_shapes.KEPT)

    def known(self) -> tuple[str, ...]:
        return (*llama_shapes.MODEL_TYPES, *gpt2_shapes.MODEL_TYPES)

    def validate_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        kind = choice(config, "model_type", self.known())
        prefixes = (inner_prefix(kind), "")
        clean = gpt2_shapes.read_config(config) if kind == "gpt2" else llama_shapes.read_config(config)
        return {**clean, "prefix": choice(config, "prefix", prefixes, prefixes[0])}

    def expected_shapes(self, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        clean = self.validate_config(config)
        of = gpt2_shapes.shapes if clean["model_type"] == "gpt2" else llama_shapes.shapes
        return of(clean, clean["prefix"])

    def input_width(self, config: Mapping[str, Any]) -> int:
        return int(config["n_positions" if config["model_type"] == "gpt2" else "max_position_embeddings"])

    def vocabulary(self, config: Mapping[str, Any]) -> int:
        """One more than there are tokens: a record is their ids + 1, so that 0 can fill it up."""
        return int(config["vocab_size"]) + 1

    def objective(self, config: Mapping[str, Any]) -> str:
        return "language"

    def outputs(self, config: Mapping[str, Any]) -> int:
        return int(config["vocab_size"])

    def layout(self, config: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
        usual = inner_prefix(config.get("model_type"))
        return {"prefix": usual if any(name.startswith(usual) for name in shapes) else ""}

    def left_out(self, name: str) -> str:
        if gpt2_shapes.BUFFER.fullmatch(name):
            return "the mask of the attention"
        return "the frequencies of the positions" if name.endswith("rotary_emb.inv_freq") else ""

    def twins(self, config: Mapping[str, Any]) -> dict[str, str]:
        if not config["tie_word_embeddings"]:
            return {}
        return {"lm_head.weight": f"{config['prefix']}{words_name(config['model_type'])}"}

    def home_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        home = super().home_config(config)
        if home["model_type"] == "gpt2":
            return home
        # Each version of Transformers reads its own spelling first; what came in the new one goes home in it.
        if config.get("rope_parameters") is not None:
            home["rope_parameters"] = new_spelling(home)
            del home["rope_theta"], home["rope_scaling"]
        return dict(sorted(home.items()))


def inner_prefix(kind: Any) -> str:
    """What transformers puts before the names of all but the output layer."""
    return "transformer." if kind == "gpt2" else "model."


def words_name(kind: Any) -> str:
    """The embedding of the words, below that."""
    return "wte.weight" if kind == "gpt2" else "embed_tokens.weight"
