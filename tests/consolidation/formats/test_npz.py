"""Arrays of npz: what does not fit together, and what a zip can lie about."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.records import convert_records
from tests.consolidation.formats.files import array_bytes, code_of, npz

X = array_bytes(np.zeros((2, 3), np.float32))
Y = array_bytes(np.zeros(2, np.int64))

HOSTILE: dict[str, tuple[str, dict[str, bytes]]] = {
    "missing-y": ("npz.member", {"x.npy": X}),
    "unknown-array": ("npz.member", {"x.npy": X, "y.npy": Y, "labels.npy": Y}),
    "rows-differ": ("records.shape", {"x.npy": X, "y.npy": array_bytes(np.zeros(3, np.int64))}),
    "x-has-no-width": ("records.shape", {"x.npy": Y, "y.npy": Y}),
    "y-is-a-table": ("records.shape", {"x.npy": X, "y.npy": array_bytes(np.zeros((2, 1), np.int64))}),
    "logits-rows-differ": (
        "records.logits",
        {"x.npy": X, "y.npy": Y, "logits.npy": array_bytes(np.zeros((3, 2)))},
    ),
    "scale-is-a-list": ("records.transform", {"x.npy": X, "y.npy": Y, "scale.npy": array_bytes(np.ones(3))}),
    "sd-is-zero": ("records.transform", {"x.npy": X, "y.npy": Y, "sd.npy": array_bytes(np.zeros(()))}),
    "A36-too-many": ("archive.too_many", {f"m{i}.npy": Y for i in range(40)}),
}


def convert(path: Path, **options: Any) -> dict[str, object]:
    return convert_records(path, task="t", out=path.with_name("out"), **options)


@pytest.mark.parametrize("row", HOSTILE)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_hostile_archive_is_refused_with_its_code(row: str, method: int, tmp_path: Path) -> None:
    code, members = HOSTILE[row]
    with pytest.raises(NocturneInputError) as caught:
        convert(npz(tmp_path / "f.npz", members, method=method))
    assert code_of(caught) == code
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def _patched(path: Path, place: int, data: bytes) -> Path:
    raw = bytearray(path.read_bytes())
    raw[place : place + len(data)] = data
    path.write_bytes(raw)
    return path


def test_a7_a_wrong_checksum(tmp_path: Path) -> None:
    path = npz(tmp_path / "f.npz", {"x.npy": X, "y.npy": Y})
    _patched(path, path.read_bytes().index(X) + len(X) - 1, b"\x07")
    with pytest.raises(NocturneInputError) as caught:
        convert(path)
    assert code_of(caught) == "archive.inconsistent"
    assert not (tmp_path / "out").exists()


def test_a7_two_names_for_one_member(tmp_path: Path) -> None:
    path = npz(tmp_path / "f.npz", {"x.npy": X, "y.npy": Y})
    _patched(path, path.read_bytes().index(b"x.npy"), b"z.npy")
    with pytest.raises(NocturneInputError) as caught:
        convert(path)
    assert code_of(caught) == "archive.inconsistent"


def test_a38_an_encrypted_member(tmp_path: Path) -> None:
    path = npz(tmp_path / "f.npz", {"x.npy": X, "y.npy": Y})
    _patched(path, path.read_bytes().index(b"PK\x01\x02") + 8, b"\x01")
    with pytest.raises(NocturneInputError) as caught:
        convert(path)
    assert code_of(caught) == "archive.encrypted"


def test_a38_another_packing(tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError) as caught:
        convert(npz(tmp_path / "f.npz", {"x.npy": X, "y.npy": Y}, method=zipfile.ZIP_LZMA))
    assert code_of(caught) == "archive.method"


def test_a8_one_name_twice(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("x.npy", X)
        archive.writestr("y.npy", Y)
        archive.writestr("x.npy", X)
    with pytest.raises(NocturneInputError) as caught:
        convert(path)
    assert code_of(caught) == "archive.duplicate_name"


def test_a35_two_members_on_one_place(tmp_path: Path) -> None:
    path = npz(tmp_path / "f.npz", {"x.npy": Y, "y.npy": Y})
    raw = path.read_bytes()
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)
    _patched(path, second + 42, struct.pack("<I", 0))
    with pytest.raises(NocturneInputError) as caught:
        convert(path)
    assert code_of(caught) == "archive.inconsistent"


def test_a35_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    rows = 20 * 2**20 // 8
    members = {"x.npy": array_bytes(np.zeros((rows, 8), np.float32)), "y.npy": Y}
    with pytest.raises(NocturneInputError) as caught:
        convert(npz(tmp_path / "f.npz", members, method=zipfile.ZIP_DEFLATED))
    assert code_of(caught) == "archive.bomb"


def test_a35_a_size_that_the_contents_lie_about(tmp_path: Path) -> None:
    """Declared sizes agree with the header; the packed data holds less."""
    path = npz(tmp_path / "f.npz", {"x.npy": X[:-4], "y.npy": Y}, method=zipfile.ZIP_DEFLATED)
    central = path.read_bytes().index(b"PK\x01\x02")
    _patched(path, central + 24, struct.pack("<I", len(X)))
    with pytest.raises(NocturneInputError) as caught:
        convert(path)
    assert code_of(caught) in {"npz.size_mismatch", "archive.inconsistent"}


def test_more_than_there_is_room_for(tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError) as caught:
        convert(npz(tmp_path / "f.npz", {"x.npy": X, "y.npy": Y}), limit_bytes=100)
    assert code_of(caught) == "replay.expansion_limit"


def test_a_zip_that_ends_early(tmp_path: Path) -> None:
    path = npz(tmp_path / "f.npz", {"x.npy": X, "y.npy": Y})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(NocturneInputError) as caught:
        convert(path)
    assert code_of(caught) == "archive.inconsistent"
