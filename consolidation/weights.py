"""Checkpoints on disk: safetensors in, safetensors out, never a pickle.

Metadata "nocturne.family" and "nocturne.config" (JSON) say what the tensors are. Weights are worked on in
float32 and go back to the dtypes they came in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from consolidation.errors import NocturneInputError
from consolidation.families.adapter import adapter_class
from consolidation.families.registry import (
    check_shapes,
    compare_shapes,
    ensure_computable,
    family_spec,
    is_counter,
)
from consolidation.memory.store import flush_to_disk

if TYPE_CHECKING:
    from collections.abc import Mapping

FAMILY_KEY, CONFIG_KEY, FISHER_KEY = "nocturne.family", "nocturne.config", "nocturne.fisher"


def new_model(family: str, config: Mapping[str, Any], seed: int) -> nn.Module:
    """A freshly initialised float32 model, the same for the same seed. Raises NocturneInputError."""
    return adapter_class(family).build(family_spec(family).validate_config(config), seed)


def load_model(
    path: str | Path,
    *,
    family: str | None = None,
    config: Mapping[str, Any] | None = None,
    base: str | Path | nn.Module | None = None,
) -> nn.Module:
    """The float32 model in a checkpoint file; carries nocturne_family, nocturne_config, nocturne_dtypes.

    Args:
        family, config: what the file's own metadata does not tell; they win over it.
        base: of a LoRA adapter, the file of the model that it changes; or another adapter over the same
            base, loaded already, whose frozen weights are then those of both. Not looked at for other models.

    Raises:
        NocturneInputError: `checkpoint.format`, `.family`, `.config`, `.shapes`, `.dtype`,
            `.family_not_yet`, `weights.non_finite`, `weights.variance`, `family.extra` (a library is
            missing), or `peft.base`, `peft.pairs`, `peft.pattern`, `peft.embedding` of an adapter.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise NocturneInputError(
            "checkpoint.format", "This is not a whole safetensors file. Save or upload the model again."
        ) from error
    spec = family_spec(family or metadata.get(FAMILY_KEY))
    clean = spec.validate_config(config if config is not None else _stored_config(metadata))
    if spec.name != "lora":
        ensure_computable(spec.name, clean)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_shapes(spec, clean, shapes)
    _check_numbers(tensors)
    if spec.name == "lora":
        model = _over_base(clean, shapes, base)
    else:
        model = adapter_class(spec.name).build(clean, 0)
    own = {told: name for name, told in _file_names(model).items()}
    tensors = {own.get(name, name): tensor for name, tensor in tensors.items()}
    if spec.expected_shapes(clean) is None:
        wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        compare_shapes(wanted, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    # copied into float32 one by one: all of them at once would take a model's memory more
    model.load_state_dict(tensors)
    model.nocturne_dtypes = {name: tensor.dtype for name, tensor in tensors.items()}  # type: ignore[assignment]
    return model


def _over_base(
    config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], base: str | Path | nn.Module | None
) -> nn.Module:
    from consolidation.families.lora import LoraAdapter, LoraModel, no_base

    if base is None:
        raise no_base()
    if isinstance(base, LoraModel):
        return base.beside(config)
    return LoraAdapter.lay(config, shapes, base if isinstance(base, nn.Module) else load_model(base))


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if is_counter(name):
            if tensor.dtype != torch.int64:
                raise NocturneInputError("checkpoint.dtype", f"Tensor {name} must be one int64, a count.")
            continue
        if not tensor.is_floating_point():
            raise NocturneInputError("checkpoint.dtype", f"Tensor {name} holds whole numbers, not weights.")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise NocturneInputError(
                "weights.variance",
                f"Tensor {name} holds a negative variance, which no data can have. Save the model again.",
            )
        if not bool(torch.isfinite(tensor).all()):
            raise NocturneInputError(
                "weights.non_finite",
                f"Tensor {name} holds NaN or infinite numbers; a model like that cannot sleep. Upload an "
                "earlier checkpoint.",
            )


def _file_names(model: nn.Module) -> dict[str, str]:
    """{parameter: tensor of the file} of those that have another name there."""
    return dict(getattr(model, "nocturne_names", {}))


def _stored_config(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        config = json.loads(metadata.get(CONFIG_KEY, ""))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise NocturneInputError(
            "checkpoint.config", "The file does not describe its model; say which layers it has."
        )
    return config


def save_model(model: nn.Module, path: str | Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a checkpoint, whole or not at all, with the names and dtypes it came with."""
    dtypes: dict[str, torch.dtype] = getattr(model, "nocturne_dtypes", {})
    told = _file_names(model)
    tensors = {
        told.get(name, name): tensor.detach().to("cpu", dtypes.get(name, tensor.dtype)).contiguous()
        for name, tensor in model.state_dict().items()
    }
    described = {
        # Transformers opens only safetensors that say for which library they were written.
        "format": "pt",
        FAMILY_KEY: str(model.nocturne_family),
        CONFIG_KEY: json.dumps(model.nocturne_config, sort_keys=True),
    }
    save_tensors(tensors, Path(path), dict(metadata or {}) | described)


def save_tensors(tensors: dict[str, Tensor], target: Path, metadata: dict[str, str]) -> None:
    """A safetensors file, whole or not at all: written beside, fsynced, renamed, folder fsynced."""
    partial = target.with_name(target.name + ".part")
    try:
        save_file(tensors, partial, metadata=metadata)
        flush_to_disk(partial)
        partial.replace(target)
        flush_to_disk(target.parent)
    finally:
        partial.unlink(missing_ok=True)


# ---------------------------------------------------------------- the Fisher beside a checkpoint


@dataclass(frozen=True, slots=True)
class Fisher:
    """Diagonal Fisher: float32 tensors named like the parameters, the true count, the label mode."""

    tensors: dict[str, Tensor]
    samples: int
    labels: str


def save_fisher(fisher: Fisher, path: str | Path) -> None:
    """fp16, each tensor divided by a power of two of its own (values near 1e-8 would vanish otherwise)."""
    halves, scales = {}, {}
    for name, tensor in fisher.tensors.items():
        top = float(tensor.max()) if tensor.numel() else 0.0
        scales[name] = int(torch.tensor(top).log2().ceil().item()) - 15 if top > 0 else 0
        halves[name] = torch.ldexp(tensor.cpu(), torch.tensor(-scales[name])).half().contiguous()
    about = {"version": 1, "samples": fisher.samples, "labels": fisher.labels, "scales": scales}
    save_tensors(halves, Path(path), {FISHER_KEY: json.dumps(about, sort_keys=True)})


def load_fisher(path: str | Path) -> Fisher:
    """What `save_fisher` wrote. Raises NocturneInputError (`fisher.format`)."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[FISHER_KEY])
            names = file.keys()
            tensors = {
                name: torch.ldexp(file.get_tensor(name).float(), torch.tensor(int(about["scales"][name])))
                for name in names
            }
            return Fisher(tensors, int(about["samples"]), str(about["labels"]))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise NocturneInputError(
            "fisher.format", "The stored significance cannot be read; sleep without it."
        ) from error
