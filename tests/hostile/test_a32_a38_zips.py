"""Rows A7, A8 and A32 to A38 as zips: archives that two programs would read in two ways, or that explode."""

from __future__ import annotations

import io
import stat
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.region import Region
from consolidation.formats.zip_reader import read_zip
from tests.consolidation.formats.files import code_of

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def made(members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def refused(tmp_path: Path, data: bytes, *, reading: bool = False) -> str:
    """The code with which it is refused: when it is opened, or only while it is read."""
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    if reading:
        members = read_zip(Region.of(path))
        with pytest.raises(NocturneInputError) as caught:
            for member in members.values():
                for _ in member.chunks():
                    pass
    else:
        with pytest.raises(NocturneInputError) as caught:
            read_zip(Region.of(path))
    return code_of(caught)


GOOD = made({"a/x": b"one", "a/y": b"two" * 100})


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_good_one_is_read_as_the_standard_library_reads_it(method: int, tmp_path: Path) -> None:
    content = {"a/x": b"", "a/y": bytes(range(256)) * 50_000, "z": b"text"}
    (tmp_path / "a.zip").write_bytes(made(content, method=method))
    assert {n: b"".join(m.chunks()) for n, m in read_zip(Region.of(tmp_path / "a.zip")).items()} == content


def test_one_that_was_streamed_has_descriptors_and_is_read_too(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(memoryview(data))  # type: ignore[arg-type]
            return len(memoryview(data))  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"one" * 99)
        archive.writestr("y", b"two")
    (tmp_path / "a.zip").write_bytes(pipe.data)
    assert {n: m.read(1000) for n, m in read_zip(Region.of(tmp_path / "a.zip")).items()} == {
        "x": b"one" * 99, "y": b"two",
    }  # fmt: skip


def test_a_name_of_another_alphabet_needs_no_flag_to_be_read(tmp_path: Path) -> None:
    """A Mac's archives and `zip` have UTF-8 and do not say so."""
    flags, text = struct.pack("<H", 0), "read-\u6587.md"
    data = made({text: b"one"})
    data = changed(changed(data, LOCAL, 6, flags), CENTRAL, 8, flags)
    (tmp_path / "a.zip").write_bytes(data)
    assert list(read_zip(Region.of(tmp_path / "a.zip"))) == [text]
    other = data.replace("\u6587".encode(), b"\xce\xc4\xff")
    assert refused(tmp_path, other) == "archive.name_conflict"


def test_a35_bytes_behind_the_end_of_a_packing_are_not_heaped_up(tmp_path: Path) -> None:
    size = 16 * 2**20
    packing = zlib.compress(b"x")[2:-4]
    stored = made({"x": packing + bytes(size)})
    wide = struct.pack("<3I", zlib.crc32(b"x"), len(packing) + size, 1)
    method = struct.pack("<H", 8)
    data = changed(changed(stored, LOCAL, 8, method), LOCAL, 14, wide)
    data = changed(changed(data, CENTRAL, 10, method), CENTRAL, 16, wide)
    path = tmp_path / "b.zip"
    path.write_bytes(data)
    member = read_zip(Region.of(path))["x"]
    tracemalloc.start()
    try:
        with pytest.raises(NocturneInputError) as caught:
            list(member.chunks())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code_of(caught) == "archive.inconsistent"
    assert most < 14 * 2**20


PATHS = {
    "up": "../x", "up-inside": "a/../../x", "absolute": "/x", "drive": "C:\\x", "drive-slash": "C:/x",
    "backslash": "a\\x", "double-slash": "a//x", "dot": "./x", "dot-inside": "a/./x",
    "percent": "%2e%2e/x", "double-percent": "a/%252e%252e/x", "percent-slash": "a%2fx",
    "percent-zero": "a%00",
}  # fmt: skip


@pytest.mark.parametrize("row", PATHS)
def test_a32_no_name_leads_out(row: str, tmp_path: Path) -> None:
    name = PATHS[row]
    # The standard library writes some of them otherwise, so the name is put in afterwards.
    plain = "q" * len(name)
    data = made({plain: b"x"}).replace(plain.encode(), name.encode())
    assert refused(tmp_path, data) == "archive.path_traversal"


KINDS = {
    "A33-symlink": (stat.S_IFLNK | 0o777, "archive.link_forbidden"),
    "A33-fifo": (stat.S_IFIFO | 0o644, "archive.special_file"),
    "A33-device": (stat.S_IFCHR | 0o644, "archive.special_file"),
    "A33-socket": (stat.S_IFSOCK | 0o644, "archive.special_file"),
    "A33-setuid": (stat.S_IFREG | stat.S_ISUID | 0o755, "archive.special_file"),
}


@pytest.mark.parametrize("row", KINDS)
def test_a_member_is_a_plain_file(row: str, tmp_path: Path) -> None:
    mode, code = KINDS[row]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, "/etc/passwd")
    assert refused(tmp_path, buffer.getvalue()) == code


def changed(data: bytes, signature: bytes, at: int, new: bytes, *, which: int = 0) -> bytes:
    """Other bytes at a place of the header that begins with a signature."""
    place = -1
    for _ in range(which + 1):
        place = data.index(signature, place + 1)
    return data[: place + at] + new + data[place + at + len(new) :]


def _overlapping() -> bytes:
    """Two entries of the contents that share one member's bytes."""
    data = made({"a": b"same", "b": b"same"})
    second = data.index(CENTRAL, data.index(CENTRAL) + 1)
    entry = data[second : second + 42] + struct.pack("<I", 0) + b"a"
    return data[:second] + entry + data[second + 47 :]


CONTRADICTIONS = {
    "A7-bad-checksum-in-both-tables": (
        changed(changed(GOOD, LOCAL, 14, b"\1\2\3\4"), CENTRAL, 16, b"\1\2\3\4"),
        "archive.inconsistent", True,
    ),
    "A7-bad-checksum-in-one": (changed(GOOD, CENTRAL, 16, b"\1\2\3\4"), "archive.inconsistent", False),
    "A7-encrypted": (
        changed(changed(GOOD, LOCAL, 6, b"\x01"), CENTRAL, 8, b"\x01"), "archive.encrypted", False,
    ),
    "A38-encrypted-in-the-contents-only": (changed(GOOD, CENTRAL, 8, b"\x01"), "archive.encrypted", False),
    "A7-other-name-in-its-own-header": (changed(GOOD, LOCAL, 30, b"b"), "archive.inconsistent", False),
    "A7-other-size-in-its-own-header": (changed(GOOD, LOCAL, 22, b"\x02"), "archive.inconsistent", False),
    "A38-method": (
        changed(changed(GOOD, LOCAL, 8, b"\x0c"), CENTRAL, 10, b"\x0c"), "archive.method", False,
    ),
    "A37-a-file-by-its-name-and-a-folder-by-its-attributes": (
        changed(GOOD, CENTRAL, 38, b"\x10"), "archive.inconsistent", False,
    ),
    "A37-a-folder-with-content": (
        made({"ab": b"one"}).replace(b"ab", b"a/"), "archive.inconsistent", False,
    ),
    "A37-prepended-program": (b"\x7fELF" + bytes(60) + GOOD, "archive.inconsistent", False),
    "A37-appended": (GOOD + b"MZ", "archive.inconsistent", False),
    "A37-two-end-records": (GOOD + GOOD[GOOD.index(END) :], "archive.inconsistent", False),
    "A37-comment-with-an-end-record": (
        changed(GOOD, END, 20, struct.pack("<H", 22)) + END + bytes(18), "archive.inconsistent", False,
    ),
    "A37-fewer-members-than-said": (changed(GOOD, END, 8, b"\3\0\3\0"), "archive.inconsistent", False),
    "A37-more-members-than-said": (changed(GOOD, END, 8, b"\1\0\1\0"), "archive.inconsistent", False),
    "A35-zip64-lies": (changed(GOOD, END, 16, b"\xff\xff\xff\xff"), "archive.inconsistent", False),
    "A35-zip64-size-without-its-field": (
        changed(GOOD, CENTRAL, 24, b"\xff\xff\xff\xff"), "archive.inconsistent", False,
    ),
    "A35-two-entries-of-one-member": (_overlapping(), "archive.overlap", False),
    "truncated": (GOOD[:-30], "archive.inconsistent", False),
    "nothing-but-a-signature": (LOCAL, "archive.inconsistent", False),
}  # fmt: skip


@pytest.mark.parametrize("row", CONTRADICTIONS)
def test_what_contradicts_itself_is_refused(row: str, tmp_path: Path) -> None:
    data, code, reading = CONTRADICTIONS[row]
    assert refused(tmp_path, data, reading=reading) == code


def test_a35_a_member_that_says_that_it_unpacks_to_a_hundred_thousand_times_as_much(tmp_path: Path) -> None:
    data = made({"x": bytes(100_000_000)}, method=zipfile.ZIP_DEFLATED)
    assert len(data) < 200_000
    assert refused(tmp_path, data) == "archive.bomb"


def test_a35_one_that_says_less_than_it_unpacks_to(tmp_path: Path) -> None:
    data = made({"x": bytes(30_000_000)}, method=zipfile.ZIP_DEFLATED)
    few = struct.pack("<I", 1000)
    lied = changed(changed(data, LOCAL, 22, few), CENTRAL, 24, few)
    began = time.process_time()
    assert refused(tmp_path, lied, reading=True) == "archive.bomb"
    assert time.process_time() - began < 2


NAMES = {
    "A36-twice": (["x", "X"], "archive.name_conflict"),
    "A36-two-ways-to-write-a-letter": (["\u00e9", "e\u0301"], "archive.name_conflict"),
    "A36-file-and-folder": (["x", "x/y"], "archive.name_conflict"),
    "A36-reserved": (["con.txt"], "archive.name_conflict"),
    "A36-trailing-dot": (["x."], "archive.name_conflict"),
    "A36-control-character": (["x\x1b"], "archive.name_conflict"),
    "A36-right-to-left": (["x\u202etp.exe"], "archive.name_conflict"),
    "A36-long": (["x" * 300], "archive.name_conflict"),
    "A36-deep": (["/".join("abcdefghijklmnopqrs")], "archive.name_conflict"),
    "A36-too-many": ([f"{n}" for n in range(2100)], "archive.too_many"),
}


@pytest.mark.parametrize("row", NAMES)
def test_names_that_not_every_system_keeps(row: str, tmp_path: Path) -> None:
    names, code = NAMES[row]
    assert refused(tmp_path, made(dict.fromkeys(names, b""))) == code


def test_a8_two_members_of_one_name(tmp_path: Path) -> None:
    data = made({"x": b"1", "y": b"2"})
    assert refused(tmp_path, data.replace(b"y", b"x")) == "archive.duplicate_name"


def test_a36_a_name_of_no_bytes(tmp_path: Path) -> None:
    data = made({"x": b""})
    local, central = data.index(LOCAL), data.index(CENTRAL)
    row = data[central : data.index(END)]
    short = data[local : local + 26] + b"\0\0" + data[local + 28 : local + 30]
    entry = row[:28] + b"\0\0" + row[30:46]
    end = END + struct.pack("<4H2IH", 0, 0, 1, 1, len(entry), len(short), 0)
    assert refused(tmp_path, short + entry + end) == "archive.path_traversal"
