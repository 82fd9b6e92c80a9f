"""Rows A15 to A24: safetensors files that lie about themselves, and weights that nothing can be done with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from consolidation.errors import NocturneInputError
from consolidation.formats.checkpoint import inspect_checkpoint
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
    "A16-byte-order-mark": (
        "safetensors.header_json",
        b"\xef\xbb\xbf" + json.dumps(ONE).encode(),
        EIGHT,
        None,
    ),
    "A16-a-list": ("safetensors.header_json", b'[{"a": 1}]', b"", None),
    "A16-trailing-zero-bytes": ("safetensors.header_json", json.dumps(ONE).encode() + bytes(8), EIGHT, None),
    "A16-tensor-is-a-list": ("safetensors.header_json", {"a": [2, 0, 8]}, EIGHT, None),
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
    "A19-empty-range-inside-another": (
        "safetensors.offsets",
        {**ONE, "b": entry([0], 4, 4)},
        EIGHT,
        None,
    ),
    "A19-empty-range-beyond-the-end": (
        "safetensors.offsets",
        {**ONE, "b": entry([0], 16, 16)},
        EIGHT,
        None,
    ),
    "A19-shares-a-place": ("safetensors.offsets", {**ONE, "b": entry([2], 0, 0)}, EIGHT, None),
    "A20-product-wraps-to-4": (
        "tensor.shape_overflow",
        {"a": entry([2**62, 2**2 + 1], 0, 4)},
        bytes(4),
        None,
    ),
    "A20-product-wraps-to-exactly-4": (
        "tensor.shape_overflow",
        {"a": entry([2**62 + 1, 4], 0, 16)},
        bytes(16),
        None,
    ),
    "A20-bytes-wrap-to-8": ("tensor.shape_overflow", {"a": entry([2**62 + 2], 0, 8)}, EIGHT, None),
    "A20-fraction": ("tensor.shape_overflow", {"a": entry([2.0], 0, 8)}, EIGHT, None),
    "A20-text": ("tensor.shape_overflow", {"a": entry(["2"], 0, 8)}, EIGHT, None),
    "A20-negative-size": ("tensor.shape_overflow", {"a": entry([-2, -4], 0, 32)}, bytes(32), None),
    "A20-huge-times-zero": ("tensor.shape_overflow", {"a": entry([2**63, 0], 0, 0)}, b"", None),
    "A20-boolean-size": ("tensor.shape_overflow", {"a": entry([True, 2], 0, 8)}, EIGHT, None),
    "A21-unknown-dtype": ("tensor.dtype", {"a": entry([2], 0, 8, "F128")}, EIGHT, None),
    "A21-sub-byte-dtype": ("tensor.dtype", {"a": entry([16], 0, 8, "F4")}, EIGHT, None),
    "A21-six-bits": ("tensor.dtype", {"a": entry([8], 0, 6, "F6_E2M3")}, bytes(6), None),
    "A21-scale-only": ("tensor.dtype", {"a": entry([8], 0, 8, "F8_E8M0")}, EIGHT, None),
    "A21-dtype-in-small-letters": ("tensor.dtype", {"a": entry([2], 0, 8, "f32")}, EIGHT, None),
    "A21-dtype-is-a-list": ("tensor.dtype", {"a": entry([2], 0, 8, ["F32"])}, EIGHT, None),
    "A21-shape-against-range": ("tensor.size_mismatch", {"a": entry([3], 0, 8)}, EIGHT, None),
    "A21-file-ends-early": ("tensor.size_mismatch", ONE, bytes(7), None),
    "A21-one-byte-too-many": ("safetensors.trailing_bytes", ONE, bytes(9), None),
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
    "A22-name-slash-first": ("tensor.name_invalid", {"/a": ONE["a"]}, EIGHT, None),
    "A22-name-backslash": ("tensor.name_invalid", {"a\\b": ONE["a"]}, EIGHT, None),
    "A22-name-line-break": ("tensor.name_invalid", {"a\nb": ONE["a"]}, EIGHT, None),
    "A22-name-half-a-character": (
        "tensor.name_invalid",
        b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        EIGHT,
        None,
    ),
    "A22-name-empty": ("tensor.name_invalid", {"": ONE["a"]}, EIGHT, None),
    "A23-number": ("safetensors.metadata", {"__metadata__": {"n": 1}, **ONE}, EIGHT, None),
    "A23-list": ("safetensors.metadata", {"__metadata__": ["x"], **ONE}, EIGHT, None),
    "A23-null": ("safetensors.metadata", {"__metadata__": None, **ONE}, EIGHT, None),
    "A23-nested": ("safetensors.metadata", {"__metadata__": {"a": {"b": "c"}}, **ONE}, EIGHT, None),
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


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a24_one_bad_number_is_noticed_and_kept(dtype: str, value: float, tmp_path: Path) -> None:
    tensors = mlp_tensors(dtype=dtype)
    tensors["net.2.weight"][2, 4] = value
    save_file(tensors, tmp_path / "in")
    info = inspect_checkpoint(tmp_path / "in", config={"activation": "relu"}, out=tmp_path / "out")
    assert info["non_finite"] is True
    assert np.array_equal(
        load_file(tmp_path / "out")["net.2.weight"], tensors["net.2.weight"], equal_nan=True
    )


@pytest.mark.parametrize(
    ("dtype", "bits", "bad"),
    [
        ("BF16", 0x7F80, True), ("BF16", 0xFFC1, True), ("BF16", 0x7F7F, False),
        ("F8_E5M2", 0x7C, True), ("F8_E5M2", 0x7B, False),
        ("F8_E4M3", 0x7F, True), ("F8_E4M3", 0xFF, True), ("F8_E4M3", 0x7E, False),
    ],
)  # fmt: skip
def test_a24_formats_without_a_numpy_twin(dtype: str, bits: int, bad: bool, tmp_path: Path) -> None:
    width = 2 if dtype == "BF16" else 1
    weight, bias = bytes(11 * width) + bits.to_bytes(width, "little"), bytes(3 * width)
    header = {
        "net.0.weight": entry([3, 4], 0, 12 * width, dtype),
        "net.0.bias": entry([3], 12 * width, 15 * width, dtype),
    }
    path = safetensors(tmp_path / "f", header, weight + bias)
    assert inspect_checkpoint(path, config={"activation": "relu"})["non_finite"] is bad


def test_a24_weights_of_nothing_but_nan_are_kept_and_marked(tmp_path: Path) -> None:
    tensors = {name: np.full_like(value, np.nan) for name, value in mlp_tensors().items()}
    save_file(tensors, tmp_path / "in")
    info = inspect_checkpoint(tmp_path / "in", config={"activation": "relu"}, out=tmp_path / "out")
    assert info["non_finite"] is True
    assert all(np.isnan(value).all() for value in load_file(tmp_path / "out").values())


def test_a24_a_flood_of_denormals_is_finite(tmp_path: Path) -> None:
    tensors = {name: np.full_like(value, 1e-45) for name, value in mlp_tensors().items()}
    save_file(tensors, tmp_path / "in")
    assert inspect_checkpoint(tmp_path / "in", config={"activation": "relu"})["non_finite"] is False
