"""Rows A48 and A49: Parquet that claims more than it holds, or asks for what no table of numbers needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.records import convert_records
from consolidation.memory.store import Records
from tests.consolidation.formats.files import code_of
from tests.hostile import parquet_files as by_hand
from tests.hostile.parquet_files import BINARY, LIST, STRUCT, element, fields, listed, text

ROOT = Path(__file__).resolve().parents[2]
Y = pa.array([0, 1, 2])
X = pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32()))


def convert(path: Path, **options: Any) -> dict[str, Any]:
    return convert_records(path, task="t", out=path.with_name("out"), **{"limit_bytes": 2**30} | options)


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def refused(path: Path, **options: Any) -> Any:
    with pytest.raises(NocturneInputError) as caught:
        convert(path, **options)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    return caught


def _deep(levels: int) -> list[bytes]:
    """A schema of y and of groups in groups."""
    groups = [element(b"g", children=1) for _ in range(levels)]
    return [
        element(b"schema", children=2, repetition=None), element(b"y", physical=2), *groups,
        element(b"a", physical=2),
    ]  # fmt: skip


def _wide(columns: int) -> list[bytes]:
    names = [element(b"c%d" % n, physical=2) for n in range(columns)]
    return [element(b"schema", children=columns + 1, repetition=None), element(b"y", physical=2), *names]


def _promise(children: int) -> list[bytes]:
    return [element(b"schema", children=children, repetition=None), element(b"y", physical=2)]


NUMBERS = bytes(24)
ENCRYPTION = ((8, STRUCT, fields((1, STRUCT, b"\0"))),)
EXTENSION = (
    (5, LIST, listed(STRUCT, [fields(
        (1, BINARY, text(b"ARROW:schema")), (2, BINARY, text(b"QVJST1c6ZXh0ZW5zaW9uOm5hbWU="))
    )])),
)  # fmt: skip
HOSTILE: dict[str, tuple[str, bytes]] = {
    "A48-a-billion-values": ("parquet.limit", by_hand.table(values=10**9)),
    "A48-a-billion-rows": ("parquet.limit", by_hand.table(values=10**9, rows=10**9)),
    "A48-a-billion-in-lists": ("parquet.limit", by_hand.lists(values=10**9, page_values=10**9)),
    "A48-unpacks-to-2-GB": ("parquet.limit", by_hand.table(unpacked=2**31)),
    "A48-unpacks-to-less-than-nothing": ("parquet.malformed", by_hand.table(unpacked=-1)),
    "A48-footer-of-100-MB": ("parquet.limit", by_hand.parquet(bytes(40), length=100 * 2**20)),
    "A48-footer-longer-than-the-file": ("parquet.malformed", by_hand.parquet(bytes(40), length=1000)),
    "A48-footer-of-nothing": ("parquet.malformed", by_hand.parquet(b"")),
    "A48-text-of-2-GB-in-the-footer": (
        "parquet.malformed", by_hand.parquet(bytes([6 << 4 | BINARY]) + by_hand.varint(2**31) + bytes(40)),
    ),
    "A48-list-of-a-billion-in-the-footer": (
        "parquet.malformed",
        by_hand.parquet(bytes([2 << 4 | LIST, 0xF0 | STRUCT]) + by_hand.varint(10**9) + bytes(40)),
    ),
    "A48-footer-of-open-structs": ("parquet.malformed", by_hand.parquet(bytes([0x1C]) * 10_000)),
    "A48-varint-without-end": ("parquet.malformed", by_hand.parquet(bytes([0x16]) + b"\xff" * 100)),
    "A48-nested-500-deep": ("parquet.limit", by_hand.table(schema=_deep(500))),
    "A48-100000-columns": ("parquet.limit", by_hand.table(schema=_wide(100_000))),
    "A48-a-billion-columns-promised": ("parquet.malformed", by_hand.table(schema=_promise(10**9))),
    "A48-fewer-columns-than-promised": ("parquet.malformed", by_hand.table(schema=_promise(1))),
    "A48-rows-that-do-not-add-up": ("parquet.malformed", by_hand.table(group_rows=2)),
    "A48-lists-that-begin-in-the-middle": ("parquet.malformed", by_hand.lists(page_values=10**9, repeats=1)),
    "A48-rows-less-than-none": ("parquet.malformed", by_hand.table(rows=-1, values=-1)),
    "A48-cut": ("parquet.malformed", by_hand.table()[:-20]),
    "A48-magic-only": ("parquet.malformed", b"PAR1PAR1"),
    "A49-encrypted-footer": ("parquet.unsupported", by_hand.parquet(bytes(40), magic=b"PARE")),
    "A49-encrypted-columns-signed-footer": ("parquet.unsupported", by_hand.table(meta=ENCRYPTION)),
    "A49-encrypted-column": (
        "parquet.unsupported", by_hand.table(more=((8, STRUCT, fields((1, STRUCT, b"\0"))),)),
    ),
    "A49-another-file": ("parquet.unsupported", by_hand.table(file=b"../other.parquet")),
    "A49-a-file-of-the-system": ("parquet.unsupported", by_hand.table(file=b"/etc/passwd")),
    "A49-extension-in-the-footer": ("parquet.unsupported", by_hand.table(meta=EXTENSION)),
}  # fmt: skip


@pytest.mark.parametrize("row", HOSTILE)
def test_a_hostile_footer_is_refused_before_a_page_is_read(row: str, tmp_path: Path) -> None:
    code, data = HOSTILE[row]
    (tmp_path / "f.parquet").write_bytes(data)
    assert code_of(refused(tmp_path / "f.parquet")) == code


@pytest.mark.parametrize("data", [by_hand.table(), by_hand.lists()], ids=["numbers", "lists"])
def test_what_the_hostile_ones_were_made_of_is_read(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(data)
    assert convert(tmp_path / "f.parquet")["rows"] == 3
    assert list(Records.open(tmp_path / "out").y) == [0, 1, 2]


@pytest.mark.parametrize("data", [
    by_hand.table(y_page=by_hand.page(10**9, np.arange(3).astype("<i8").tobytes())),
    by_hand.lists(page_values=10**9),
], ids=["numbers", "lists"])  # fmt: skip
def test_a48_a_page_that_claims_a_billion_gives_no_more_rows(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(data)
    assert convert(tmp_path / "f.parquet")["rows"] == 3


class Carrier(pa.ExtensionType):  # type: ignore[misc]
    """A type of another program, whose description could be a pickle (CVE-2023-47248)."""

    def __init__(self) -> None:
        super().__init__(pa.int64(), "arrow.py_extension_type")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"\x80\x04cos\nsystem\n(S'touch canary'\ntR."

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: Any, serialized: bytes) -> Any:
        raise AssertionError("was asked to restore a foreign type")


def test_a49_an_extension_type_is_not_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    carried = pa.ExtensionArray.from_storage(Carrier(), Y)
    path = written(tmp_path / "f.parquet", {"y": Y, "a": carried})
    assert code_of(refused(path)) == "parquet.unsupported"


def test_a48_a_page_that_packs_a_thousandfold_is_told_by_its_footer(tmp_path: Path) -> None:
    zeros = pa.array(np.zeros(10_000_000, np.float32))
    path = written(
        tmp_path / "f.parquet", {"y": pa.array(np.zeros(10_000_000, np.int8)), "a": zeros},
        compression="zstd", use_dictionary=False,
    )  # fmt: skip
    assert code_of(refused(path)) == "parquet.limit"


SCHEMA: dict[str, tuple[str, dict[str, Any]]] = {
    "no-label": ("parquet.columns", {"x": X}),
    "two-labels": ("parquet.columns", {"x": X, "y": Y, "label": Y}),
    "label-is-a-fraction": ("parquet.columns", {"x": X, "y": pa.array([0.0, 1.0, 2.0])}),
    "label-is-text": ("parquet.columns", {"x": X, "y": pa.array(["a", "b", "c"])}),
    "text-among-the-numbers": ("parquet.columns", {"a": pa.array(["a", "b", "c"]), "y": Y}),
    "lists-and-numbers": ("parquet.columns", {"x": X, "a": Y, "y": Y}),
    "lists-under-another-name": ("parquet.columns", {"pixels": X, "y": Y}),
    "lists-of-lists": (
        "parquet.columns", {"x": pa.array([[[1.0]]] * 3), "y": Y},
    ),
    "structs": ("parquet.columns", {"a": pa.array([{"b": 1}] * 3), "y": Y}),
    "bytes": ("parquet.columns", {"a": pa.array([b"\x80\x04"] * 3), "y": Y}),
    "decimals": ("parquet.columns", {"a": pa.array([1, 2, 3]).cast(pa.decimal128(38)), "y": Y}),
    "moments": ("parquet.columns", {"a": pa.array([1, 2, 3], pa.timestamp("s")), "y": Y}),
    "logits-are-text": ("parquet.columns", {"x": X, "y": Y, "logits": pa.array(["a"] * 3)}),
    "A51-a-gap-in-x": ("replay.schema", {"a": pa.array([1.0, None, 2.0]), "y": Y}),
    "A51-a-gap-in-the-labels": ("replay.schema", {"x": X, "y": pa.array([0, None, 1])}),
    "A51-a-gap-in-a-list": ("replay.schema", {"x": pa.array([[1.0], [None], [2.0]]), "y": Y}),
    "A51-no-list-at-all": ("replay.schema", {"x": pa.array([[1.0], None, [2.0]]), "y": Y}),
    "A51-another-width": ("replay.schema", {"x": pa.array([[1.0], [2.0, 3.0], [4.0]]), "y": Y}),
    "A51-a-label-beyond-numbers": (
        "replay.schema", {"x": X, "y": pa.array([0, 2**64 - 1, 1], pa.uint64())},
    ),
    "A51-year-99999": (
        "replay.schema",
        {"x": X, "y": Y, "expiry": pa.array([None, 3_093_527_980_800, None], pa.timestamp("s"))},
    ),
    "A53-an-owner-that-is-a-number": ("replay.schema", {"x": X, "y": Y, "owner": pa.array([None, 5, None])}),
}  # fmt: skip


@pytest.mark.parametrize("row", SCHEMA)
def test_columns_that_are_no_records_are_named(row: str, tmp_path: Path) -> None:
    code, columns = SCHEMA[row]
    caught = refused(written(tmp_path / "f.parquet", columns))
    assert code_of(caught) == code
    if code == "replay.schema":
        assert caught.value.message.startswith("Row 2: ")
        assert [line["line"] for line in caught.value.detail["lines"]] == [2]
        assert caught.value.detail["others"] == 2


def test_columns_are_told_apart_by_name_and_not_by_place(tmp_path: Path) -> None:
    columns = {
        "owner": pa.array(["ann", None, "bob"]), " b ": pa.array([3.5, 4.5, 5.5]),
        "logits": pa.array([[0.0, 1.0]] * 3), "Label": pa.array([1, 0, 1]),
        "a": pa.array([7, 8, 9], pa.int8()),
        "__index_level_0__": pa.array([5, 6, 7]),
    }  # fmt: skip
    info = convert(written(tmp_path / "f.parquet", columns))
    made = Records.open(tmp_path / "out")
    assert (info["x_dtype"], info["has_logits"], made.rights.names) == ("float64", True, ["owner"])
    assert made.x.tolist() == [[3.5, 7.0], [4.5, 8.0], [5.5, 9.0]]
    assert made.y.tolist() == [1, 0, 1]
    assert made.rights.owner is not None
    assert [made.rights.owner[row] for row in range(3)] == ["ann", "", "bob"]


def test_a_dot_in_a_name_is_no_path(tmp_path: Path) -> None:
    convert(written(tmp_path / "f.parquet", {"a.b": Y, "a": pa.array([5, 6, 7]), "y": Y}))
    assert Records.open(tmp_path / "out").x.tolist() == [[0, 5], [1, 6], [2, 7]]


def test_more_than_there_is_room_for(tmp_path: Path) -> None:
    path = written(tmp_path / "f.parquet", {"x": X, "y": Y})
    assert code_of(refused(path, limit_bytes=100)) == "replay.expansion_limit"


# ------------------------------------------------------------ in the confined child


def inspected(path: Path, **request: Any) -> subprocess.CompletedProcess[bytes]:
    """The real child, with its walls."""
    asked = {
        "purpose": "records", "path": str(path), "out": str(path.parent / "scratch" / "out"), "task": "t",
        "transform": None, "classes": None, "filename": path.name, "limit_bytes": 2**31, "cpu_seconds": 20,
    }  # fmt: skip
    (path.parent / "scratch").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "workers.inspect"],
        input=json.dumps(asked | request).encode(),
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        cwd=path.parent / "scratch",
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_behind_the_walls_parquet_is_read_without_a_thread(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(20_000, 30)).astype(np.float32)
    path = written(
        tmp_path / "f.parquet", {"x": pa.array(list(x)), "y": np.arange(20_000) % 7}, compression="zstd",
        row_group_size=3_000,
    )  # fmt: skip
    answer = json.loads(inspected(path).stdout)
    assert answer["ok"], answer
    assert (answer["info"]["rows"], answer["info"]["x_shape"]) == (20_000, [30])
    assert np.array_equal(Records.open(tmp_path / "scratch" / "out").x, x)


def test_a48_a_page_that_takes_all_memory_ends_in_the_same_refusal(tmp_path: Path) -> None:
    body = np.arange(3).astype("<i8").tobytes()
    path = tmp_path / "f.parquet"
    path.write_bytes(by_hand.table(y_page=by_hand.page(3, body, unpacked=2**31 - 1), codec=6))
    answer = json.loads(inspected(path).stdout)
    assert answer["error"]["code"] == "parquet.limit"
    assert not (tmp_path / "scratch" / "out").exists()
