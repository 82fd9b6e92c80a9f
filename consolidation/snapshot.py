"""What a run needs to go on after it was killed: one safetensors file with a JSON state; no pickle.

The file is written beside, fsynced and renamed, and its predecessor is kept, so at every instant one whole
snapshot can be read. `Undo` is the smaller cousin: the exact bits of a few tensors, to take a proposal back.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from consolidation.weights import save_tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from consolidation.memory.store import Records

NAME, PREVIOUS = "snapshot.safetensors", "snapshot.previous.safetensors"
KEY = "nocturne.snapshot"
VERSION = 1


def write_snapshot(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Durable when it returns. Raises OSError when the disk is full; the older snapshot then still stands."""
    target = folder / NAME
    fresh = folder / (NAME + ".new")
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_tensors(flat, fresh, {KEY: json.dumps({"version": VERSION} | dict(state), sort_keys=True)})
        if target.exists():
            target.replace(folder / PREVIOUS)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return target


def read_snapshot(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest whole snapshot in `folder`, or None."""
    for name in (NAME, PREVIOUS):
        try:
            with safe_open(folder / name, framework="pt") as file:
                state = json.loads((file.metadata() or {})[KEY])
                names = file.keys()
                if state["version"] == VERSION:
                    return {tensor: file.get_tensor(tensor) for tensor in names}, state
        except (SafetensorError, OSError, KeyError, ValueError, TypeError):
            continue
    return None


def environment() -> dict[str, Any]:
    """What the bits depend on besides the input."""
    return {
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def fingerprint(kind: str, recipe: Mapping[str, Any], model: nn.Module, sets: Iterable[Records]) -> str:
    """sha256 over all that a run's result depends on; another run's snapshot is told by it."""
    digest = hashlib.sha256()
    settings = {k: v for k, v in recipe.items() if not k.startswith("snapshot_every")}
    digest.update(json.dumps([VERSION, kind, settings], sort_keys=True).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    for records in sets:
        digest.update(records.task.encode() + records.ids.tobytes())
        if records.z is not None:
            digest.update(records.z.tobytes())
    return digest.hexdigest()


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Undo:
    """Exact copies of some tensors on disk, counted in `estimate`; extra memory is one tensor."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"undo-{name}.safetensors"

    def keep(self, tensors: Mapping[str, Tensor]) -> None:
        """Remembers the tensors as they are now."""
        save_tensors({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, self.path, {})

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts the remembered bits back, in place."""
        with safe_open(self.path, framework="pt") as file, torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(file.get_tensor(name))

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
