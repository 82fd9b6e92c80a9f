"""Mixtral: Mistral with a mixture of experts in the place of each MLP (Jiang et al. 2024): the config's
fields and the tensors, expert by expert, as the files have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from consolidation.errors import NocturneInputError
from consolidation.families import llama_shapes
from consolidation.families.described_fields import MOST_EXPERTS, refuse, whole

MODEL_TYPES: Final = ("mixtral",)
KEPT: Final = ("output_router_logits", "router_aux_loss_coef", "router_jitter_noise")
_DEFAULTS: Final = {"rms_norm_eps": 1e-5, "rope_theta": 1e6, "sliding_window": None}
_MLP: Final = re.compile(r"(.*layers\.\d+\.)mlp\.gate_proj\.weight")
_EXPERT: Final = re.compile(r"(.*layers\.\d+)\.block_sparse_moe\.experts\.(\d+)\.w[123]\.weight")


def read_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every field, checked. Raises NocturneInputError (`hf.config_range`)."""
    usual = {name: value for name, value in _DEFAULTS.items() if name not in config}
    clean = llama_shapes.read_config({**usual, **config, "model_type": "mistral"})
    experts = whole(config, "num_local_experts", 1, MOST_EXPERTS, 8)
    asked = whole(config, "num_experts_per_tok", 1, MOST_EXPERTS, 2)
    if asked > experts:
        raise refuse(f"The model's config says that {asked} of {experts} experts are asked; there are fewer.")
    return {**clean, "model_type": "mixtral", "num_local_experts": experts, "num_experts_per_tok": asked}


def shapes(clean: Mapping[str, Any], prefix: str) -> dict[str, tuple[int, ...]]:
    """Every tensor of a model of this config."""
    width, inner = clean["hidden_size"], clean["intermediate_size"]
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in llama_shapes.shapes(clean, prefix).items():
        if ".mlp." not in name:
            found[name] = shape
        elif layer := _MLP.fullmatch(name):
            block = f"{layer[1]}block_sparse_moe"
            found[f"{block}.gate.weight"] = (clean["num_local_experts"], width)
            for expert in range(clean["num_local_experts"]):
                for part, out in (("w1", inner), ("w2", width), ("w3", inner)):
                    found[f"{block}.experts.{expert}.{part}.weight"] = (out, width + inner - out)
    return found


def check_experts(clean: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """Raises NocturneInputError (`hf.experts`) when a layer lacks experts, or parts of them."""
    found: dict[str, dict[int, int]] = {}
    for name in names:
        if part := _EXPERT.fullmatch(name):
            each = found.setdefault(part[1], {})
            each[int(part[2])] = each.get(int(part[2]), 0) + 1
    experts = clean["num_local_experts"]
    for layer, each in sorted(found.items()):
        whole_ones = sum(each.get(number, 0) == 3 for number in range(experts))
        if whole_ones < experts:
            raise NocturneInputError(
                "hf.experts",
                f"The file has {whole_ones} whole experts in {layer}; its config says {experts}. Save the "
                "model again with all of its experts.",
            )
