"""Rows by id and by owner, found in the columns alone; and a file written again without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.erase import erase_rows
from consolidation.memory.files import write_tensors
from consolidation.memory.finding import as_ids, ids_at, owners_of, rows_with
from consolidation.memory.rights import Rights, Words
from consolidation.memory.store import Records

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 60


def records(codec: str = "raw") -> Records:
    random = np.random.default_rng(3)
    made = Records(
        task="a", x=random.integers(0, 255, (ROWS, 4)).astype(np.uint8), y=np.arange(ROWS) % 3, classes=3,
        rights=Rights(
            owner=Words.of("owner", [f"person {row % 4}" for row in range(ROWS)], ROWS),
            licence=Words(("agreed",)), expiry=np.arange(ROWS) * 100,
        ),
    ).with_logits(random.normal(size=(ROWS, 3)), 3)  # fmt: skip
    return made.encoded(codec)


def test_ids_are_compared_as_bytes_zeros_and_all(tmp_path: Path) -> None:
    ids = np.array([[0] * 16, [1] + [0] * 15, [1, 0, 2] + [0] * 13, [255] * 16], np.uint8)
    path = tmp_path / "set"
    Records(task="a", x=np.zeros((4, 1)), y=np.zeros(4, np.int64), classes=1, ids=ids).save(path)
    for row in range(4):
        found = rows_with(path, ids=as_ids([ids[row].tobytes()]))
        assert found.tolist() == [place == row for place in range(4)]
        assert ids_at(path, found) == {ids[row].tobytes()}
    assert not rows_with(path, ids=as_ids([bytes([1, 0, 3]).ljust(16, b"\0")])).any()
    assert not rows_with(path, ids=as_ids([]), owners={"nobody"}).any()
    with pytest.raises(ValueError, match="16 bytes"):
        as_ids([b"short"])


@pytest.mark.parametrize("codec", ["raw", "deflate"])
def test_what_stays_is_bit_for_bit_what_it_was(codec: str, tmp_path: Path) -> None:
    path, out = tmp_path / "old", tmp_path / "new"
    before = records(codec).save(path)
    doomed = rows_with(path, ids=as_ids([before.ids[5].tobytes()]), owners={"person 2"})
    assert doomed.sum() == ROWS // 4 + 1
    told = erase_rows(path, doomed, out)
    after = Records.open(out)
    assert told is not None
    assert (told["rows"], told["size"]) == (len(after), out.stat().st_size)
    assert told["label_histogram"] == np.bincount(after.y).tolist()
    assert (told["rights"], told["next_expiry"]) == (["owner", "licence", "expiry"], 100)
    for one, other in (
        (before.x, after.x),
        (before.y, after.y),
        (before.z, after.z),
        (before.ids, after.ids),
    ):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(np.asarray(one)[~doomed], other)
    # Neither the content nor the name of whom it was about is in the file any more; the ids are.
    assert owners_of(path) != owners_of(out) == ("person 0", "person 1", "person 3")
    assert b"person 2" not in out.read_bytes()
    assert {row.tobytes() for row in after.gone} == {row.tobytes() for row in before.ids[doomed]}
    again = erase_rows(out, rows_with(out, ids=as_ids([after.ids[0].tobytes()])), tmp_path / "third")
    assert again is not None
    assert len(Records.open(tmp_path / "third").gone) == len(after.gone) + 1


def test_nothing_left_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "old"
    records().save(path)
    assert erase_rows(path, np.ones(ROWS, np.bool_), tmp_path / "new") is None
    assert not (tmp_path / "new").exists()


def test_a_file_without_ids_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    write_tensors(path, {"x": np.zeros((1, 1))}, {"version": 1, "task": "a", "classes": 1})
    with pytest.raises(NocturneInputError) as caught:
        rows_with(path, ids=as_ids([bytes(16)]))
    assert caught.value.code == "records.format"
