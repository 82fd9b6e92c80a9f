from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file

from consolidation.errors import NocturneInputError
from consolidation.memory.store import Records, Transform
from tests.consolidation.helpers import make_records

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_gives_back_what_was_written_and_is_mapped(tmp_path: Path) -> None:
    made = make_records(0, 50, 1, logits=True)
    opened = made.save(tmp_path / "r.safetensors")
    assert isinstance(opened.x, np.memmap)
    assert opened.x.dtype == np.uint8  # the source's own precision
    assert opened.z is not None
    assert opened.z.dtype == np.float16
    assert not opened.x.flags.writeable
    assert (opened.task, opened.classes, opened.transform) == (made.task, 4, made.transform)
    assert np.array_equal(opened.x, made.x)
    assert np.array_equal(opened.ids, made.ids)
    assert not list(tmp_path.glob("*.part"))


def test_an_id_is_the_hash_of_input_and_label(tmp_path: Path) -> None:
    made = make_records(1, 5, 1)
    row = made.x[3].tobytes() + int(made.y[3]).to_bytes(8, "little")
    assert made.ids[3].tobytes() == hashlib.sha256(row).digest()[:16]
    made.save(tmp_path / "r")
    assert np.array_equal(load_file(tmp_path / "r")["id"], made.ids)


def test_inputs_are_transformed_and_flat() -> None:
    x = np.array([[[0, 10], [20, 30]]], np.uint8)
    made = Records(task="t", x=x, y=np.array([1]), classes=2, transform=Transform(0.1, 1.0, 2.0))
    assert np.allclose(made.inputs(), [[-0.5, 0.0, 0.5, 1.0]])


@pytest.mark.parametrize("cut", [0, 4, 8, 40, -1])
def test_a_damaged_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r"
    make_records(0, 20, 1).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:cut])
    with pytest.raises(NocturneInputError) as caught:
        Records.open(path)
    assert caught.value.code == "records.format"


def test_a_header_that_lies_about_offsets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    make_records(0, 20, 1).save(path)
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["x"]["data_offsets"] = [0, 10**9]
    changed = json.dumps(header).encode().ljust(size)
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + data[8 + size :])
    with pytest.raises(NocturneInputError, match="sizes do not agree"):
        Records.open(path)


def test_sets_that_do_not_line_up_are_refused() -> None:
    x = np.zeros((3, 2), np.uint8)
    for y, z, code in (
        ([0, 1], None, "records.shape"),
        ([0, 1, 2], None, "records.label_range"),
        ([0, -1, 1], None, "records.label_range"),
        ([0, 1, 1], np.zeros((3, 5), np.float16), "records.shape"),
    ):
        with pytest.raises(NocturneInputError) as caught:
            Records(task="t", x=x, y=np.array(y), z=z, classes=2)
        assert caught.value.code == code
    with pytest.raises(NocturneInputError) as caught:
        Records(task="t", x=x[:0], y=np.zeros(0, np.int64), classes=2)
    assert caught.value.code == "records.empty"
