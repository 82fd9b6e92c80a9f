"""Record files with packed inputs: the bytes counted are the bytes written; lies are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.memory.store import Records
from tests.consolidation.helpers import make_records, make_world

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CODECS = ("deflate", "columns", "q4", "q2", "q1")


@pytest.mark.parametrize("codec", CODECS)
def test_the_bytes_counted_are_those_of_the_files_tensors(codec: str, tmp_path: Path) -> None:
    made = make_records(0, 70, 1, logits=True).encoded(codec)
    opened = made.save(tmp_path / "r")
    tensors = load_file(tmp_path / "r")
    assert opened.bytes == made.bytes
    assert made.bytes == {
        "x": tensors["x.data"].nbytes,
        "y": tensors["y"].nbytes,
        "z": tensors["z"].nbytes,
        "table": tensors["x.offsets"].nbytes + (tensors["x.table"].nbytes if "x.table" in tensors else 0),
        "total": sum(tensor.nbytes for name, tensor in tensors.items() if name != "id"),
    }


@pytest.mark.parametrize("codec", CODECS)
def test_a_packed_set_opens_as_it_was(codec: str, tmp_path: Path) -> None:
    plain = make_records(0, 70, 1, logits=True)
    opened = plain.encoded(codec).save(tmp_path / "r")
    assert opened.packed is not None
    assert isinstance(opened.packed.data, np.memmap)
    assert (len(opened), opened.width, opened.task) == (70, 8, plain.task)
    assert opened.y.dtype == np.int64
    assert np.array_equal(opened.y, plain.y)
    assert np.array_equal(opened.ids, plain.ids)
    if opened.packed.codec.lossless:
        assert np.array_equal(opened.inputs(), plain.inputs())
    else:
        assert 0 < np.abs(opened.inputs() - plain.inputs()).max() < 3
    assert np.array_equal(opened.inputs(np.array([9, 3])), opened.inputs()[[9, 3]])
    assert opened.encoded("raw").packed is None


def test_a_night_on_losslessly_packed_memories_is_the_same_night() -> None:
    weights = []
    for codec in ("raw", "deflate", "columns"):
        world = make_world()
        packed = [records.encoded(codec) for records in world.memories]
        sleep(world.model, packed, world.probes, world.recipe)
        weights.append({name: tensor.numpy().tobytes() for name, tensor in world.model.state_dict().items()})
    assert weights[0] == weights[1] == weights[2]


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Lets `change` lie in the header and the set's metadata."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    meta = json.loads(header["__metadata__"]["nocturne.records"])
    change(header, meta)
    header["__metadata__"]["nocturne.records"] = json.dumps(meta)
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + data[8 + size :])


LIES: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "codec": lambda h, m: m.update(codec="pickle"),
    "huge shape": lambda h, m: m.update(shape=[30, 1 << 31]),
    "more rows": lambda h, m: m.update(shape=[31, 8]),
    "no shape": lambda h, m: m.pop("shape"),
    "text shape": lambda h, m: m.update(shape="30"),
    "block 0": lambda h, m: m.update(block=0),
    "small blocks": lambda h, m: m.update(block=3),
    "huge block": lambda h, m: m.update(block=1 << 40),
    "dtype": lambda h, m: m.update(dtype="O"),
    "other dtype": lambda h, m: m.update(dtype="<f4"),
    "dtype list": lambda h, m: m.update(dtype=["<f4"]),
    "endless shape": lambda h, m: h["x.data"].update(shape=[float("inf")]),
    "logits of whole numbers": lambda h, m: h.update(
        z={"dtype": "U8", "shape": [30, 4], "data_offsets": [0, 120]}
    ),
    "a thousand tensors": lambda h, m: h.update({f"t{n}": h["y"] for n in range(1000)}),
    "no offsets": lambda h, m: h.pop("x.offsets"),
    "version": lambda h, m: m.update(version=3),
    "words": lambda h, m: m.update(words={"owner": [1]}),
    "unknown words": lambda h, m: m.update(words={"__class__": ["a"]}),
    "too many words": lambda h, m: m.update(words={"owner": ["a", "b"]}),
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_a_lie_is_refused_with_one_sentence(lie: str, tmp_path: Path) -> None:
    path = tmp_path / "r"
    make_records(0, 30, 1).encoded("columns").save(path)
    rewrite(path, LIES[lie])
    with pytest.raises(NocturneInputError) as caught:
        Records.open(path).inputs()
    assert caught.value.code in {"records.format", "records.rights"}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_change_of_bytes_gets_past_the_refusal(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is changed, a set opens whole or is refused with a sentence; nothing else is ever raised."""
    codec = data.draw(st.sampled_from(CODECS))
    path = tmp_path_factory.mktemp("hostile") / "r"
    make_records(0, 20, 1, logits=True).encoded(codec).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    try:
        records = Records.open(path)
        assert records.inputs().shape == (len(records), records.width)
    except NocturneInputError as error:
        assert error.message
