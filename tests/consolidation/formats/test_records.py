"""The canonical record file: equal to what came whatever the format, refused where nobody could use it."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from consolidation.errors import NocturneInputError
from consolidation.formats.records import X_TYPES, convert_records, recheck_records
from consolidation.memory.store import Records, record_ids
from tests.consolidation.formats.files import code_of
from tests.consolidation.helpers import make_records


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path.with_suffix(".npz") if path.suffix != ".npz" else path


def convert(path: Path, **options: Any) -> dict[str, Any]:
    return convert_records(path, task="digits", out=path.with_name("out"), **options)


@pytest.mark.parametrize("kind", sorted(X_TYPES))
@pytest.mark.parametrize("logits", [False, True])
def test_a_set_comes_out_as_it_went_in(kind: str, logits: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100, (300, 3, 5)).astype(kind)
    y = rng.integers(0, 7, 300).astype(np.uint8)
    extra = {"logits": rng.normal(size=(300, 7)).astype(np.float32)} if logits else {}
    info = convert(
        save(tmp_path / "f.npz", x=x, y=y, **extra), transform={"scale": 0.5, "mean": 1.0, "sd": 2.0}
    )
    records = Records.open(tmp_path / "out")
    assert records.x.dtype == np.dtype(kind)
    assert np.array_equal(records.x, x)
    assert np.array_equal(records.y, y)
    assert np.array_equal(records.ids, record_ids(x, y.astype(np.int64)))
    assert (records.z is not None) == logits == info["has_logits"]
    assert records.transform.to_json() == info["transform"] == {"scale": 0.5, "mean": 1.0, "sd": 2.0}
    assert info["label_histogram"] == np.bincount(y, minlength=7).tolist()
    assert info["size"] == (tmp_path / "out").stat().st_size


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 40),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    kind=st.sampled_from(["<u1", "<f4", ">f4", ">i2", "<f8", "?"]),
    order=st.sampled_from("CF"),
    packed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_layout_gives_the_same_records(
    rows: int, shape: list[int], kind: str, order: Any, packed: bool, seed: int, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("layout")
    rng = np.random.default_rng(seed)
    x = np.asarray(rng.integers(0, 2, (rows, *shape)), dtype=kind, order=order)
    y = rng.integers(0, 3, rows)
    (np.savez_compressed if packed else np.savez)(folder / "f.npz", x=x, y=y)
    convert(folder / "f.npz", classes=3)
    records = Records.open(folder / "out")
    assert np.array_equal(records.x, x)
    assert np.array_equal(records.y, y)


def test_our_own_file_converts_to_itself_but_for_the_task(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    made = Records.write(
        tmp_path / "own",
        task="digits",
        x=rng.random((20, 4)),
        y=rng.integers(0, 3, 20),
        classes=3,
        z=rng.random((20, 3)),
    )
    first = convert(tmp_path / "own")
    again = convert_records(tmp_path / "out", task="digits", out=tmp_path / "again")
    assert first["sha256"] == again["sha256"]
    assert np.array_equal(Records.open(tmp_path / "out").ids, made.ids)


def test_a_scale_in_the_file_counts_unless_the_caller_knows_better(tmp_path: Path) -> None:
    path = save(tmp_path / "f.npz", x=np.ones((2, 3)), y=np.zeros(2, int), scale=0.25, mean=np.array([0.5]))
    assert convert(path)["transform"] == {"scale": 0.25, "mean": 0.5, "sd": 1.0}
    (tmp_path / "out").unlink()
    assert convert(path, transform={"scale": 3.0})["transform"] == {"scale": 3.0, "mean": 0.0, "sd": 1.0}


def test_duplicates_are_counted(tmp_path: Path) -> None:
    x = np.repeat(np.arange(12.0).reshape(4, 3), 3, axis=0)
    assert convert(save(tmp_path / "f.npz", x=x, y=np.zeros(12, int)))["duplicates"] == 8


BAD: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "empty-probe": ("records.empty", {"x": np.zeros((0, 4)), "y": np.zeros(0, int)}, {}),
    "A51-label-at-classes": (
        "replay.schema",
        {"x": np.zeros((3, 2)), "y": np.array([0, 1, 10])},
        {"classes": 10},
    ),
    "label-negative": ("records.label_range", {"x": np.zeros((3, 2)), "y": np.array([0, -1, 1])}, {}),
    "label-beyond-int64": (
        "records.label_range",
        {"x": np.zeros((1, 2)), "y": np.array([2**64 - 1], "u8")},
        {},
    ),
    "nan-in-x": ("records.non_finite", {"x": np.array([[0.0, 1], [np.nan, 1]]), "y": np.zeros(2, int)}, {}),
    "inf-in-x": (
        "records.non_finite",
        {"x": np.array([[0, 1], [np.inf, 1]], "f2"), "y": np.zeros(2, int)},
        {},
    ),
    "nan-in-logits": (
        "records.logits",
        {"x": np.zeros((1, 2)), "y": np.zeros(1, int), "logits": np.array([[np.nan, 0]])},
        {},
    ),
    "logits-beyond-half": (
        "records.logits",
        {"x": np.zeros((1, 2)), "y": np.zeros(1, int), "logits": np.array([[1e6, 0]])},
        {},
    ),
    "logits-of-other-classes": (
        "records.logits",
        {"x": np.zeros((1, 2)), "y": np.zeros(1, int), "logits": np.zeros((1, 3))},
        {"classes": 2},
    ),
    "no-width": ("records.shape", {"x": np.zeros((2, 0)), "y": np.zeros(2, int)}, {}),
    "scale-nan": (
        "records.transform",
        {"x": np.zeros((1, 2)), "y": np.zeros(1, int)},
        {"transform": {"scale": np.nan}},
    ),
    "scale-zero": (
        "records.transform",
        {"x": np.zeros((1, 2)), "y": np.zeros(1, int)},
        {"transform": {"scale": 0.0}},
    ),
    "sd-negative": (
        "records.transform",
        {"x": np.zeros((1, 2)), "y": np.zeros(1, int)},
        {"transform": {"sd": -1.0}},
    ),
    "transform-text": (
        "records.transform",
        {"x": np.zeros((1, 2)), "y": np.zeros(1, int)},
        {"transform": {"mean": "1"}},
    ),
    "transform-unknown": (
        "records.transform",
        {"x": np.zeros((1, 2)), "y": np.zeros(1, int)},
        {"transform": {"k": 1.0}},
    ),
}


@pytest.mark.parametrize("row", BAD)
def test_what_could_not_be_replayed_is_refused(row: str, tmp_path: Path) -> None:
    code, arrays, options = BAD[row]
    with pytest.raises(NocturneInputError) as caught:
        convert(save(tmp_path / "f.npz", **arrays), **options)
    assert code_of(caught) == code
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def test_the_row_of_a_bad_label_and_of_a_nan_is_named(tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match=r"^Row 3: the label is 10; with 10 classes") as caught:
        convert(save(tmp_path / "f.npz", x=np.zeros((3, 2)), y=np.array([0, 1, 10])), classes=10)
    assert [caught.value.detail[key] for key in ("total", "others", "unit")] == [1, 2, "row"]
    x = np.zeros((100_000, 20))
    x[98_765, 3] = np.nan
    with pytest.raises(NocturneInputError, match=r"^Row 98,766: x holds NaN") as caught:
        convert(save(tmp_path / "g.npz", x=x, y=np.zeros(100_000, int)))
    assert [line["line"] for line in caught.value.detail["lines"]] == [98_766]


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = save(tmp_path / "f.npz", x=np.zeros((40_000, 784), np.float32), y=np.zeros(40_000, int))
    assert path.stat().st_size > 115 * 2**20
    tracemalloc.start()
    convert(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 2**20


@pytest.mark.parametrize("codec", ["deflate", "columns", "q2"])
def test_a_packed_set_of_ours_is_read_as_what_it_unpacks_to(codec: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 9, (300, 3, 5)).astype(np.uint8)
    made = Records(task="a", x=x, y=np.arange(300) % 7, z=np.ones((300, 7), np.float16), classes=7)
    packed = made.encoded(codec).save(tmp_path / "p")
    convert(tmp_path / "p")
    records = Records.open(tmp_path / "out")
    assert np.array_equal(records.x, packed.x)
    assert np.array_equal(records.y, made.y)
    assert records.z is not None
    assert records.z.shape == (300, 7)


def test_a_packed_set_that_unpacks_to_too_much_or_has_rights_is_refused(tmp_path: Path) -> None:
    made = Records(task="a", x=np.zeros((300, 50), np.uint8), y=np.arange(300) % 7, classes=7)
    made.encoded("columns").save(tmp_path / "p")
    with pytest.raises(NocturneInputError) as caught:
        convert(tmp_path / "p", limit_bytes=9_000)
    assert code_of(caught) == "replay.expansion_limit"
    made.with_rights(expiry=np.full(300, 9)).save(tmp_path / "q")
    with pytest.raises(NocturneInputError) as caught:
        convert(tmp_path / "q")
    assert code_of(caught) == "records.metadata"


@pytest.mark.parametrize("codec", ["raw", "deflate", "columns", "q4", "q1"])
def test_the_engines_own_file_stays_packed_when_it_is_checked_again(codec: str, tmp_path: Path) -> None:
    kept = make_records(0, 70, 1, logits=True).encoded(codec)
    kept.save(tmp_path / "f")
    info = recheck_records(tmp_path / "f", task="renamed", out=tmp_path / "out")
    again = Records.open(tmp_path / "out")
    assert (again.packed.codec.name if again.packed else "raw") == codec
    assert again.bytes == kept.bytes, "a budget of bytes still holds"
    assert np.array_equal(again.ids, kept.ids), "a lossy record is known by what it was"
    assert np.array_equal(again.inputs(), kept.inputs())
    assert np.array_equal(again.y, kept.y)
    assert again.z is not None and np.array_equal(again.z, np.asarray(kept.z, np.float16))
    plain = convert_records(tmp_path / "f", task="renamed", out=tmp_path / "plain")
    own = {"size", "sha256", "duplicates", "notes"}  # lossily packed, different records may look alike
    assert {name: info[name] for name in info.keys() - own} == {
        name: plain[name] for name in info.keys() - own
    }
    content = (tmp_path / "out").read_bytes()
    assert (info["size"], info["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_what_is_known_of_each_record_stays_when_it_is_checked_again(tmp_path: Path) -> None:
    expiry = np.arange(30) * 10**10
    made = (
        make_records(0, 30, 1)
        .encoded("q4")
        .with_rights(expiry=expiry)
        .tombstoned(np.zeros((0, 16), np.uint8))
    )
    made.save(tmp_path / "f")
    recheck_records(tmp_path / "f", task="first", out=tmp_path / "out")
    again = Records.open(tmp_path / "out").rights.expiry
    assert again is not None and np.array_equal(again, expiry)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"z": np.full((30, 4), np.nan, np.float16)}, "records.logits"),
        ({"x.offsets": np.full(31, 2**31, np.uint32)}, "records.format"),
        ({"x.data": np.full(2, 0xFF, np.uint8)}, "records.format"),
        ({"y": np.full(30, 9, np.uint8)}, "records.label_range"),
    ],
)
def test_a_packed_file_that_lies_is_not_kept(change: dict[str, Any], code: str, tmp_path: Path) -> None:
    make_records(0, 30, 1, logits=True).encoded("columns").save(tmp_path / "f")
    with safe_open(tmp_path / "f", "np") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(tensors | change, tmp_path / "f", metadata=metadata)
    with pytest.raises(NocturneInputError) as refused:
        recheck_records(tmp_path / "f", task="first", out=tmp_path / "out")
    assert refused.value.code == code
    assert not (tmp_path / "out").exists()


def test_numbers_that_are_none_are_found_under_any_packing(tmp_path: Path) -> None:
    x = np.zeros((9, 4), np.float32)
    x[5, 2] = np.nan
    Records(task="t", x=x, y=np.zeros(9, np.int64), classes=2).encoded("deflate").save(tmp_path / "f")
    with pytest.raises(NocturneInputError) as refused:
        recheck_records(tmp_path / "f", task="t", out=tmp_path / "out")
    assert refused.value.code == "records.non_finite"
