"""Rows A46, A47 and A50 to A54: records as attackers, careless programs and honest people write them."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consolidation.demo
from consolidation.errors import NocturneInputError
from consolidation.formats import lines
from consolidation.formats.records import convert_records
from consolidation.memory.store import Records
from tests.consolidation.formats.files import array_bytes, code_of, npy, npz

DIGITS = Path(consolidation.demo.__file__).with_name("digits.npz")
GOOD = b'{"x": [1, 2.5], "y": 1}\n'
HEADER = b"a,b,y\n"
FINE = b"1,2.5,1\n"
BLANK = b" " * (2**20 - 1) + b"\n"
X = array_bytes(np.zeros((2, 3), np.float32))
Y = array_bytes(np.zeros(2, np.int64))
HEAD = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n"


def convert(path: Path, **options: Any) -> dict[str, Any]:
    return convert_records(path, task="t", out=path.with_name("out"), **options)


def refused(path: Path, data: bytes, **options: Any) -> Any:
    """The refusal of a file with this content; nothing of it is left beside it."""
    path.write_bytes(data)
    with pytest.raises(NocturneInputError) as caught:
        convert(path, **options)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    return caught


# ------------------------------------------------------------ A46, A51: JSON Lines and CSV

LINES: dict[str, tuple[str, bytes]] = {
    "A46-line-of-2-MB": ("jsonl.line_limit", b'{"x": [' + b"1," * 2**20 + b'1], "y": 0}'),
    "A46-no-newline-3-MB": ("jsonl.line_limit", b'{"x": "' + b"a" * 3 * 2**20),
    "A46-depth-100000": ("jsonl.depth", b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "y": 0}'),
    "A46-5000-digits": ("jsonl.number", b'{"x": [1, ' + b"9" * 5000 + b'], "y": 0}'),
    "A46-nan": ("jsonl.number", b'{"x": [1, NaN], "y": 0}'),
    "A46-infinity": ("jsonl.number", b'{"x": [1, -Infinity], "y": 0}'),
    "A46-overflowing-float": ("jsonl.number", b'{"x": [1, 1e999], "y": 0}'),
    "A46-too-big-for-float32": ("jsonl.number", b'{"x": [1, 1e39], "y": 0}'),
    "A46-duplicate-key": ("jsonl.duplicate_key", b'{"x": [1, 2], "y": 0, "y": 1}'),
    "A46-lone-surrogate": ("jsonl.encoding", b'{"x": [1, 2], "y": "\\ud800"}'),
    "A46-nul": ("jsonl.encoding", b'{"x": [1, 2], "y": 0\0}'),
    "A46-not-utf8": ("jsonl.encoding", b'{"x": [1, 2], "y": "\xff"}'),
    "A46-cr-only": ("jsonl.encoding", GOOD.replace(b"\n", b"\r") * 3),
    "A46-not-json": ("jsonl.syntax", b"{x: 1}"),
    "A51-a-list": ("replay.schema", b"[1, 2]"),
    "A51-no-label": ("replay.schema", b'{"x": [1, 2]}'),
    "A51-label-is-text": ("replay.schema", b'{"x": [1, 2], "y": "3"}'),
    "A51-label-is-true": ("replay.schema", b'{"x": [1, 2], "y": true}'),
    "A51-label-is-a-fraction": ("replay.schema", b'{"x": [1, 2], "y": 1.5}'),
    "A51-unknown-key": ("replay.schema", b'{"x": [1, 2], "y": 1, "colour": "red"}'),
    "A51-width-changes": ("replay.schema", b'{"x": [1, 2, 3], "y": 1}'),
    "A51-ragged": ("replay.schema", b'{"x": [[1, 2], [3]], "y": 1}'),
    "A51-text-in-x": ("replay.schema", b'{"x": [1, "2"], "y": 1}'),
    "A51-null-in-x": ("replay.schema", b'{"x": [1, null], "y": 1}'),
    "A51-logits-suddenly": ("replay.schema", b'{"x": [1, 2], "y": 1, "logits": [0, 1]}'),
}


TABLES: dict[str, tuple[str, bytes]] = {
    "A46-csv-line-of-2-MB": ("csv.line_limit", b"1," * 2**20 + b"1"),
    "A46-csv-no-newline-3-MB": ("csv.line_limit", b"1" * 3 * 2**20),
    "A46-csv-5000-digits": ("csv.number", b"1," + b"9" * 5000 + b",1"),
    "A46-csv-nan": ("csv.number", b"1,nan,1"),
    "A46-csv-infinity": ("csv.number", b"1,-inf,1"),
    "A46-csv-too-big-for-float32": ("csv.number", b"1,1e39,1"),
    "A46-csv-underscores": ("csv.number", b"1,1_000,1"),
    "A46-csv-other-digits": ("csv.number", "1,٣,1".encode()),
    "A46-csv-decimal-comma": ("csv.number", b'1,"2,5",1'),
    "A46-csv-empty-field": ("csv.number", b"1,,1"),
    "A46-csv-nul": ("csv.encoding", b"1,2\0,1"),
    "A46-csv-latin-1": ("csv.encoding", b"1,2,\xe4"),
    "A46-csv-cr-only": ("csv.encoding", FINE.replace(b"\n", b"\r") * 3),
    "A46-csv-open-quote": ("csv.syntax", b'1,"2,1\n' + FINE),
    "A46-csv-field-of-200-KB": ("csv.syntax", b'"' + b"1" * 200_000 + b'",2,1'),
    "A51-csv-fields-missing": ("replay.schema", b"1,1"),
    "A51-csv-fields-too-many": ("replay.schema", b"1,2,3,1"),
    "A51-csv-label-is-text": ("replay.schema", b"1,2,cat"),
    "A51-csv-label-is-a-fraction": ("replay.schema", b"1,2,1.5"),
    "A52-csv-formula-in-a-number": ("csv.number", b'"=HYPERLINK(""http://a.example"")",2,1'),
    "A52-csv-html-in-a-number": ("csv.number", b"<script>alert(1)</script>,2,1"),
}
HEADERS: dict[str, bytes] = {
    "none": b"1,2,3\n", "no-label": b"a,b\n", "two-labels": b"a,y,label\n", "twice": b"a,A,y\n",
    "nameless": b"a,,y\n", "label-only": b"y\n", "logits-with-a-gap": b"a,y,logits_0,logits_2\n",
    "two-spellings": b"a,y,license,licence\n", "text": b"Dear reader,\nthis is a letter.\n",
    "A48-columns": b",".join(b"c%d" % n for n in range(20_000)) + b",y\n",
}  # fmt: skip


@pytest.mark.parametrize("row", [*LINES, *TABLES])
def test_a_bad_line_is_refused_with_its_number(row: str, tmp_path: Path) -> None:
    code, line = (LINES | TABLES)[row]
    data = GOOD * 6 + line if row in LINES else HEADER + FINE * 5 + line
    caught = refused(tmp_path / ("f.jsonl" if row in LINES else "f.csv"), data)
    assert caught.value.message.startswith("Line 7: ")
    assert code_of(caught) == code
    assert caught.value.detail["lines"][0]["line"] == 7


@pytest.mark.parametrize("row", [*LINES, *TABLES])
def test_a_bad_line_is_found_inside_gzip_too(row: str, tmp_path: Path) -> None:
    code, line = (LINES | TABLES)[row]
    data = GOOD * 6 + line if row in LINES else HEADER + FINE * 5 + line
    name = "f.jsonl.gz" if row in LINES else "f.csv.gz"
    caught = refused(tmp_path / name, gzip.compress(data, 1))
    assert (code_of(caught), caught.value.detail["lines"][0]["line"]) == (code, 7)


@pytest.mark.parametrize("row", HEADERS)
def test_a_csv_says_in_its_first_line_what_its_columns_are(row: str, tmp_path: Path) -> None:
    assert code_of(refused(tmp_path / "f.csv", HEADERS[row] + FINE)) == "csv.header"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("f.jsonl", b"\xef\xbb\xbf" + GOOD, "jsonl.encoding"),
        ("f.jsonl", GOOD.decode().encode("utf-16"), "jsonl.encoding"),
        ("f.jsonl", b"\0" + GOOD, "jsonl.encoding"),
        ("f.csv", HEADER.decode().encode("utf-16"), "csv.encoding"),
        ("f.csv", b"gr\xf6\xdfe,y\n1,1\n", "csv.encoding"),
    ],
    ids=["A46-byte-order-mark", "A46-utf16", "A46-nul-first", "A46-csv-utf16", "A46-csv-latin-1-header"],
)
def test_a_wrong_encoding_is_seen_on_the_first_line(
    name: str, data: bytes, code: str, tmp_path: Path
) -> None:
    caught = refused(tmp_path / name, data)
    assert (code_of(caught), caught.value.message[:8]) == (code, "Line 1: ")


def test_a46_a_line_without_end_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(GOOD + b'{"x": [')
    with path.open("r+b") as handle:
        handle.truncate(2**28)  # as long as a file of 2 GB is to a reader that holds 1 MB
    with pytest.raises(NocturneInputError, match=r"^Line 2: it is longer") as caught:
        convert(path)
    assert code_of(caught) == "jsonl.line_limit"


@pytest.mark.parametrize(
    ("first", "good", "from_line"), [(b"", GOOD, 2), (HEADER, FINE, 3)], ids=["json", "csv"]
)
def test_a46_the_first_twenty_bad_lines_and_the_total(
    first: bytes, good: bytes, from_line: int, tmp_path: Path
) -> None:
    caught = refused(tmp_path / "f", first + (good + b"oops\n") * 500)
    assert "500 lines are bad in all" in caught.value.message
    bad = caught.value.detail["lines"]
    assert [item["line"] for item in bad] == list(range(from_line, from_line + 40, 2))
    assert all(set(item) == {"line", "code", "message"} and len(item["message"]) < 300 for item in bad)
    assert caught.value.detail["total"] == 500


# ------------------------------------------------------------ A47: packed


def test_a47_a_bomb_is_read_no_further_than_its_limit(tmp_path: Path) -> None:
    packed = zlib.compressobj(9, wbits=31)
    data = packed.compress(GOOD) + b"".join(packed.compress(BLANK) for _ in range(80)) + packed.flush()
    assert code_of(refused(tmp_path / "f.jsonl.gz", data)) == "replay.expansion_limit"


def test_a47_a_bomb_of_many_parts_counts_as_one(tmp_path: Path) -> None:
    data = gzip.compress(GOOD) + gzip.compress(BLANK) * 80
    assert code_of(refused(tmp_path / "f.jsonl.gz", data)) == "replay.expansion_limit"
    assert code_of(refused(tmp_path / "f.jsonl.gz", gzip.compress(GOOD) * 10_001)) == "gzip.malformed"


def test_a47_what_unpacks_to_more_than_there_is_room_for(tmp_path: Path) -> None:
    data = gzip.compress(GOOD * 100_000)
    caught = refused(tmp_path / "f.jsonl.gz", data, limit_bytes=100_000)
    assert code_of(caught) == "replay.expansion_limit"


def test_a47_empty_lines_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 1000)
    data = gzip.compress(GOOD + b"\n" * 1000)
    assert code_of(refused(tmp_path / "f.jsonl.gz", data)) == "records.rows"


PACKED = {
    "A47-cut": ("gzip.malformed", gzip.compress(GOOD)[:-9]),
    "A47-checksum": ("gzip.malformed", gzip.compress(GOOD)[:-8] + bytes(8)),
    "A47-rubbish-behind": ("gzip.malformed", gzip.compress(GOOD) + b"rubbish"),
    "A47-header-only": ("gzip.malformed", gzip.compress(GOOD)[:10]),
    "A47-gzip-in-gzip": ("container.unsupported", gzip.compress(gzip.compress(GOOD))),
    "A47-npz-in-gzip": ("container.unsupported", gzip.compress(b"PK\x03\x04" + bytes(100))),
    "A47-pickle-in-gzip": ("container.unsupported", gzip.compress(b"\x80\x04K\x01.")),
    "A47-nothing-in-gzip": ("container.unsupported", gzip.compress(b"")),
    "A47-zstd": ("container.unsupported", b"\x28\xb5\x2f\xfd" + bytes(100)),
}


@pytest.mark.parametrize("row", PACKED)
def test_what_is_packed_in_another_way_or_badly_is_refused(row: str, tmp_path: Path) -> None:
    code, data = PACKED[row]
    assert code_of(refused(tmp_path / "f.jsonl.gz", data)) == code


@pytest.mark.parametrize("parts", [1, 3])
def test_a_packed_file_is_read_as_what_it_holds(parts: int, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD * 2) * parts)
    assert convert(path)["rows"] == 2 * parts


# ------------------------------------------------------------ A50: arrays

ARRAYS: dict[str, tuple[str, dict[str, bytes]]] = {
    "A50-object-array": (
        "npz.pickle_forbidden",
        {"x.npy": array_bytes(np.array([{"a": 1}, None], dtype=object), allow_pickle=True), "y.npy": Y},
    ),
    "A50-object-with-size": (
        "npz.pickle_forbidden",
        {"x.npy": npy(HEAD % ("|O8", "(2, 3)"), bytes(48)), "y.npy": Y},
    ),
    "A50-shape-of-a-trillion": (
        "npz.size_mismatch",
        {"x.npy": npy(HEAD % ("<f4", "(1000000000000,)")), "y.npy": Y},
    ),
    "A50-shape-product-wraps": (
        "npz.size_mismatch",
        {"x.npy": npy(HEAD % ("<f4", f"({2**62}, 5)"), bytes(16)), "y.npy": Y},
    ),
    "A50-one-byte-short": ("npz.size_mismatch", {"x.npy": X[:-1], "y.npy": Y}),
    "A50-one-byte-long": ("npz.size_mismatch", {"x.npy": X + b"\0", "y.npy": Y}),
    "A50-header-of-1-MB": ("npz.header", {"x.npy": npy(" " * 2**20, version=b"\x02\x00"), "y.npy": Y}),
    "A50-member-not-npy": ("npz.header", {"x.npy": X, "y.npy": Y, "run.py": b"import os"}),
    "A50-no-magic": ("npz.header", {"x.npy": b"PK" + X[2:], "y.npy": Y}),
    "A50-too-short": ("npz.header", {"x.npy": b"\x93NUMPY", "y.npy": Y}),
    "A50-version-3": (
        "npz.header",
        {"x.npy": npy(HEAD % ("<f4", "(2, 3)"), bytes(24), version=b"\x03\x00"), "y.npy": Y},
    ),
    "A50-header-is-code": ("npz.header", {"x.npy": npy("__import__('os').system('id')"), "y.npy": Y}),
    "A50-header-extra-key": (
        "npz.header",
        {
            "x.npy": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}", bytes(24)),
            "y.npy": Y,
        },
    ),
    "A50-header-key-twice": (
        "npz.header",
        {"x.npy": npy("{'descr': '<f4', 'descr': '<f4', 'shape': (2, 3)}", bytes(24)), "y.npy": Y},
    ),
    "A50-negative-shape": ("npz.header", {"x.npy": npy(HEAD % ("<f4", "(-2, 3)"), bytes(24)), "y.npy": Y}),
    "A50-nine-dimensions": (
        "npz.header",
        {"x.npy": npy(HEAD % ("<f4", str((1,) * 9)), bytes(4)), "y.npy": Y},
    ),
    "A50-structured": (
        "npz.dtype",
        {"x.npy": array_bytes(np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])), "y.npy": Y},
    ),
    "A50-datetime": ("npz.dtype", {"x.npy": npy(HEAD % ("<M8[ns]", "(2,)"), bytes(16)), "y.npy": Y}),
    "A50-text": ("npz.dtype", {"x.npy": array_bytes(np.array([["a"], ["b"]])), "y.npy": Y}),
    "A50-complex": ("npz.dtype", {"x.npy": array_bytes(np.zeros((2, 3), np.complex64)), "y.npy": Y}),
    "A50-version-2-header-of-4-GB": (
        "npz.header",
        {"x.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr': '<f4'}", "y.npy": Y},
    ),
    "A50-version-3-names-in-utf8": (
        "npz.header",
        {"x.npy": array_bytes(np.zeros(2, [("ä", "f4")])).replace(b"\x01\x00", b"\x03\x00", 1), "y.npy": Y},
    ),
    "A50-timedelta": ("npz.dtype", {"x.npy": npy(HEAD % ("<m8[s]", "(2,)"), bytes(16)), "y.npy": Y}),
    "A50-void": ("npz.dtype", {"x.npy": npy(HEAD % ("|V8", "(2,)"), bytes(16)), "y.npy": Y}),
    "A50-subarray": (
        "npz.dtype",
        {"x.npy": npy("{'descr': ('<f4', (3,)), 'fortran_order': False, 'shape': (2,), }"), "y.npy": Y},
    ),
    "A50-object-label": (
        "npz.pickle_forbidden",
        {"x.npy": X, "y.npy": array_bytes(np.array([1, 2], dtype=object), allow_pickle=True)},
    ),
    "A50-float-labels": ("npz.dtype", {"x.npy": X, "y.npy": array_bytes(np.zeros(2))}),
}


@pytest.mark.parametrize("row", ARRAYS)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_hostile_archive_is_refused_with_its_code(row: str, method: int, tmp_path: Path) -> None:
    code, members = ARRAYS[row]
    data = npz(tmp_path / "f.npz", members, method=method).read_bytes()
    assert code_of(refused(tmp_path / "f.npz", data)) == code


def test_numpy_itself_would_have_unpickled_the_object_array(tmp_path: Path) -> None:
    """The row above is about a real danger: with allow_pickle numpy runs what it finds."""
    code, members = ARRAYS["A50-object-array"]
    path = npz(tmp_path / "f.npz", members)
    with np.load(path, allow_pickle=False) as archive, pytest.raises(ValueError, match="allow_pickle"):
        archive["x"]
    assert code == "npz.pickle_forbidden"


# ------------------------------------------------------------ A51: what does not fit the rest


@pytest.mark.parametrize(
    ("data", "place"),
    [(GOOD + b"\n" + b'{"x": [1, 2], "y": 12}\n', "Line 3: "), (HEADER + FINE + b"1,2,12\n", "Line 3: ")],
    ids=["jsonl", "csv"],
)
def test_a51_a_label_outside_of_the_declared_ones(data: bytes, place: str, tmp_path: Path) -> None:
    caught = refused(tmp_path / "f", data, classes=10)
    assert caught.value.message.startswith(f"{place}the label is 12")
    assert code_of(caught) == "replay.schema"


@pytest.mark.parametrize(
    "moment", ["99999-01-01", "year 99999", "1969-12-31", "2027-02-30", "2027-01-31T25:00:00Z", "0001-01-01"]
)
def test_a51_an_expiry_that_no_calendar_has(moment: str, tmp_path: Path) -> None:
    line = f'{{"x": [1, 2], "y": 1, "expiry": "{moment}"}}\n'.encode()
    caught = refused(tmp_path / "f.jsonl", GOOD + line)
    assert (code_of(caught), caught.value.message[:8]) == ("replay.schema", "Line 2: ")
    (tmp_path / "f.jsonl").unlink()
    caught = refused(tmp_path / "f.csv", b"a,y,expiry\n1,1,\n" + f"1,1,{moment}\n".encode())
    assert (code_of(caught), caught.value.message[:8]) == ("replay.schema", "Line 3: ")


# ------------------------------------------------------------ A53: whose they are


def test_a53_records_without_an_owner_are_counted(tmp_path: Path) -> None:
    rows = b"a,y,owner,licence\n" + b"1,1,ann,CC0\n" * 3 + b"1,1,,CC0\n" * 2 + b"1,1,bob,\n" * 4
    caught = refused(tmp_path / "f.csv", rows, rights_required=True)
    assert code_of(caught) == "replay.rights_missing"
    assert caught.value.detail == {"missing": 6, "rows": 9}
    assert "2 without an owner, 4 without a licence or a purpose" in caught.value.message


def test_a53_one_word_for_the_whole_set_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(GOOD + b'{"x": [1, 2], "y": 1, "owner": "ann", "expiry": "2040-01-01"}\n')
    told = {"owner": "bob", "purpose": "support", "expiry": "2030-01-01"}
    info = convert(path, rights=told, rights_required=True)
    assert sorted(info["rights"]) == ["expiry", "owner", "purpose"]
    rights = Records.open(tmp_path / "out").rights
    assert rights.owner is not None and rights.purpose is not None and rights.expiry is not None
    assert [rights.owner[row] for row in range(2)] == ["bob", "ann"]
    assert rights.purpose[1] == "support"
    assert list(rights.expiry) == [1_893_456_000, 2_208_988_800]


def test_a53_npz_says_nothing_of_its_records(tmp_path: Path) -> None:
    data = npz(tmp_path / "f.npz", {"x.npy": X, "y.npy": Y}).read_bytes()
    assert code_of(refused(tmp_path / "f.npz", data, rights_required=True)) == "replay.rights_missing"
    assert (
        convert(tmp_path / "f.npz", rights={"owner": "a", "licence": "b"}, rights_required=True)["rows"] == 2
    )


@pytest.mark.parametrize(
    "line", [b'{"x": [1], "y": 0, "owner": 7}', b'{"x": [1], "y": 0, "owner": "\\u0007"}']
)
def test_a53_an_owner_is_a_short_text(line: bytes, tmp_path: Path) -> None:
    assert code_of(refused(tmp_path / "f.jsonl", line)) == "replay.schema"


def test_a53_too_many_owners_are_refused_at_once(tmp_path: Path) -> None:
    rows = b"a,y,owner\n" + b"".join(b"1,1,owner %d\n" % n for n in range(5000))
    assert code_of(refused(tmp_path / "f.csv", rows)) == "records.rights"


# ------------------------------------------------------------ A54: poisoned, or careless


def made(tmp_path: Path, x: Any, y: Any) -> list[dict[str, str]]:
    np.savez(tmp_path / "f.npz", x=np.asarray(x), y=np.asarray(y))
    notes: list[dict[str, str]] = convert(tmp_path / "f.npz")["notes"]
    assert all(note["code"] == "replay.skew_warning" and note["text"].isprintable() for note in notes)
    return notes


@pytest.fixture
def honest() -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    return rng.normal(size=(1000, 20)).astype(np.float32), rng.integers(0, 4, 1000)


def test_a54_honest_records_get_no_note(honest: tuple[Any, Any], tmp_path: Path) -> None:
    assert made(tmp_path, *honest) == []


def test_a54_forty_percent_identical_records(honest: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = honest
    x[:401], y[:401] = x[0], y[0]
    (note,) = made(tmp_path, x, y)
    assert note["text"].startswith("400 of 1,000 records (40%) repeat an earlier one")


def test_a54_one_label_floods_the_set(honest: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = honest
    y[:900] = 2
    (note,) = made(tmp_path, x, y)
    assert "carry the label 2" in note["text"]


@pytest.mark.parametrize("value", [9.0, -9.0])
def test_a54_a_mark_that_goes_with_one_label(value: float, honest: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = honest
    x[:50, [3, 7]], y[:50] = value, 3
    (note,) = made(tmp_path, x, y)
    assert f"number 4 of a record is {value:g}" in note["text"]
    assert "the label is 3: in 50 records (2 numbers of a record" in note["text"]


def test_a54_a_mark_that_every_label_has_is_none(honest: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = honest
    x[:50, 3] = 9
    assert made(tmp_path, x, y) == []


def test_a54_the_digits_of_the_demo_are_honest(tmp_path: Path) -> None:
    with np.load(DIGITS) as digits:
        assert made(tmp_path, digits["x"], digits["y"]) == []
