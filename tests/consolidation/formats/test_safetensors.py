"""The strict header reader: what the library writes is read alike, every other byte count is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from consolidation.errors import NocturneInputError
from consolidation.formats.safetensors import read_header
from tests.consolidation.formats.files import entry, mlp_tensors, safetensors


def test_every_truncation_of_a_good_file_is_refused(tmp_path: Path) -> None:
    save_file(mlp_tensors(), tmp_path / "good", metadata={"format": "pt"})
    whole = (tmp_path / "good").read_bytes()
    for size in range(len(whole)):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:size])
        with pytest.raises(NocturneInputError):
            read_header(cut)


def test_what_the_library_writes_is_read_alike(tmp_path: Path) -> None:
    tensors = {f"t.{n}": np.arange(6).astype(kind).reshape(2, 3) for n, kind in enumerate("dfeqB?")}
    save_file(tensors, tmp_path / "f", metadata={"a": "ü"})
    header = read_header(tmp_path / "f")
    assert header.metadata == {"a": "ü"}
    oracle = load_file(tmp_path / "f")
    raw = (tmp_path / "f").read_bytes()[header.data_start :]
    for name, found in header.tensors.items():
        assert found.shape == oracle[name].shape
        assert raw[found.start : found.end] == oracle[name].tobytes()


def test_the_header_length_is_eight_bytes_little_endian(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "f", {"a": entry([2], 0, 8)}, bytes(8))
    assert struct.unpack("<Q", path.read_bytes()[:8])[0] == read_header(path).data_start - 8
