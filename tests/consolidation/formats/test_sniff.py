"""Content decides: rows A1 to A6 as far as nothing is ever opened, and what people upload by mistake."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.checkpoint import inspect_checkpoint
from consolidation.formats.records import convert_records
from tests.consolidation.formats.files import code_of, mlp_file


class Payload:
    """Unpickled, it would leave a mark."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("canary-was-executed",)


def _torch_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload()))
        archive.writestr("archive/version", "3")
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"abcd"))
    return buffer.getvalue()


WRONG: dict[str, tuple[str, bytes]] = {
    **{f"A1-pickle-protocol-{n}": ("pickle.not_supported", pickle.dumps(Payload(), n)) for n in (2, 3, 4, 5)},
    "A1-torch-zip": ("pickle.not_supported", _torch_zip()),
    "A4-payload-then-broken": ("pickle.not_supported", pickle.dumps(Payload(), 4)[:-5] + b"\xff" * 100),
    "A5-gzip": ("container.unsupported", gzip.compress(bytes(100))),
    "A5-7z": ("container.unsupported", b"7z\xbc\xaf\x27\x1c" + bytes(50)),
    "A5-rar": ("container.unsupported", b"Rar!\x1a\x07\x01\x00" + bytes(50)),
    "A5-xz": ("container.unsupported", b"\xfd7zXZ\x00" + bytes(50)),
    "A5-zstd": ("container.unsupported", b"\x28\xb5\x2f\xfd" + bytes(50)),
    "A6-pickle-in-ascii": ("type.mismatch", pickle.dumps(Payload(), 0)),
    "A11-tar": ("pytorch.legacy_format", _tar()),
    "html": ("type.mismatch", b"<!DOCTYPE html><html><body>Log in</body></html>"),
    "lfs-pointer": ("type.mismatch", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"),
    "hdf5": ("type.mismatch", b"\x89HDF\r\n\x1a\n" + bytes(100)),
    "gguf": ("type.mismatch", b"GGUF\x03\x00\x00\x00" + bytes(100)),
    "utf16": ("type.mismatch", "this is text".encode("utf-16")),
    "empty": ("file.empty", b""),
}


# Where weights belong, a pickle is read step by step as far as it goes.
STEPS = {
    **{f"A1-pickle-protocol-{n}": "pickle.global_forbidden" for n in (2, 3, 4, 5)},
    "A1-torch-zip": "pickle.global_forbidden",
    "A4-payload-then-broken": "pickle.global_forbidden",
}


@pytest.mark.parametrize("row", [row for row in WRONG if row != "gguf"])
@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "weights"])
def test_a_checkpoint_of_another_kind_is_named_and_not_opened(
    row: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, data = WRONG[row]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NocturneInputError) as caught:
        inspect_checkpoint(tmp_path / name, out=tmp_path / "out")
    assert code_of(caught) == STEPS.get(row, code)
    assert name in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "row", [row for row in WRONG if row != "utf16" and "html" not in row and "lfs" not in row]
)
def test_records_of_another_kind_are_named_and_not_opened(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, data = WRONG[row]
    if row == "A11-tar":  # a tar may hold records, and this one does not
        code = "container.unsupported"
    (tmp_path / "records.npz").write_bytes(data)
    with pytest.raises(NocturneInputError) as caught:
        convert_records(tmp_path / "records.npz", task="t", out=tmp_path / "out")
    assert code_of(caught) == code
    assert [path.name for path in tmp_path.iterdir()] == ["records.npz"]


def test_a_text_file_named_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("Dear reader,\nthis is a letter with ümlauts and no model.\n" * 200)
    with pytest.raises(NocturneInputError, match=r"model\.safetensors is plain text") as caught:
        inspect_checkpoint(path)
    assert code_of(caught) == "type.mismatch"


def test_records_where_a_checkpoint_belongs_and_the_reverse(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=np.zeros((2, 4)), y=np.zeros(2, np.int64))
    with pytest.raises(NocturneInputError) as caught:
        inspect_checkpoint(tmp_path / "r.npz")
    assert code_of(caught) == "type.mismatch"
    with pytest.raises(NocturneInputError) as caught:
        convert_records(mlp_file(tmp_path / "m"), task="t", out=tmp_path / "out")
    assert code_of(caught) == "type.mismatch"


def test_a_foreign_name_is_cut_and_made_printable(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("text")
    with pytest.raises(NocturneInputError) as caught:
        inspect_checkpoint(tmp_path / "f", filename="\x1b[31m" + "a" * 300)
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 250
