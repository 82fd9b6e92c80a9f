"""Exports of Hugging Face datasets, as `save_to_disk` and `to_parquet` leave them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.records import convert_records
from consolidation.formats.texts import TextOptions
from consolidation.memory.store import Records
from tests.consolidation.formats.archives import picture, saved, tarred, zipped
from tests.consolidation.formats.test_image_folder import convert, refusal
from tests.consolidation.formats.text_files import convert as convert_texts
from tests.consolidation.formats.text_files import stored

LABEL = {"names": ["neg", "pos"], "_type": "ClassLabel"}
FEATURES: dict[str, Any] = {"x": {"_type": "List"}, "label": LABEL}


def numbers(rows: int = 4, width: int = 3) -> pa.Table:
    x = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    return pa.table({"x": pa.array(list(x)), "label": pa.array(np.arange(rows) % 2)})


def parquet(table: pa.Table, features: dict[str, Any] | None = None) -> bytes:
    if features:
        told = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": told})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_saved_dataset(kind: str, tmp_path: Path) -> None:
    files = saved(numbers(2500), FEATURES, "mine/")
    path = tmp_path / f"f.{kind}"
    info, made = convert(zipped(path, files) if kind == "zip" else tarred(path, files))
    assert (info["label_names"], info["rows"], info["classes"]) == (["neg", "pos"], 2500, 2)
    assert np.array_equal(made.x, np.arange(7500, dtype=np.float32).reshape(2500, 3))
    assert np.array_equal(made.y, np.arange(2500) % 2)


def test_a_part_of_a_dictionary_of_datasets(tmp_path: Path) -> None:
    files = {
        "d/dataset_dict.json": b'{"splits": ["train", "test"]}',
        **saved(numbers(6), FEATURES, "d/train/"), **saved(numbers(2), FEATURES, "d/test/"),
    }  # fmt: skip
    path = zipped(tmp_path / "f.zip", files)
    assert convert(path, split="test")[0]["rows"] == 2
    assert convert(path, split="all")[0]["rows"] == 8
    (tmp_path / "out").unlink()
    assert "test, train" in refusal(path).message


def test_parquet_files_whose_names_say_the_part(tmp_path: Path) -> None:
    files = {f"data/train-{n:05}-of-00002.parquet": parquet(numbers(3 + n), FEATURES) for n in range(2)}
    files |= {"data/test-00000-of-00001.parquet": parquet(numbers(1), FEATURES), "README.md": b"# mine"}
    path = zipped(tmp_path / "f.zip", files)
    info, made = convert(path, split="train")
    assert (info["rows"], info["label_names"]) == (7, ["neg", "pos"])
    assert made.x[:, 0].tolist() == [0, 3, 6, 0, 3, 6, 9]


def test_columns_of_numbers_are_a_record(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": [3.5, 4.5], "target": [1, 0]})
    features = {"target": LABEL}
    _, made = convert(zipped(tmp_path / "f.zip", saved(table, features)))
    assert made.x.tolist() == [[1, 3.5], [2, 4.5]]
    assert made.y.tolist() == [1, 0]


def test_the_tasks_own_labels_count(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", saved(numbers(3), FEATURES))
    assert convert(path, options=TextOptions(label_names=tuple(["pos", "so-so", "neg"])))[1].y.tolist() == [
        2,
        0,
        2,
    ]
    (tmp_path / "out").unlink()
    assert refusal(path, options=TextOptions(label_names=tuple(["pos"]))).code == "records.label_names"


def test_rows_without_a_label_are_bad_ones(tmp_path: Path) -> None:
    table = pa.table({"x": [[1.0], [2.0], [3.0], None], "label": [0, -1, 1, 1]})
    path = zipped(tmp_path / "f.zip", saved(table, FEATURES))
    error = refusal(path)
    assert [(line["line"], line["code"]) for line in error.detail["lines"]] == [
        (2, "replay.schema"), (4, "replay.schema"),
    ]  # fmt: skip
    info, made = convert(path, leave_out=True)
    assert (made.x.tolist(), info["left_out"]["total"]) == ([[1], [3]], 2)


def test_pictures_of_a_dataset(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (3, 5, 5, 3), np.uint8)
    images = [{"bytes": picture(one), "path": None} for one in pixels] + [{"bytes": None, "path": "/etc/x"}]
    table = pa.table({"img": images, "label": [0, 1, 1, 0]})
    features = {"img": {"_type": "Image"}, "label": LABEL}
    path = zipped(tmp_path / "f.zip", saved(table, features))
    assert refusal(path).code == "pictures.unreadable"
    info, made = convert(path, leave_out=True)
    assert np.array_equal(made.x, pixels)
    assert info["left_out"]["lines"][0]["line"] == 4


def test_texts_of_a_dataset_are_read_like_lines(tmp_path: Path) -> None:
    table = pa.table({"text": ["good", "bad"], "label": [1, 0], "licence": ["CC0", "CC0"]})
    error = refusal(zipped(tmp_path / "f.zip", saved(table, {"label": LABEL})))
    assert error.code == "records.tokenizer"
    assert "no text model to read them" in error.message


def test_chats_of_a_dataset_are_read_like_lines(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "good"}, {"role": "assistant", "content": "very bad night"}]
    table = pa.table({"messages": [said] * 3})
    zipped(tmp_path / "f.zip", saved(table, {"messages": {"_type": "List"}}))
    info = convert_texts(tmp_path, None, name="f.zip", objective="language", shift=1, longest=32)
    rows, firsts, _ = stored(tmp_path)
    assert (info["rows"], info["objective"]) == (3, "language")
    assert rows[0][firsts[0] :] == [10, 6, 8, 4], "what the assistant says, and the end"


def test_names_of_labels_are_those_of_the_column_that_was_told(tmp_path: Path) -> None:
    table = pa.table({"text": ["good", "bad"], "label": [1, 0], "mood": [2, 0]})
    features = {"label": LABEL, "mood": {"names": ["low", "even", "high"], "_type": "ClassLabel"}}
    zipped(tmp_path / "f.zip", saved(table, features))
    told = {"text": "text", "label": "mood"}
    info = convert_texts(tmp_path, None, name="f.zip", mapping=told)
    assert (info["label_names"], info["label_histogram"]) == (["low", "even", "high"], [1, 0, 1])
    (tmp_path / "out").unlink()
    names = ("high", "even", "low")
    info = convert_texts(tmp_path, None, name="f.zip", mapping=told, label_names=names)
    assert stored(tmp_path)[1] == [0, 2]


def test_a_model_whose_labels_have_the_columns_names_numbers_them(tmp_path: Path) -> None:
    table = pa.table({"text": ["good", "bad", "very"], "label": [1, 0, 1]})
    zipped(tmp_path / "f.zip", saved(table, {"label": LABEL}))
    info = convert_texts(tmp_path, None, name="f.zip", model_names=("Pos", "Neg"))
    assert (info["label_names"], info["label_histogram"]) == (["Pos", "Neg"], [2, 1])
    (tmp_path / "out").unlink()
    names = tuple(info["label_names"])
    info = convert_texts(tmp_path, None, name="f.zip", model_names=names, label_names=names)
    assert info["label_histogram"] == [2, 1], "and so is the task's next set"
    (tmp_path / "out").unlink()
    with pytest.raises(NocturneInputError, match=r"“neg” is none of the model's, which are pos, poor"):
        convert_texts(tmp_path, None, name="f.zip", model_names=("pos", "poor"))
    info = convert_texts(tmp_path, None, name="f.zip", model_names=("good", "poor"))
    assert (info["label_names"], info["label_histogram"]) == (["neg", "pos"], [1, 2])


def test_a_place_in_a_text_is_no_class_of_a_dataset(tmp_path: Path) -> None:
    """A language model takes the texts and leaves the classes; y says how long the prompt is."""
    table = pa.table({"prompt": ["good"], "completion": ["bad night"], "label": [1]})
    zipped(tmp_path / "f.zip", saved(table, {"label": LABEL}))
    info = convert_texts(
        tmp_path, None, name="f.zip", objective="language", shift=1, label_names=("pos", "neg")
    )
    assert (info["label_names"], info["classes"]) == ([], 65_536)
    # [CLS] good | bad night [SEP]
    assert stored(tmp_path)[1] == [2]


COLUMNS: dict[str, pa.Table] = {
    "no-label": pa.table({"x": [[1.0]]}),
    "two-labels": pa.table({"x": [[1.0]], "y": [0], "label": [1]}),
}


@pytest.mark.parametrize("row", COLUMNS)
def test_columns_that_may_be_many_things(row: str, tmp_path: Path) -> None:
    error = refusal(zipped(tmp_path / "f.zip", saved(COLUMNS[row], {})))
    assert error.code == "records.columns"
    assert "its columns are" in error.message


# ------------------------------------------------------------ hostile

GOOD = saved(numbers(4), FEATURES)
ARROW = GOOD["data-00000-of-00001.arrow"]


def state(name: Any) -> bytes:
    return json.dumps({"_data_files": [{"filename": name}]}).encode()


def patched(place: int, value: bytes) -> bytes:
    return ARROW[:place] + value + ARROW[place + len(value) :]


def last_message() -> int:
    """Where the batch begins."""
    return 8 + int.from_bytes(ARROW[4:8], "little")


HOSTILE: dict[str, tuple[str, dict[str, bytes]]] = {
    "A49-a-file-outside": ("hf.index_path", {"state.json": state("../x.arrow")}),
    "A49-a-file-of-the-system": ("hf.index_path", {"state.json": state("/etc/passwd")}),
    "A49-a-name-that-is-none": ("hf.index_path", {"state.json": state(7)}),
    "A49-a-file-that-is-not-there": ("hf.index_mismatch", {"state.json": state("other.arrow")}),
    "A46-a-state-of-nothing": ("hf.json", {"state.json": b"{}"}),
    "A46-a-key-twice": ("hf.json", {"state.json": b'{"a": 1, "a": 2}'}),
    "A51-class-names-that-are-none": (
        "hf.json",
        {"dataset_info.json": json.dumps({"features": {"label": LABEL | {"names": [1]}}}).encode()},
    ),
    "A48-a-message-of-2-GB": ("arrow.limit", {"data": patched(last_message() + 4, b"\xff\xff\xff\x7f")}),
    "A48-a-message-of-less-than-nothing": ("arrow.limit", {"data": patched(4, b"\xff\xff\xff\xff")}),
    "A48-cut": ("arrow.malformed", {"data": ARROW[:-40]}),
    "A48-cut-in-the-schema": ("arrow.malformed", {"data": ARROW[:60]}),
    "A48-nothing": ("arrow.malformed", {"data": b""}),
    "A48-something-behind": ("arrow.malformed", {"data": ARROW + b"more and more"}),
    "A48-no-arrow": ("arrow.malformed", {"data": b"PAR1" * 20}),
    "A48-a-table-outside": ("arrow.malformed", {"data": patched(8, b"\xff\xff\xff\x7f")}),
    "A48-batches-before-the-schema": ("arrow.unsupported", {"data": ARROW[last_message():]}),
    "A48-compressed": ("arrow.unsupported", saved(numbers(400), FEATURES, compression="zstd")),
}  # fmt: skip


@pytest.mark.parametrize("row", HOSTILE)
def test_a_hostile_dataset_is_refused_with_its_code(row: str, tmp_path: Path) -> None:
    code, changes = HOSTILE[row]
    files = {**GOOD, **{name: data for name, data in changes.items() if name != "data"}}
    if "data" in changes:
        files["data-00000-of-00001.arrow"] = changes["data"]
    assert refusal(zipped(tmp_path / "f.zip", files)).code == code


def test_a48_dictionaries_are_not_read(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array(["x", "y"]).dictionary_encode(), "label": [0, 1]})
    assert refusal(zipped(tmp_path / "f.zip", saved(table, {}))).code == "arrow.unsupported"


class Carrier(pa.ExtensionType):  # type: ignore[misc]
    """A type of another program, whose description could be a pickle (CVE-2023-47248)."""

    def __init__(self) -> None:
        super().__init__(pa.int64(), "datasets.features.Array2D")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"\x80\x04cos\nsystem\n(S'touch canary'\ntR."


def test_a49_an_extension_type_is_not_restored(tmp_path: Path) -> None:
    carried = pa.ExtensionArray.from_storage(Carrier(), pa.array([1, 2]))
    table = pa.table({"a": carried, "label": [0, 1]})
    assert refusal(zipped(tmp_path / "f.zip", saved(table, {}))).code == "arrow.unsupported"


def test_every_single_damage_of_a_stream_is_refused_or_harmless(tmp_path: Path) -> None:
    """A bit at a time through schema and batch: never a crash, never more rows than there are."""
    place = last_message() + 8
    length = int.from_bytes(ARROW[place - 4 : place], "little")
    rng = np.random.default_rng(3)
    for at in [*rng.integers(0, place, 60).tolist(), *rng.integers(place, place + length, 120).tolist()]:
        data = patched(at, bytes([ARROW[at] ^ 1 << int(rng.integers(8))]))
        path = zipped(tmp_path / "f.zip", {**GOOD, "data-00000-of-00001.arrow": data})
        try:
            info = convert_records(path, task="t", out=tmp_path / "out")
        except NocturneInputError:
            assert not (tmp_path / "out").exists()
        else:
            assert info["rows"] <= 4
            assert len(Records.open(tmp_path / "out")) == info["rows"]
            (tmp_path / "out").unlink()
