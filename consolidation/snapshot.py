"""What a run needs to go on after it was killed: one safetensors file with a JSON state; no pickle.

The file is written beside, fsynced and renamed, and its predecessor is kept, so at every instant one whole
snapshot can be read. `Undo` is the smaller cousin: the exact bits of a few tensors, to take a proposal back.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from consolidation.memory.store import flush_to_disk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from consolidation.memory.store import Records

NAME, PREVIOUS = "snapshot.safetensors", "snapshot.previous.safetensors"
KEY = "nocturne.snapshot"
VERSION = 1


_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip


def write_tensors(tensors: Mapping[str, Tensor], target: Path, metadata: Mapping[str, str]) -> None:
    """A safetensors file, flushed to the disk. Tensors are copied out one at a time, where the library's own
    writer holds all of them once more in memory.

    Raises:
        OSError: the disk is full.
        TypeError: a dtype that the format does not know.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    place = 0
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES:
            raise TypeError(f"{name} is {tensor.dtype}, which a safetensors file cannot hold")
        end = place + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [place, end]
        }  # fmt: skip
        place = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format wants the data aligned
    with target.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            if flat.numel():
                file.write(flat.view(torch.uint8).numpy().data)
    flush_to_disk(target)


def write_snapshot(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Durable when it returns. Raises OSError when the disk is full; the older snapshot then still stands."""
    target = folder / NAME
    fresh = folder / (NAME + ".new")
    try:
        write_tensors(tensors, fresh, {KEY: json.dumps({"version": VERSION} | dict(state), sort_keys=True)})
        if target.exists():
            target.replace(folder / PREVIOUS)
        fresh.replace(target)
        flush_to_disk(folder)
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
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def fingerprint(kind: str, recipe: Mapping[str, Any], model: nn.Module, sets: Iterable[Records]) -> str:
    """What a run's result depends on, one line "name sha256" each for recipe, model and records; another
    run's snapshot is told by it."""
    settings = {k: v for k, v in recipe.items() if not k.startswith("snapshot_every")}
    told = hashlib.sha256(json.dumps([VERSION, kind, settings], sort_keys=True).encode())
    records = hashlib.sha256()
    for one in sets:
        records.update(one.task.encode() + one.ids.tobytes())
        records.update(json.dumps(one.transform.to_json(), sort_keys=True).encode())
        if one.rights.group is not None:
            records.update(one.rights.group.tobytes())
        if one.packed is not None:  # a lossy codec keeps the ids of what it packed
            records.update(one.packed.codec.name.encode())
        if one.z is not None:
            records.update(one.z.tobytes())
        if one.top is not None:
            records.update(one.top.tobytes())
        if one.head is not None or one.objective != "classification":
            records.update(json.dumps([one.objective, one.head]).encode())
    lines = {
        "recipe": told.hexdigest(),
        "model": tensors_digest(model.state_dict()),
        "records": records.hexdigest(),
    }
    return "\n".join(f"{name} {value}" for name, value in lines.items())


def unlike(mine: str, other: str) -> list[str]:
    """Names of the lines in which two fingerprints differ."""
    left, right = (dict(line.split(" ", 1) for line in text.splitlines()) for text in (mine, other))
    return [name for name in {**left, **right} if left.get(name) != right.get(name)]


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
        partial = self.path.with_name(self.path.name + ".part")
        try:
            write_tensors(tensors, partial, {})
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts the remembered bits back, in place."""
        with safe_open(self.path, framework="pt") as file, torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(file.get_tensor(name))

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
