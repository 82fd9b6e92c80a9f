"""JSON Lines: good ones become records, and a file may not be larger than its room."""

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


def convert(path: Path, **options: Any) -> dict[str, object]:
    return convert_records(path, task="t", out=path.with_name("out"), **options)


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
