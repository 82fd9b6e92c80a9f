"""What the checker says of companion files is believed only as far as it can be checked again."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest

from consolidation.errors import NocturneInputError
from webapp.core.checksums import file_crc32
from webapp.uploads.companions import companions_path, kept_files


def copy(tmp_path: Path, extras: bytes | None = b"{}[1]") -> Path:
    path = tmp_path / "out"
    path.write_bytes(b"weights")
    if extras is not None:
        companions_path(path).write_bytes(extras)
    return path


def answer(*extras: Any, **more: Any) -> dict[str, Any]:
    return {"format": "huggingface", "extras": list(extras), "notes": ["a", "b"]} | more


CONFIG = {"name": "config.json", "offset": 0, "size": 2}
VOCAB = {"name": "vocab.json", "offset": 2, "size": 3}


def test_what_fits_is_kept_with_checksums_of_our_own(tmp_path: Path) -> None:
    kept, size = kept_files(copy(tmp_path), answer(CONFIG, VOCAB))
    assert size == 5
    assert kept.extras == (CONFIG | {"crc32": zlib.crc32(b"{}")}, VOCAB | {"crc32": zlib.crc32(b"[1]")})
    assert kept.crc32 == file_crc32(tmp_path / "out") == zlib.crc32(b"weights")
    assert (kept.format, kept.notes) == ("huggingface", ("a", "b"))


def test_without_companions_there_is_nothing_to_keep(tmp_path: Path) -> None:
    kept, size = kept_files(copy(tmp_path, None), {"format": "safetensors"})
    assert (size, kept.extras, kept.extras_sha256, kept.notes) == (0, (), "", ())


def test_long_notes_and_many_of_them_are_cut(tmp_path: Path) -> None:
    kept, _ = kept_files(copy(tmp_path, None), {"format": "gguf", "notes": ["x" * 1000] * 99})
    assert len(kept.notes) == 40
    assert max(map(len, kept.notes)) <= 300


def with_(field: str, value: Any) -> dict[str, Any]:
    return answer(CONFIG | {field: value}, VOCAB)


LIES: dict[str, dict[str, Any]] = {
    "unknown format": answer(CONFIG, VOCAB, format="exe"),
    "no format": {"extras": [CONFIG, VOCAB]},
    "extras are a table": {"format": "peft", "extras": {"config.json": 1}},
    "an extra is text": answer("config.json", VOCAB),
    "an extra is nothing": answer(None, VOCAB),
    "an extra is a list": answer(["config.json", 0, 2], VOCAB),
    "an extra without size": answer({"name": "config.json", "offset": 0}, VOCAB),
    "an extra with more": answer(CONFIG | {"path": "/etc/passwd"}, VOCAB),
    "a name that leads out": with_("name", "../config.json"),
    "a name with a folder": with_("name", "a/config.json"),
    "a hidden name": with_("name", ".env"),
    "a name that is a number": with_("name", 7),
    "two of one name": answer(CONFIG, VOCAB | {"name": "CONFIG.json"}),
    "a size that is text": with_("size", "2"),
    "a size that is true": answer(CONFIG | {"size": True}, VOCAB | {"offset": 1, "size": 4}),
    "a size with a fraction": with_("size", 2.0),
    "a negative size": answer(CONFIG | {"size": -2}, VOCAB | {"offset": -2, "size": 7}),
    "a hole": answer(CONFIG, VOCAB | {"offset": 3}),
    "an offset that is nothing": with_("offset", None),
    "less than there is": answer(CONFIG),
    "more than there is": answer(CONFIG, VOCAB | {"size": 99}),
    "far too many": answer(*[CONFIG] * 65),
    "notes are text": answer(CONFIG, VOCAB, notes="many"),
    "a note is a table": answer(CONFIG, VOCAB, notes=[{}]),
}


@pytest.mark.parametrize("row", LIES)
def test_an_answer_that_does_not_fit_the_files_is_a_contradiction(row: str, tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError) as caught:
        kept_files(copy(tmp_path), LIES[row])
    assert caught.value.code == "verify.failed"


@pytest.mark.parametrize("kind", ["missing", "link"])
def test_companions_that_are_no_file_are_one_too(kind: str, tmp_path: Path) -> None:
    path = copy(tmp_path, None)
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(b"{}[1]")
        companions_path(path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NocturneInputError) as caught:
        kept_files(path, answer(CONFIG, VOCAB))
    assert caught.value.code == "verify.failed"
