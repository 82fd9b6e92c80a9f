"""LoRA adapters over the tiny BERT of `text_helpers`, as PEFT saves them."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import save_file

from consolidation.families.lora_pairs import BASE, targeted
from consolidation.families.lora_spec import LoraSpec
from consolidation.families.registry import described_family
from consolidation.weights import load_model, save_model
from tests.consolidation.text_helpers import BERT, tiny_bert

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

SPEC = LoraSpec()
LORA: dict[str, Any] = {
    "peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["query", "value", "output.dense"],
    "rank_pattern": {"query": 3}, "alpha_pattern": {"layer.1.output.dense": 5},
    "modules_to_save": ["classifier"], "task_type": "SEQ_CLS",
}  # fmt: skip


def adapter_tensors(config: dict[str, Any], base: dict[str, Any] = BERT, seed: int = 0) -> dict[str, Tensor]:
    """Every pair that the config asks for over a base of that config, and a head, of random numbers."""
    clean = SPEC.validate_config(config)
    family = described_family(base)
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for module, (inputs, outputs) in family.adaptable(family.validate_config(base)).items():
        name = f"{BASE}{module}"
        if targeted(clean, module):
            rank = next((r for part, r in clean["rank_pattern"].items() if module.endswith(part)), clean["r"])
            found[f"{name}.lora_A.weight"] = 0.3 * torch.randn(rank, inputs, generator=generator)
            found[f"{name}.lora_B.weight"] = 0.3 * torch.randn(outputs, rank, generator=generator)
        elif module in (clean["modules_to_save"] or []):
            found[f"{name}.weight"] = torch.randn(outputs, inputs, generator=generator)
            if module == "classifier":
                found[f"{name}.bias"] = torch.randn(outputs, generator=generator)
    return found


def write_adapter(
    path: Path,
    config: dict[str, Any] = LORA,
    changes: Mapping[str, Tensor] = MappingProxyType({}),
    base: dict[str, Any] = BERT,
) -> Path:
    """A checkpoint of an adapter, without a word about its base."""
    metadata = {"nocturne.family": "lora", "nocturne.config": json.dumps(SPEC.validate_config(config))}
    save_file({**adapter_tensors(config, base), **changes}, path, metadata=metadata)
    return path


def adapted(folder: Path, config: dict[str, Any] = LORA, base: nn.Module | None = None) -> nn.Module:
    """An adapter over the tiny BERT, or another base; both files lie in the folder, as "adapter" and
    "base"."""
    base = base or tiny_bert()
    save_model(base, folder / "base")
    write_adapter(folder / "adapter", config, base=cast("dict[str, Any]", base.nocturne_config))
    return load_model(folder / "adapter", base=folder / "base").eval()
