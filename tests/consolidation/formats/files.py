"""Files as an attacker or a careless program would write them, made byte by byte."""

from __future__ import annotations

import io
import itertools
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from consolidation.families.registry import FAMILIES, is_counter


def safetensors(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    """A safetensors file with any header (a dict, or raw bytes) and, if wanted, a false length."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def entry(shape: list[Any], start: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    """One tensor of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def npz(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    """An archive of raw members."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def npy(header: str, data: bytes = b"", *, version: bytes = b"\x01\x00") -> bytes:
    """One .npy member with any header text."""
    raw = header.encode("latin-1")
    width = "<H" if version[0] == 1 else "<I"
    return b"\x93NUMPY" + version + struct.pack(width, len(raw)) + raw + data


def array_bytes(array: Any, *, allow_pickle: bool = False) -> bytes:
    """What numpy itself writes for an array."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=allow_pickle)
    return buffer.getvalue()


def mlp_tensors(layers: tuple[int, ...] = (4, 5, 3), dtype: str = "float32") -> dict[str, Any]:
    """Weights and biases of a small network, named net.0, net.2, ..."""
    rng = np.random.default_rng(7)
    tensors = {}
    for index, (width, out) in enumerate(itertools.pairwise(layers)):
        tensors[f"net.{2 * index}.weight"] = rng.normal(size=(out, width)).astype(dtype)
        tensors[f"net.{2 * index}.bias"] = rng.normal(size=out).astype(dtype)
    return tensors


def mlp_file(path: Path, layers: tuple[int, ...] = (4, 5, 3), *, described: bool = True) -> Path:
    """A checkpoint as the safetensors library writes it, with or without its description."""
    names = [f"net.{2 * index}" for index in range(len(layers) - 1)]
    config = {"layers": list(layers), "activation": "relu", "names": names}
    metadata = {"nocturne.family": "mlp", "nocturne.config": json.dumps(config)} if described else None
    save_file(mlp_tensors(layers), path, metadata=metadata)
    return path


def family_file(path: Path, family: str, config: dict[str, Any], *, described: bool = True) -> Path:
    """A checkpoint of any family: small numbers, variances of 1 and a counter, as the description says."""
    spec = FAMILIES[family]
    shapes = spec.expected_shapes(spec.validate_config(config))
    assert shapes is not None
    rng = np.random.default_rng(7)
    tensors = {name: rng.uniform(0.1, 0.2, shape).astype("f4") for name, shape in shapes.items()}
    tensors |= {name: np.array(3, np.int64) for name in shapes if is_counter(name)}
    metadata = {"nocturne.family": family, "nocturne.config": json.dumps(config)} if described else None
    save_file(tensors, path, metadata=metadata)
    return path


def code_of(error: Any) -> str:
    """The code of a caught refusal, after checking that its sentence is fit for people."""
    message = error.value.message
    assert len(message) < 900, message
    assert message.endswith((".", "?")), message
    assert message.isprintable(), message
    for word in ("Traceback", "pytest-of", "site-packages", "numpy.", "Errno", "<script"):
        assert word not in message, message
    return str(error.value.code)
