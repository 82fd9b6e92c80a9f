"""A task's own columns: its labels count from 0 in the file and lie among the model's outputs afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.records import convert_records, recheck_records
from consolidation.memory.store import Records, record_ids
from tests.consolidation.formats.files import code_of

if TYPE_CHECKING:
    from pathlib import Path


def convert(folder: Path, labels: list[int], **options: Any) -> dict[str, Any]:
    np.savez(folder / "f.npz", x=np.eye(len(labels), 3, dtype=np.float32), y=np.array(labels))
    return convert_records(folder / "f.npz", task="moods", out=folder / "out", **options)


def test_labels_are_moved_into_the_columns_and_the_file_says_which(tmp_path: Path) -> None:
    info = convert(tmp_path, [0, 1, 0], classes=6, head=(4, 6))
    made = Records.open(tmp_path / "out")
    assert (made.head, made.classes, made.y.tolist()) == ((4, 6), 6, [4, 5, 4])
    assert np.array_equal(made.ids, record_ids(made.x, np.asarray(made.y)))
    assert (info["head"], info["label_histogram"]) == ([4, 6], [0, 0, 0, 0, 2, 1])
    again = recheck_records(tmp_path / "out", task="moods", out=tmp_path / "again")
    assert (again["head"], Records.open(tmp_path / "again").head) == ([4, 6], (4, 6))


def test_without_columns_nothing_is_said(tmp_path: Path) -> None:
    assert convert(tmp_path, [0, 1, 0])["head"] == []
    assert Records.open(tmp_path / "out").head is None


@pytest.mark.parametrize("label", [2, 5, -1])
def test_a_label_that_the_task_does_not_have_is_told_as_the_file_has_it(label: int, tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError) as caught:
        convert(tmp_path, [0, label, 1], classes=6, head=(2, 4))
    assert f"the label is {label}; with 2 classes it must be from 0 to 1" in str(caught.value)
    assert "the columns of its task" in str(caught.value)


@pytest.mark.parametrize("head", [(4, 7), (3, 3), (-1, 2)])
def test_columns_that_the_model_does_not_have_are_refused(head: tuple[int, int], tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError) as caught:
        convert(tmp_path, [0, 0], classes=6, head=head)
    assert code_of(caught) == "records.head"


def test_stored_logits_stay_those_of_all_outputs(tmp_path: Path) -> None:
    z = np.arange(12, dtype=np.float32).reshape(2, 6)
    np.savez(tmp_path / "f.npz", x=np.ones((2, 3), np.float32), y=np.array([1, 0]), logits=z)
    info = convert_records(tmp_path / "f.npz", task="moods", out=tmp_path / "out", head=(2, 4))
    made = Records.open(tmp_path / "out")
    assert (info["classes"], made.y.tolist()) == (6, [3, 2])
    assert made.z is not None
    assert np.array_equal(made.z, z)
