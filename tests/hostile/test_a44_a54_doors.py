"""Rows A32 to A54 at the doors of pictures, texts, exported datasets and tokenizers, each through the real
confined child: one sentence with its code, in bounded time and memory, and nothing left behind."""

from __future__ import annotations

import json
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.consolidation.formats.archives import picture, saved, zipped
from tests.consolidation.formats.text_files import lines
from tests.consolidation.text_helpers import tokenizer_json
from tests.hostile.behind_walls import Told, reader, through

Made = tuple[Path, dict[str, Any]]
DOT: Final = picture(np.zeros((8, 8)))
BAD: Final = "bad "
ASK: Final = {"question": "good", "context": "very bad", "answer": "bad", "answer_start": 5}
ASK_LONG: Final[dict[str, Any]] = {key: [value] for key, value in ASK.items()} | {
    "context": [BAD * 5 * 2**20], "answer_start": [4000],
}  # fmt: skip
REPEATED: Final = pa.DictionaryArray.from_arrays(np.zeros(5000, np.int32), [BAD * 2**19])
MEGABYTES: Final = 400.0
SECONDS: Final = 30.0


# ------------------------------------------------------------ how they are made


def pictures(**files: bytes) -> Callable[[Path], Made]:
    """An archive of "class/name"; one underscore is the slash."""
    named = {name.replace("_", "/", 1).replace("_", "."): data for name, data in files.items()}
    return lambda folder: (zipped(folder / "f.zip", named), {})


def archive(files: dict[str, bytes]) -> Callable[[Path], Made]:
    return lambda folder: (zipped(folder / "f.zip", files), {})


def png(*more: bytes, idat: bytes | None = None) -> bytes:
    """8 x 8 grey values, with further chunks."""
    rows = zlib.compress(bytes(9 * 8)) if idat is None else idat
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(megabytes: int) -> bytes:
    """Zeros, as zlib packs them."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes)) + packer.flush()


def linked(folder: Path) -> Made:
    path = zipped(folder / "f.zip", {"cat/1.png": DOT})
    with zipfile.ZipFile(path, "a") as made:
        link = zipfile.ZipInfo("cat/2.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
    return path, {}


def jsonl(*rows: Any, objective: str = "classification") -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        (folder / "f.jsonl").write_bytes(lines(*rows))
        return folder / "f.jsonl", {"tokenizer": reader(folder, objective)}

    return make


def table(*parts: bytes | int) -> Callable[[Path], Made]:
    """A CSV of texts and labels; a number stands for so many megabytes of one letter."""

    def make(folder: Path) -> Made:
        with (folder / "f.csv").open("wb") as file:
            for part in (b"text,label\ngood,0\n", *parts):
                for _ in range(part if isinstance(part, int) else 1):
                    file.write(b"a" * 2**20 if isinstance(part, int) else part)
        return folder / "f.csv", {"tokenizer": reader(folder)}

    return make


def parquet(objective: str, packing: str = "none", **columns: Any) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        pq.write_table(pa.table(columns), folder / "f.parquet", compression=packing)
        return folder / "f.parquet", {"tokenizer": reader(folder, objective)}

    return make


def dataset(**columns: Any) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        path = zipped(folder / "f.zip", saved(pa.table(columns), {}))
        return path, {"tokenizer": reader(folder)}

    return make


def overlapping() -> pa.Array:
    """A hundred thousand texts that all say that they are the same megabyte."""
    text = (BAD * 2**18).encode()
    places = np.zeros(100_001, np.int32)
    places[1::2] = len(text)
    return pa.Array.from_buffers(
        pa.string(), 100_000, [None, pa.py_buffer(places.tobytes()), pa.py_buffer(text)]
    )


def nested(levels: int) -> pa.Array:
    kind = pa.int32()
    for _ in range(levels):
        kind = pa.list_(kind)
    return pa.nulls(1, kind)


def tokenizer(**changed: Any) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer_json()) | changed))
        return folder / "tokenizer.json", {"purpose": "tokenizer", "vocabulary": 100}

    return make


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def steps(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


def added(content: str) -> dict[str, Any]:
    plain = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": 1, "content": content, **plain}


DOUBLED: Final = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}

# ------------------------------------------------------------ what is refused

HOSTILE: dict[str, tuple[Callable[[Path], Made], str, str]] = {
    "A32-out-of-the-folder": (archive({"../cat/1.png": DOT}), "archive.path_traversal", "../cat/1.png"),
    "A33-a-link": (linked, "archive.link_forbidden", "cat/2.png"),
    "A36-names-alike-but-for-case": (
        archive({"Cat/1.png": DOT, "cat/1.png": DOT}), "archive.name_conflict", "cat/1.png",
    ),
    "A44-a-pattern-that-takes-for-ever": (
        tokenizer(pre_tokenizer=split("(a+)+$")), "tokenizer.limit", "several ways",
    ),
    "A44-doublings": (tokenizer(normalizer=steps(*[DOUBLED] * 7)), "tokenizer.limit", "64 times as long"),
    "A44-beginnings": (
        tokenizer(normalizer=steps(*[{"type": "Prepend", "prepend": "a" * 900}] * 5)), "tokenizer.limit",
        "puts 4,500 letters before every text",
    ),
    "A44-a-word-of-5000-letters": (
        tokenizer(added_tokens=[added("a" * 5000)]), "tokenizer.limit", "added tokens of 5,000 letters",
    ),
    "A44-words-of-6-MB": (
        tokenizer(added_tokens=[added(f"{n:04}" * 500) for n in range(3000)]), "tokenizer.limit",
        "added tokens of 6,000,000 letters",
    ),
    "A44-words-without-number": (
        tokenizer(added_tokens=[added(f"<{n}>") for n in range(100_001)]), "tokenizer.limit",
        "more than 100,000 added tokens",
    ),
    "A46-a-line-of-20-MB": (jsonl({"text": "good", "y": 0}, {"text": BAD * 5 * 2**20, "y": 0}),
                            "jsonl.line_limit", "Line 2: it is longer than"),
    "A46-a-field-of-200-MB": (table(200, b",1\n"), "csv.line_limit", "Line 3: it is longer than"),
    "A46-a-quote-that-never-closes": (
        table(b'"', *[b"a" * 1000 + b"\n"] * 20_000), "csv.syntax", "Line 3: its quotes do not close",
    ),
    "A46-a-label-of-900-KB": (
        jsonl({"text": "good", "label": "a" * 900_000}), "replay.schema", "no name of at most 200 letters",
    ),
    "A46-10500-labels": (
        jsonl(*({"text": "good", "label": f"l{n}"} for n in range(10_500))), "records.mapping",
        "holds more than 10,000 different labels",
    ),
    "A47-a-picture-whose-notes-unpack-to-1-GB": (
        pictures(cat_1_png=png(chunk(b"zTXt", b"k\0\0" + packed(1000))), dog_1_png=DOT),
        "pictures.unreadable", "Picture 1: cat/1.png",
    ),
    "A47-a-picture-whose-colours-unpack-to-1-GB": (
        pictures(cat_1_png=png(chunk(b"iCCP", b"k\0\0" + packed(1000))), dog_1_png=DOT),
        "pictures.unreadable", "Picture 1: cat/1.png",
    ),
    "A47-another-format-under-the-name": (
        pictures(cat_1_png=picture(np.zeros((8, 8, 3)), "WEBP"), dog_1_png=DOT), "pictures.unreadable",
        "Picture 1: cat/1.png is no PNG or JPEG",
    ),
    "A48-a-context-of-20-MB": (
        parquet("extractive-qa", **ASK_LONG), "records.token", "its context has 20,971,520 letters",
    ),
    "A48-one-text-in-every-row": (
        parquet("language", packing="zstd", text=REPEATED),
        "parquet.limit", "its texts are more than 67,108,864 letters, over 200 times its size",
    ),
    "A48-texts-that-share-a-megabyte": (
        dataset(text=overlapping(), label=np.zeros(100_000, np.int64)), "arrow.malformed", "damaged",
    ),
    "A48-dictionaries": (
        dataset(text=pa.array(["bad"] * 9).dictionary_encode(), label=[0] * 9), "arrow.unsupported",
        "it uses dictionaries",
    ),
    "A48-lists-60-deep": (dataset(x=nested(60), label=[0]), "parquet.columns", ""),
    "A51-an-answer-behind-all-letters": (
        jsonl(ASK | {"answer_start": 10**15}, objective="extractive-qa"), "replay.schema",
        "Line 1: its answer is not in the context at the place that it names",
    ),
    "A51-an-answer-before-all-letters": (
        jsonl(ASK | {"answer_start": -3}, objective="extractive-qa"), "replay.schema",
        "Line 1: its answer is not in the context at the place that it names",
    ),
}  # fmt: skip


def bounded(told: Told) -> None:
    assert told.seconds < SECONDS
    assert told.megabytes < MEGABYTES


@pytest.mark.parametrize("row", HOSTILE)
def test_one_sentence_in_bounded_time_and_memory(row: str, tmp_path: Path) -> None:
    make, code, says = HOSTILE[row]
    path, request = make(tmp_path)
    told = through(path, **request)
    assert told.code == code
    assert says in told.message
    assert told.message.endswith(".") and told.message.isprintable() and len(told.message) < 700
    assert str(tmp_path) not in told.message
    assert told.left == []
    bounded(told)


# ------------------------------------------------------------ what is honest, or harmless

HONEST: dict[str, tuple[Callable[[Path], Made], int]] = {
    "pictures": (
        pictures(cat_1_png=DOT, dog_1_jpg=picture(np.zeros((8, 8)), "JPEG", progressive=True)), 2,
    ),
    "A47-a-picture-with-1-GB-behind-its-last-row": (
        pictures(cat_1_png=png(idat=packed(1000)), dog_1_png=DOT), 2,
    ),
    "a-dataset": (dataset(text=["good night"] * 3000, label=np.arange(3000) % 2), 3000),
    "texts": (jsonl(*({"text": f"good {'night ' * (n % 9)}", "y": n % 2} for n in range(500))), 500),
    "A48-a-text-of-8-MB": (parquet("language", text=[BAD * 2**21, "good night"]), 2**21 // 64 + 2),
}  # fmt: skip


@pytest.mark.parametrize("row", HONEST)
def test_what_is_honest_is_read_where_no_thread_can_be_made(row: str, tmp_path: Path) -> None:
    make, rows = HONEST[row]
    path, request = make(tmp_path)
    told = through(path, **request)
    assert (told.code, told.left) == ("", ["out"])
    assert told.info["rows"] == rows
    assert "system calls" in told.walls or sys.platform != "linux"
    bounded(told)
