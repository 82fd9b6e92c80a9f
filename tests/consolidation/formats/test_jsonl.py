"""JSON Lines: row A46 of the attack list, with line numbers, the first twenty bad lines and their total."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.records import convert_records
from consolidation.memory.store import Records
from tests.consolidation.formats.files import code_of

GOOD = b'{"x": [1, 2.5], "y": 1}\n'

HOSTILE: dict[str, tuple[str, bytes]] = {
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
    "not-json": ("jsonl.syntax", b"{x: 1}"),
    "A51-a-list": ("replay.schema", b"[1, 2]"),
    "A51-no-label": ("replay.schema", b'{"x": [1, 2]}'),
    "A51-label-is-text": ("replay.schema", b'{"x": [1, 2], "y": "3"}'),
    "A51-label-is-true": ("replay.schema", b'{"x": [1, 2], "y": true}'),
    "A51-label-is-a-fraction": ("replay.schema", b'{"x": [1, 2], "y": 1.5}'),
    "A51-unknown-key": ("replay.schema", b'{"x": [1, 2], "y": 1, "owner": "me"}'),
    "A51-width-changes": ("replay.schema", b'{"x": [1, 2, 3], "y": 1}'),
    "A51-ragged": ("replay.schema", b'{"x": [[1, 2], [3]], "y": 1}'),
    "A51-text-in-x": ("replay.schema", b'{"x": [1, "2"], "y": 1}'),
    "A51-null-in-x": ("replay.schema", b'{"x": [1, null], "y": 1}'),
    "A51-logits-suddenly": ("replay.schema", b'{"x": [1, 2], "y": 1, "logits": [0, 1]}'),
}


def convert(path: Path, **options: Any) -> dict[str, object]:
    return convert_records(path, task="t", out=path.with_name("out"), **options)


@pytest.mark.parametrize("row", HOSTILE)
def test_a_bad_line_is_refused_with_its_number(row: str, tmp_path: Path) -> None:
    code, line = HOSTILE[row]
    path = tmp_path / "f.jsonl"
    path.write_bytes(GOOD * 6 + line)
    with pytest.raises(NocturneInputError, match=r"^Line 7: ") as caught:
        convert(path)
    assert code_of(caught) == code
    assert caught.value.detail["lines"][0]["line"] == 7
    assert [found.name for found in tmp_path.iterdir()] == ["f.jsonl"]


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbf" + GOOD, GOOD.decode().encode("utf-16")], ids=["A46-byte-order-mark", "A46-utf16"]
)
def test_a_wrong_encoding_is_seen_on_the_first_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(data)
    with pytest.raises(NocturneInputError, match=r"^Line 1: ") as caught:
        convert(path)
    assert code_of(caught) == "jsonl.encoding"


def test_a46_the_first_twenty_bad_lines_and_the_total(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes((GOOD + b"oops\n") * 500)
    with pytest.raises(NocturneInputError, match="500 lines are bad in all") as caught:
        convert(path)
    lines = caught.value.detail["lines"]
    assert [item["line"] for item in lines] == list(range(2, 42, 2))
    assert caught.value.detail["total"] == 500


def test_a_label_out_of_range_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(GOOD + b"\n" + b'{"x": [1, 2], "y": 12}\n')
    with pytest.raises(NocturneInputError, match="line 3 is 12") as caught:
        convert(path, classes=10)
    assert code_of(caught) == "records.label_range"


def test_more_rows_than_there_is_room_for(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(GOOD * 100)
    with pytest.raises(NocturneInputError) as caught:
        convert(path, limit_bytes=100)
    assert code_of(caught) == "replay.expansion_limit"
    assert [found.name for found in tmp_path.iterdir()] == ["f.jsonl"]


def test_good_lines_become_records(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x, y, z = rng.normal(size=(50, 2, 3)), rng.integers(0, 4, 50), rng.normal(size=(50, 4))
    path = tmp_path / "f.jsonl"
    rows = (
        json.dumps({"x": a.tolist(), "y": int(b), "logits": c.tolist()})
        for a, b, c in zip(x, y, z, strict=True)
    )
    path.write_text("\r\n".join(rows) + "\r\n\r\n")
    info = convert(path)
    assert (info["rows"], info["x_shape"], info["classes"], info["has_logits"]) == (50, [2, 3], 4, True)
    records = Records.open(tmp_path / "out")
    assert np.array_equal(records.x, x.astype(np.float32))
    assert np.array_equal(records.y, y)
    assert records.z is not None
    assert np.allclose(records.z, z, atol=0.01)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["f.jsonl", "out"]
