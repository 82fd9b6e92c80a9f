"""The strict header reader: rows A15 to A23 of the attack list, each a generated file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from consolidation.errors import NocturneInputError
from consolidation.formats.safetensors import read_header
from tests.consolidation.formats.files import code_of, entry, mlp_tensors, safetensors

ONE = {"a": entry([2], 0, 8)}
EIGHT = bytes(8)

HOSTILE: dict[str, tuple[str, Any, bytes, int | None]] = {
    "A15-zero": ("safetensors.header_size", b"{}", b"", 0),
    "A15-two-to-the-63": ("safetensors.header_size", ONE, EIGHT, 2**63),
    "A15-beyond-the-file": ("safetensors.header_size", ONE, EIGHT, 10_000),
    "A15-over-the-limit": ("safetensors.header_size", b"{" + b" " * (17 * 2**20), b"", None),
    "A16-not-utf8": ("safetensors.header_json", b'{"\xff": 1}', b"", None),
    "A16-no-brace": ("safetensors.header_json", b' {"a": 1}', b"", None),
    "A16-nan": ("safetensors.header_json", b'{"a": {"dtype": "F32", "shape": [NaN]}}', b"", None),
    "A16-infinity": ("safetensors.header_json", b'{"a": -Infinity}', b"", None),
    "A16-trailing-data": ("safetensors.header_json", json.dumps(ONE).encode() + b"{}", EIGHT, None),
    "A16-trailing-newline": ("safetensors.header_json", json.dumps(ONE).encode() + b"\n", EIGHT, None),
    "A16-nested-100000-deep": ("safetensors.header_json", b'{"a":' + b"[" * 100_000, b"", None),
    "A16-cut-off": ("safetensors.header_json", b'{"a": {"dty', b"", None),
    "A16-5000-digits": ("safetensors.header_json", b'{"a": ' + b"9" * 5000 + b"}", b"", None),
    "A16-extra-field": ("safetensors.header_json", {"a": {**ONE["a"], "x": 1}}, EIGHT, None),
    "A17-two-tensors-of-a-name": (
        "safetensors.duplicate_key",
        b'{"a":%b,"a":%b}' % ((json.dumps(ONE["a"]).encode(),) * 2),
        EIGHT,
        None,
    ),
    "A17-two-keys": (
        "safetensors.duplicate_key",
        b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        EIGHT,
        None,
    ),
    "A17-two-metadata": ("safetensors.duplicate_key", b'{"__metadata__":{},"__metadata__":{}}', b"", None),
    "A18-overlap": ("safetensors.offsets", {**ONE, "b": entry([2], 4, 12)}, bytes(12), None),
    "A18-hole": ("safetensors.offsets", {**ONE, "b": entry([2], 12, 20)}, bytes(20), None),
    "A18-hole-at-the-start": ("safetensors.offsets", {"a": entry([2], 4, 12)}, bytes(12), None),
    "A18-reversed": ("safetensors.offsets", {"a": entry([2], 8, 0)}, EIGHT, None),
    "A18-negative": ("safetensors.offsets", {"a": entry([2], -8, 0)}, EIGHT, None),
    "A18-float": ("safetensors.offsets", {"a": entry([2], 0, 8.0)}, EIGHT, None),
    "A18-string": ("safetensors.offsets", {"a": entry([2], "0", "8")}, EIGHT, None),
    "A18-boolean": ("safetensors.offsets", {"a": entry([2], False, 8)}, EIGHT, None),
    "A18-one-number": ("safetensors.offsets", {"a": {**ONE["a"], "data_offsets": [8]}}, EIGHT, None),
    "A19-shares-a-place": ("safetensors.offsets", {**ONE, "b": entry([2], 0, 0)}, EIGHT, None),
    "A20-product-wraps-to-4": (
        "tensor.shape_overflow",
        {"a": entry([2**62, 2**2 + 1], 0, 4)},
        bytes(4),
        None,
    ),
    "A20-negative-size": ("tensor.shape_overflow", {"a": entry([-2, -4], 0, 32)}, bytes(32), None),
    "A20-huge-times-zero": ("tensor.shape_overflow", {"a": entry([2**63, 0], 0, 0)}, b"", None),
    "A20-boolean-size": ("tensor.shape_overflow", {"a": entry([True, 2], 0, 8)}, EIGHT, None),
    "A21-unknown-dtype": ("tensor.dtype", {"a": entry([2], 0, 8, "F128")}, EIGHT, None),
    "A21-sub-byte-dtype": ("tensor.dtype", {"a": entry([16], 0, 8, "F4")}, EIGHT, None),
    "A21-dtype-is-a-list": ("tensor.dtype", {"a": entry([2], 0, 8, ["F32"])}, EIGHT, None),
    "A21-shape-against-range": ("tensor.size_mismatch", {"a": entry([3], 0, 8)}, EIGHT, None),
    "A21-file-ends-early": ("tensor.size_mismatch", ONE, bytes(7), None),
    "A21-appended-zip": ("safetensors.trailing_bytes", ONE, EIGHT + b"PK\x03\x04" + bytes(50), None),
    "A22-100k-tensors": (
        "safetensors.limit_exceeded",
        {str(i): entry([0], 0, 0) for i in range(100_000)},
        b"",
        None,
    ),
    "A22-million-dimensions": (
        "safetensors.limit_exceeded",
        {"a": entry([1] * 1_000_000, 0, 4)},
        bytes(4),
        None,
    ),
    "A22-name-of-5-MB": ("safetensors.limit_exceeded", {"a" * 5_000_000: ONE["a"]}, EIGHT, None),
    "A22-name-dots": ("tensor.name_invalid", {"a/../b": ONE["a"]}, EIGHT, None),
    "A22-name-nul": ("tensor.name_invalid", {"a\0": ONE["a"]}, EIGHT, None),
    "A22-name-bidi": ("tensor.name_invalid", {"a\u202egpj": ONE["a"]}, EIGHT, None),
    "A22-name-html": ("tensor.name_invalid", {"<b>a</b>": ONE["a"]}, EIGHT, None),
    "A22-name-empty": ("tensor.name_invalid", {"": ONE["a"]}, EIGHT, None),
    "A23-number": ("safetensors.metadata", {"__metadata__": {"n": 1}, **ONE}, EIGHT, None),
    "A23-list": ("safetensors.metadata", {"__metadata__": ["x"], **ONE}, EIGHT, None),
    "A23-2-MB": ("safetensors.metadata", {"__metadata__": {"n": "x" * 2**21}, **ONE}, EIGHT, None),
    "A23-50-MB": ("safetensors.header_size", {"__metadata__": {"n": "x" * 50_000_000}}, b"", None),
    "A23-half-a-character": ("safetensors.metadata", b'{"__metadata__":{"n":"\\ud800"}}', b"", None),
}


@pytest.mark.parametrize("row", HOSTILE)
def test_a_hostile_header_is_refused_with_its_code(row: str, tmp_path: Path) -> None:
    code, header, data, length = HOSTILE[row]
    path = safetensors(tmp_path / "f", header, data, length=length)
    with pytest.raises(NocturneInputError) as caught:
        read_header(path)
    assert code_of(caught) == code


@pytest.mark.parametrize("size", range(8))
def test_a15_a_file_of_less_than_eight_bytes(size: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(size))
    with pytest.raises(NocturneInputError) as caught:
        read_header(path)
    assert code_of(caught) == "safetensors.header_size"


def test_a15_both_numbers_are_named(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "f", ONE, EIGHT, length=10_000)
    with pytest.raises(NocturneInputError, match="10,000") as caught:
        read_header(path)
    assert caught.value.detail == {"claimed": 10_000, "possible": path.stat().st_size - 8}


def test_a18_names_the_tensor(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "f", {**ONE, "net.7.weight": entry([2], 4, 12)}, bytes(12))
    with pytest.raises(NocturneInputError, match=r"net\.7\.weight"):
        read_header(path)


def test_a19_an_empty_tensor_may_share_a_place(tmp_path: Path) -> None:
    header = {"empty": entry([0, 5], 0, 0), **ONE, "last": entry([3, 0], 8, 8)}
    found = read_header(safetensors(tmp_path / "f", header, EIGHT))
    assert found.shapes() == {"empty": (0, 5), "a": (2,), "last": (3, 0)}


def test_a23_html_in_the_metadata_is_kept_as_text(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "f", {"__metadata__": {"note": "<script>alert(1)</script>"}, **ONE}, EIGHT)
    assert read_header(path).metadata == {"note": "<script>alert(1)</script>"}


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
    path = safetensors(tmp_path / "f", ONE, EIGHT)
    assert struct.unpack("<Q", path.read_bytes()[:8])[0] == read_header(path).data_start - 8
