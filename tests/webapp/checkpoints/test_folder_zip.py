"""The zip that is never written: other programs read it, its length is known, and it is always the same."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from webapp.checkpoints.folder_zip import Member, folder_zip
from webapp.core.segments import Segments, Stretch, size_of


def member(path: Path, name: str, data: bytes) -> Member:
    path.write_bytes(data)
    return Member(name, Stretch(path, 0, len(data)), zlib.crc32(data))


def written(pieces: list[bytes | Stretch]) -> bytes:
    with Segments(pieces) as segments:
        place, out = 0, io.BytesIO()
        while piece := segments.read(place, 2**20):
            place += out.write(piece)
    return out.getvalue()


def test_two_other_readers_take_it_and_its_length_was_known(tmp_path: Path) -> None:
    files = {"model.safetensors": bytes(70_000), "config.json": b"{}", "empty.txt": b""}
    members = [member(tmp_path / name, name, data) for name, data in files.items()]
    pieces = folder_zip(members)
    data = written(pieces)
    assert len(data) == size_of(pieces)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    path = tmp_path / "folder.zip"
    path.write_bytes(data)
    unzip = shutil.which("unzip")
    if unzip is not None:
        assert subprocess.run([unzip, "-tqq", path], check=False, capture_output=True).returncode == 0


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    members = [member(tmp_path / "a", "a", b"one"), member(tmp_path / "b", "b", b"two")]
    assert written(folder_zip(members)) == written(folder_zip(members))


@pytest.mark.parametrize("size", [2**32 - 2, 2**32 - 1, 2**32, 2**32 + 5])
def test_members_around_4_gib_and_what_lies_behind_them(size: int, tmp_path: Path) -> None:
    """Sparse files: headers and places are what is looked at, so nothing of that size is read."""
    large = tmp_path / "large"
    with large.open("wb") as handle:
        handle.truncate(size)
    small = member(tmp_path / "small", "config.json", b'{"a": 1}')
    pieces = folder_zip([Member("model.safetensors", Stretch(large, 0, size), 0), small])
    archive_path = tmp_path / "archive.zip"
    with archive_path.open("wb") as out:
        for piece in pieces:
            if isinstance(piece, bytes):
                out.write(piece)
            elif piece.path == large:
                out.seek(size, 1)
            else:
                out.write(piece.path.read_bytes())
    assert archive_path.stat().st_size == size_of(pieces)
    with zipfile.ZipFile(archive_path) as archive:
        first, second = archive.infolist()
        assert (first.file_size, second.file_size) == (size, 8)
        assert archive.read("config.json") == b'{"a": 1}'
        with archive.open(first) as opened:
            assert opened.read(3) == bytes(3)
    assert (b"PK\x06\x06" in b"".join(p for p in pieces if isinstance(p, bytes))) == (size > 2**32 - 100)


def test_two_members_of_one_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one name"):
        folder_zip([member(tmp_path / "a", "Config.json", b""), member(tmp_path / "b", "config.json", b"")])
