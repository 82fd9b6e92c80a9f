"""Pictures in a folder a class: what they become, and what is bad about one or about all of them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.pictures import Wanted
from consolidation.formats.records import convert_records
from consolidation.formats.texts import TextOptions
from consolidation.memory.store import Records
from tests.consolidation.formats.archives import picture, tarred, zipped

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (4, 6), np.uint8)
COLOUR = RNG.integers(0, 256, (4, 6, 3), np.uint8)


def convert(path: Path, **options: Any) -> tuple[dict[str, Any], Records]:
    (path.parent / "out").unlink(missing_ok=True)
    info = convert_records(path, task="t", out=path.parent / "out", **options)
    return info, Records.open(path.parent / "out")


def refusal(path: Path, **options: Any) -> NocturneInputError:
    with pytest.raises(NocturneInputError) as caught:
        convert(path, **options)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    return caught.value


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_folder_a_class(kind: str, tmp_path: Path) -> None:
    files = {
        "pets/dog/1.png": picture(COLOUR), "pets/cat/b.png": picture(255 - COLOUR),
        "pets/cat/a.PNG": picture(COLOUR), "pets/README.txt": b"about them", "pets/.DS_Store": b"x",
    }  # fmt: skip
    path = tmp_path / f"f.{kind}"
    path = zipped(path, files) if kind == "zip" else tarred(path, files, "w:gz" if "gz" in kind else "w")
    info, made = convert(path)
    assert (info["label_names"], info["label_histogram"], info["x_dtype"]) == (
        ["cat", "dog"],
        [2, 1],
        "uint8",
    )
    assert made.y.tolist() == [0, 0, 1]
    assert np.array_equal(made.x, np.stack([COLOUR, 255 - COLOUR, COLOUR]))


def test_the_layout_is_the_models(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {"a/1.png": picture(COLOUR), "b/1.png": picture(COLOUR)})
    _, made = convert(path, picture=Wanted(3, 4, 6, "chw"), classes=10)
    assert np.array_equal(made.x[0], COLOUR.transpose(2, 0, 1))
    assert made.classes == 10


def test_grey_and_colour_are_made_of_one_another(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {"a/1.png": picture(GREY), "b/1.png": picture(COLOUR)})
    _, made = convert(path, picture=Wanted(channels=1))
    assert made.x.shape == (2, 4, 6, 1)
    assert np.array_equal(made.x[0, :, :, 0], GREY)
    _, made = convert(path, picture=Wanted(channels=3))
    assert np.array_equal(made.x[0], np.repeat(GREY[:, :, None], 3, axis=2))
    # Without a model the first one says what the others are.
    assert convert(path)[1].x.shape == (2, 4, 6, 1)


def test_a_jpeg_is_nearly_what_it_was(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    path = zipped(tmp_path / "f.zip", {"a/1.jpg": picture(smooth, "JPEG", quality=95), "b/2.jpeg": b""})
    _, made = convert(path, leave_out=True)
    assert np.abs(made.x[0, :, :, 0].astype(int) - smooth).max() < 8


def test_another_size_is_a_bad_picture_unless_scaling_was_asked_for(tmp_path: Path) -> None:
    files = {"a/1.png": picture(GREY), "a/2.png": picture(np.full((9, 9), 7)), "b/1.png": picture(GREY)}
    path = zipped(tmp_path / "f.zip", files)
    wanted = Wanted(1, 4, 6)
    error = refusal(path, picture=wanted)
    assert error.code == "pictures.size"
    assert error.message.startswith("Picture 2: a/2.png is 9 × 9 pixels, the model takes 6 × 4. Scale it, or")
    assert (error.detail["total"], error.detail["others"], error.detail["unit"]) == (1, 2, "picture")
    info, made = convert(path, picture=Wanted(1, 4, 6, resize=True))
    assert made.x[1].tolist() == np.full((4, 6, 1), 7).tolist()
    assert info["left_out"] == {}
    info, made = convert(path, picture=wanted, leave_out=True)
    assert (len(made), info["left_out"]["total"], info["left_out"]["unit"]) == (2, 1, "picture")
    assert "the first one has 6 × 4" in refusal_again(path).message


def refusal_again(path: Path) -> NocturneInputError:
    (path.parent / "out").unlink()
    return refusal(path)


BAD: dict[str, bytes] = {
    "A46-cut": picture(COLOUR)[:-30],
    "A46-text": b"no picture at all",
    "A46-gif-by-another-name": b"GIF89a" + bytes(40),
    "A46-checksum": picture(COLOUR).replace(b"IDAT", b"IDAX"),
    "A46-empty": b"",
}


@pytest.mark.parametrize("row", BAD)
def test_a_damaged_picture_is_a_bad_one(row: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {"a/1.png": picture(COLOUR), "b/1.png": BAD[row], "b/2.gif": b"GIF"})
    error = refusal(path)
    assert error.code == "pictures.unreadable"
    assert [line["line"] for line in error.detail["lines"]] == [2, 3]
    assert "b/1.png" in error.detail["lines"][0]["message"]
    assert "b/2.gif" in error.detail["lines"][1]["message"]


def claiming(width: int, height: int, padding: int = 0) -> bytes:
    """A PNG of 6 × 4 pixels whose header says something else, with bytes in it that nobody needs."""
    data = picture(GREY)
    header = b"IHDR" + struct.pack(">2I", width, height) + data[24:29]
    extra = b"teXt" + bytes(padding)
    chunk = struct.pack(">I", padding) + extra + struct.pack(">I", zlib.crc32(extra))
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + chunk + data[33:]


@pytest.mark.parametrize(
    "data",
    [claiming(50_000, 50_000), claiming(9000, 9000, 2**20), claiming(5000, 5000), claiming(2**31 - 1, 1)],
    ids=["A47-pixels-beyond-the-librarys-limit", "A47-pixels-beyond-ours", "A47-few-bytes", "A47-a-line"],
)
def test_a_picture_that_claims_too_much_is_not_decoded(data: bytes, tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {"a/1.png": picture(GREY), "a/2.png": data})
    for options in ({}, {"leave_out": True}, {"picture": Wanted(1, 4, 6, resize=True)}):
        assert refusal(path, **options).code == "archive.bomb"


def test_a_picture_of_the_wrong_size_is_not_decoded_either(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {"a/1.png": picture(GREY), "a/2.png": claiming(60, 40)})
    assert refusal(path).code == "pictures.size"
    assert refusal(path, picture=Wanted(resize=True)).code == "pictures.unreadable"


def test_sixteen_bits_a_channel_are_not_cut_in_silence(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(tmp_path / "deep.png")
    data = (tmp_path / "deep.png").read_bytes()
    (tmp_path / "deep.png").unlink()
    assert "more than 8 bits" in refusal(zipped(tmp_path / "f.zip", {"a/1.png": data})).message


# ------------------------------------------------------------ parts and classes

SPLIT = {
    "set/train/cat/1.png": picture(GREY), "set/train/dog/1.png": picture(255 - GREY),
    "set/test/dog/1.png": picture(GREY),
}  # fmt: skip


def test_a_part_is_chosen_and_keeps_the_labels_of_the_whole(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", SPLIT)
    info, made = convert(path, split="test")
    assert (made.y.tolist(), info["label_names"], info["label_histogram"]) == ([1], ["cat", "dog"], [0, 1])
    assert len(convert(path, split="all")[1]) == 3


@pytest.mark.parametrize("split", ["", "dev"])
def test_an_archive_of_parts_needs_one_of_them(split: str, tmp_path: Path) -> None:
    error = refusal(zipped(tmp_path / "f.zip", SPLIT), split=split)
    assert error.code == "records.split"
    assert "test, train" in error.message


def test_folders_that_are_numbers_are_the_labels(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {f"{n}/1.png": picture(GREY + n) for n in (10, 2, 0)})
    info, made = convert(path)
    assert (made.y.tolist(), info["label_names"], info["classes"]) == ([0, 10, 2], [], 11)


def test_the_names_that_a_task_has_count(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {"dog/1.png": picture(GREY), "ant/1.png": picture(GREY)})
    info, made = convert(path, options=TextOptions(label_names=tuple(["ant", "cat", "dog"])))
    assert (made.y.tolist(), info["label_names"]) == ([0, 2], ["ant", "cat", "dog"])
    (tmp_path / "out").unlink()
    error = refusal(path, options=TextOptions(label_names=tuple(["cat", "dog"])))
    assert error.code == "records.label_names"
    assert "“ant” is none of those that the task's other records have: cat, dog" in error.message


@pytest.mark.parametrize(
    "names",
    [["1.png", "2.png"], ["a/1.png", "2.png"], ["a/1.png", "b/c/2.png"], ["train/1.png", "test/2.png"],
     ["cat/black/1.png", "dog/brown/1.png"]],
)  # fmt: skip
def test_pictures_that_are_not_sorted_into_classes(names: list[str], tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {name: picture(GREY) for name in names})
    assert refusal(path).code == "pictures.folders"


def test_a_model_of_four_channels(tmp_path: Path) -> None:
    path = zipped(tmp_path / "f.zip", {"a/1.png": picture(GREY)})
    assert refusal(path, picture=Wanted(channels=4)).code == "pictures.channels"


def test_without_the_library_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "f.zip", {"a/1.png": picture(GREY)})

    def without(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("consolidation.formats.pictures.import_module", without)
    error = refusal(path)
    assert error.code == "family.extra"
    assert "nocturne[images]" in error.message


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    assert refusal(zipped(tmp_path / "f.zip", {"a/1.jsonl": b"{}"})).code == "container.unsupported"
