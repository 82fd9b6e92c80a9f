"""Rows A32 to A36 as tars and gzips: names that lead out, members that are no files, bombs."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.folder import open_folder
from consolidation.formats.region import Region
from consolidation.formats.sniff import sniff
from consolidation.formats.tar_reader import read_tar
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.folders import packed
from tests.hostile.test_a32_a38_zips import PATHS

END = bytes(1024)


def header(
    name: bytes = b"x", size: int | bytes = 0, *, kind: bytes = b"0", mode: int = 0o644, gnu: bool = False,
    prefix: bytes = b"", link: bytes = b"",
) -> bytes:  # fmt: skip
    """One header, its checksum right."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    raw = bytearray(512)
    raw[0 : len(name)] = name
    raw[100:108], raw[108:116], raw[116:124] = b"%07o\0" % mode, b"0000000\0", b"0000000\0"
    raw[124:136], raw[136:148], raw[156:157] = field, b"00000000000\0", kind
    raw[157 : 157 + len(link)] = link
    raw[257:265] = b"ustar  \0" if gnu else b"ustar\x0000"
    raw[345 : 345 + len(prefix)] = prefix
    return summed(raw)


def summed(raw: bytearray) -> bytes:
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def member(name: bytes = b"x", content: bytes = b"", **fields: object) -> bytes:
    raw = header(name, len(content), **fields)  # type: ignore[arg-type]
    return raw + content + bytes(-len(content) % 512)


def pax(*lines: bytes, kind: bytes = b"x") -> bytes:
    content = b""
    for line in lines:
        size = len(line) + 3
        while len(b"%d %s\n" % (size, line)) != size:
            size += 1
        content += b"%d %s\n" % (size, line)
    return member(b"pax", content, kind=kind)


def refused(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(NocturneInputError) as caught:
        read_tar(Region.of(tmp_path / "a.tar"))
    return code_of(caught)


def read(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    (tmp_path / "a.tar").write_bytes(data)
    return {name: region.read() for name, region in read_tar(Region.of(tmp_path / "a.tar")).items()}


@pytest.mark.parametrize("row", [row for row in PATHS if row != "dot"])
@pytest.mark.parametrize("way", ["plain", "long", "pax"])
def test_a32_no_name_leads_out_of_a_tar(row: str, way: str, tmp_path: Path) -> None:
    name = PATHS[row].encode()
    data = {
        "plain": member(name, b"x"),
        "long": member(b"././@LongLink", name + b"\0", kind=b"L", gnu=True) + member(b"x", b"x", gnu=True),
        "pax": pax(b"path=" + name) + member(b"x", b"x"),
    }[way]
    assert refused(tmp_path, data + END) == "archive.path_traversal"


def test_a32_the_prefix_of_a_header_leads_nowhere_else_either(tmp_path: Path) -> None:
    assert refused(tmp_path, member(b"x", b"x", prefix=b"..") + END) == "archive.path_traversal"
    assert refused(tmp_path, member(b"x", b"x", prefix=b"/etc") + END) == "archive.path_traversal"
    assert read(tmp_path, member(b"x", b"1", prefix=b"a/b") + END) == {"a/b/x": b"1"}


def test_a32_only_one_dot_at_the_beginning_is_taken_off(tmp_path: Path) -> None:
    assert read(tmp_path, header(b"./", kind=b"5") + member(b"./x", b"1") + END) == {"x": b"1"}
    assert refused(tmp_path, member(b"././x", b"1") + END) == "archive.path_traversal"
    assert refused(tmp_path, member(b"./../x", b"1") + END) == "archive.path_traversal"


KINDS = {
    "A33-hardlink": (header(kind=b"1", link=b"/etc/passwd"), "archive.link_forbidden"),
    "A33-symlink": (header(kind=b"2", link=b"/etc/passwd"), "archive.link_forbidden"),
    "A33-long-link": (member(b"l", b"/etc/passwd\0", kind=b"K", gnu=True), "archive.link_forbidden"),
    "A33-link-in-pax": (pax(b"linkpath=/etc/passwd") + member(), "archive.link_forbidden"),
    "A33-character-device": (header(kind=b"3"), "archive.special_file"),
    "A33-block-device": (header(kind=b"4"), "archive.special_file"),
    "A33-fifo": (header(kind=b"6"), "archive.special_file"),
    "A33-contiguous": (header(kind=b"7"), "archive.special_file"),
    "A33-sparse-gnu": (header(kind=b"S", gnu=True), "archive.special_file"),
    "A33-sparse-pax": (pax(b"GNU.sparse.major=1") + member(), "archive.special_file"),
    "A33-sparse-star": (pax(b"SCHILY.realsize=9999999") + member(), "archive.special_file"),
    "A33-multi-volume": (header(kind=b"M", gnu=True), "archive.special_file"),
    "A33-volume-label": (header(kind=b"V", gnu=True), "archive.special_file"),
    "A33-unknown-kind": (header(kind=b"Z"), "archive.special_file"),
    "A33-setuid": (member(mode=0o4755), "archive.special_file"),
    "A33-setgid": (member(mode=0o2755), "archive.special_file"),
}


@pytest.mark.parametrize("row", KINDS)
def test_a_member_of_a_tar_is_a_plain_file(row: str, tmp_path: Path) -> None:
    data, code = KINDS[row]
    assert refused(tmp_path, member(b"first", b"1") + data + END) == code


def test_a33_permissions_are_not_taken_over(tmp_path: Path) -> None:
    folder = header(b"m/", kind=b"5", mode=0o2777)
    assert read(tmp_path, folder + member(b"m/x", b"1", mode=0o777) + END) == {"m/x": b"1"}


LIES = {
    "A34-chain-of-links": (
        b"".join(header(b"a" * n, kind=b"2", link=b"a" * (n + 1)) for n in range(1, 90)),
        "archive.link_forbidden",
    ),
    "A34-long-name-of-a-megabyte": (
        member(b"././@LongLink", b"a/" * 2**19, kind=b"L", gnu=True) + member(), "archive.name_conflict",
    ),
    "A34-pax-path-of-a-megabyte": (pax(b"path=" + b"a" * 2**20) + member(), "archive.name_conflict"),
    "A34-pax-path-beside-a-long-name": (
        member(b"l", b"y\0", kind=b"L", gnu=True) + pax(b"path=z") + member(), "archive.inconsistent",
    ),
    "A34-path-for-all": (pax(b"path=z", kind=b"g") + member(), "archive.inconsistent"),
    "A34-path-twice": (pax(b"path=z", b"path=y") + member(), "archive.inconsistent"),
    "A34-size-for-all": (pax(b"size=0", kind=b"g") + member(), "archive.inconsistent"),
    "A34-another-size-in-pax": (pax(b"size=0") + member(b"x", b"x" * 600), "archive.inconsistent"),
    "A34-negative-size-in-pax": (pax(b"size=-1") + member(), "archive.inconsistent"),
    "A34-alphabet": (pax(b"hdrcharset=BINARY") + member(), "archive.inconsistent"),
    "A34-pax-without-a-member": (pax(b"path=z"), "archive.inconsistent"),
    "A34-pax-length-lies": (member(b"pax", b"99 path=z\n", kind=b"x") + member(), "archive.inconsistent"),
    "A34-pax-length-too-short": (member(b"p", b"5 path=zz\n", kind=b"x") + member(), "archive.inconsistent"),
    "A34-many-headers-of-headers": (pax(b"comment=x", kind=b"g") * 4100 + member(), "archive.too_many"),
    "A34-path-in-the-time-of-gnu": (member(b"x", gnu=True, prefix=b"evil"), "archive.inconsistent"),
    "A35-size-behind-the-end": (header(b"x", 10**9), "archive.inconsistent"),
    "A35-size-of-a-hundred-digits": (
        header(b"x", b"\x80" + b"\xff" * 11), "archive.inconsistent",
    ),
    "A35-negative-size": (header(b"x", b"\xff" * 12), "archive.inconsistent"),
    "A35-size-is-no-number": (header(b"x", b"1e9" + bytes(9)), "archive.inconsistent"),
    "A35-folder-with-content": (member(b"x/", b"abc", kind=b"5"), "archive.inconsistent"),
    "A35-file-named-like-a-folder": (member(b"x/", b"abc"), "archive.inconsistent"),
    "A36-no-name": (member(b"", b"1"), "archive.inconsistent"),
    "A36-twice": (member(b"x", b"1") + member(b"x", b"2"), "archive.duplicate_name"),
    "A36-capitals": (member(b"x", b"1") + member(b"X", b"2"), "archive.name_conflict"),
    "A36-two-ways-to-write-a-letter": (
        member("\u00e9".encode(), b"1") + member("e\u0301".encode(), b"2"), "archive.name_conflict",
    ),
    "A36-file-and-folder": (member(b"x", b"1") + member(b"x/y", b"2"), "archive.name_conflict"),
    "A36-reserved": (member(b"aux.txt", b"1"), "archive.name_conflict"),
    "A36-trailing-dot": (member(b"x.", b"1"), "archive.name_conflict"),
    "A36-no-text": (member(b"\xff\xfe", b"1"), "archive.name_conflict"),
    "A36-control-character": (member(b"x\x1b[2J", b"1"), "archive.name_conflict"),
    "A36-deep": (member(b"/".join(b"abcdefghijklmnopqrs"[n : n + 1] for n in range(19)), b"1"),
                 "archive.name_conflict"),
    "A36-too-many": (b"".join(header(b"%d" % n) for n in range(2001)), "archive.too_many"),
}  # fmt: skip


@pytest.mark.parametrize("row", LIES)
def test_a_tar_that_lies_is_refused(row: str, tmp_path: Path) -> None:
    data, code = LIES[row]
    assert refused(tmp_path, data + END) == code


def test_a36_a_million_empty_members_are_not_counted_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        file.writelines(header(b"%d" % n) for n in range(2500))
        file.truncate(512 * 10**6)
    with pytest.raises(NocturneInputError) as caught:
        read_tar(Region.of(path))
    assert code_of(caught) == "archive.too_many"


def test_a36_the_folder_of_the_archive_itself_counts_as_a_member(tmp_path: Path) -> None:
    assert refused(tmp_path, header(b"./", kind=b"5") * 2001 + END) == "archive.too_many"


GOOD = member(b"x", b"one") + member(b"y", b"two" * 300)
ENDS = {
    "no-end": GOOD,
    "half-an-end": GOOD + bytes(512),
    "cut-in-a-header": GOOD + END[:100],
    "cut-in-a-member": GOOD[:-600],
    "something-behind": GOOD + END + b"MZ" + bytes(510),
    "a-second-archive-behind": GOOD + END + GOOD + END,
    "a-member-behind-one-empty-block": GOOD + bytes(512) + member(b"z", b"3") + END,
    "zeros-without-end": GOOD + bytes(2**21),
    "wrong-checksum": GOOD[:148] + b"000000\0 " + GOOD[156:] + END,
    "another-checksum-of-the-second": GOOD.replace(b"y" + bytes(99), b"z" + bytes(99)) + END,
    "no-magic": GOOD[:257] + bytes(8) + GOOD[265:] + END,
}


@pytest.mark.parametrize("row", ENDS)
def test_a37_a_tar_is_whole_and_nothing_else(row: str, tmp_path: Path) -> None:
    assert refused(tmp_path, ENDS[row]) == "archive.inconsistent"


def test_what_tarfile_writes_is_read_as_tarfile_reads_it(tmp_path: Path) -> None:
    content = {"a/" + "n" * 150: b"long", "ü": b"", "b": bytes(range(256)) * 9}
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
            for name, data in content.items():
                if form == tarfile.USTAR_FORMAT and len(name) > 100:
                    continue
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as tar:
            theirs = {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
        assert read(tmp_path, buffer.getvalue()) == theirs


# ------------------------------------------------------------------------------------------ gzip


def folder(tmp_path: Path, data: bytes, *, limit: int = 10**9) -> str:
    """The code with which an archive is refused when it is opened; nothing is left beside it."""
    path = tmp_path / "a"
    path.write_bytes(data)
    with ExitStack() as stack, pytest.raises(NocturneInputError) as caught:
        open_folder(
            Region.of(path), sniff(path), filename="a", spool=tmp_path / "s", limit_bytes=limit, stack=stack
        )
    assert [left.name for left in tmp_path.iterdir()] == ["a"]
    return code_of(caught)


def zeros(megabytes: int) -> bytes:
    """A gzip of so many megabytes of nothing, made in flat memory."""
    engine = zlib.compressobj(9, wbits=31)
    return b"".join([*(engine.compress(bytes(2**20)) for _ in range(megabytes)), engine.flush()])


def test_a35_a_gzip_of_nothing_but_zeros_is_stopped_at_its_ratio(tmp_path: Path) -> None:
    assert folder(tmp_path, zeros(66)) == "archive.bomb"


def test_a35_many_members_of_a_gzip_count_as_one(tmp_path: Path) -> None:
    small = gzip.compress(bytes(2**20), 9)
    assert folder(tmp_path, small * 20, limit=10 * 2**20) == "archive.bomb"


def test_a35_the_size_that_a_gzip_says_is_not_believed(tmp_path: Path) -> None:
    data = zeros(12)
    assert folder(tmp_path, data[:-4] + struct.pack("<I", 10), limit=2**20) == "archive.bomb"


def test_a35_members_in_a_row_are_one_tar(tmp_path: Path) -> None:
    tar = packed({"x": b"one", "y": b"two"}, "tar-pax")
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(tar[:700]) + gzip.compress(tar[700:]))
    with ExitStack() as stack:
        found = open_folder(
            Region.of(path), "gzip", filename="a", spool=tmp_path / "s", limit_bytes=10**6, stack=stack
        )
        assert found.paths() == ["x", "y"]


TAR = packed({"x": b"one" * 1000}, "tar-gnu")
DAMAGED = {
    "cut": gzip.compress(TAR)[:-20],
    "garbage behind": gzip.compress(TAR) + b"MZ",
    "wrong checksum": gzip.compress(TAR)[:-8] + b"abcd" + gzip.compress(TAR)[-4:],
    "a head only": gzip.compress(TAR)[:10],
    "a cut tar inside": gzip.compress(TAR[:1000]),
}


@pytest.mark.parametrize("row", DAMAGED)
def test_a_damaged_gzip_is_refused(row: str, tmp_path: Path) -> None:
    code = folder(tmp_path, DAMAGED[row])
    assert code == "archive.inconsistent" or (row == "a cut tar inside" and code == "container.unsupported")


NESTED = {
    "A35-gzip-in-gzip": (gzip.compress(gzip.compress(TAR)), "archive.nested"),
    "A35-zip-in-gzip": (gzip.compress(packed({"x": b"1"})), "archive.nested"),
    "A35-one-file-in-gzip": (gzip.compress(b"just text\n" * 99), "container.unsupported"),
}


@pytest.mark.parametrize("row", NESTED)
def test_an_archive_in_an_archive_is_not_unpacked_any_further(row: str, tmp_path: Path) -> None:
    data, code = NESTED[row]
    assert folder(tmp_path, data) == code
