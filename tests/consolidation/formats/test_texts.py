"""Texts with labels in JSON Lines: read by the model's own tokenizer, or refused with the line's number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.records import convert_records
from consolidation.formats.texts import TokenizerFile
from consolidation.memory.store import Records
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.text_files import convert, lines
from tests.consolidation.text_helpers import WORDS, tokenizer_json

if TYPE_CHECKING:
    from pathlib import Path


def test_texts_become_ids_of_tokens_as_wide_as_the_longest_of_them(tmp_path: Path) -> None:
    data = lines({"text": "Good MORNINGS", "y": 1}, {"text": "very bad night, ", "y": 0, "owner": "ann"})
    info = convert(tmp_path, data)
    records = Records.open(tmp_path / "out")
    # "s" is its own piece, the comma is no word; what the file says of truncation does not count
    assert records.x.tolist() == [[2, 4, 6, 8, 3, 0], [2, 9, 5, 7, 1, 3]]
    assert (info["x_shape"], info["x_dtype"], records.y.tolist()) == ([6], "uint16", [1, 0])
    assert records.rights.owner is not None


BAD: dict[str, tuple[str, str, dict[str, Any]]] = {
    "too many tokens": (
        "records.token",
        "has 9 tokens, and the model reads at most 8",
        {"text": "good " * 7},
    ),
    "too many letters": ("records.token", "has 600 letters", {"text": "a" * 600}),
    "no text": ("replay.schema", "is no text", {"text": 3}),
    "both": ("replay.schema", "numbers .*beside texts", {"text": "good", "x": [1]}),
    "neither": ("replay.schema", "has no “text”", {}),
    "the padding": ("records.token", "names the token that fills up", {"text": "good [PAD] bad"}),
    "half a character": ("jsonl.encoding", "lone surrogate", {"text": "\ud800"}),
}


@pytest.mark.parametrize("case", BAD)
def test_a_line_that_is_no_text_for_the_model_is_told_by_its_number(case: str, tmp_path: Path) -> None:
    code, says, row = BAD[case]
    data = lines({"text": "good", "y": 0}, {**row, "y": 0}, {"text": "bad", "y": 0})
    with pytest.raises(NocturneInputError, match=f"Line 2: .*{says}") as caught:
        convert(tmp_path, data)
    assert code_of(caught) == code
    assert not (tmp_path / "out").exists()


def test_numbers_among_texts_are_refused(tmp_path: Path) -> None:
    data = lines({"text": "good", "y": 0}, {"x": [2, 4, 3, 0, 0, 0, 0, 0], "y": 0})
    with pytest.raises(NocturneInputError, match="Line 2: it holds numbers") as caught:
        convert(tmp_path, data)
    assert code_of(caught) == "replay.schema"


def test_ids_of_tokens_pass_where_a_tokenizer_is_at_hand(tmp_path: Path) -> None:
    info = convert(tmp_path, lines({"x": [2, 4, 3], "y": 0}, {"x": [2, 5, 3], "y": 1}))
    assert info["x_shape"] == [3]


def test_without_a_tokenizer_texts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_bytes(lines({"text": "good", "y": 0}))
    file = TokenizerFile(None, 0, 0, 8, len(WORDS))
    for says, model in (("came without a tokenizer", file), ("has no text model", None)):
        with pytest.raises(NocturneInputError, match=says) as caught:
            convert_records(tmp_path / "f.jsonl", task="t", out=tmp_path / "out", tokenizer=model)
        assert code_of(caught) == "records.tokenizer"


def test_a_tokenizer_of_another_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match="token 7; the model knows 6") as caught:
        convert(tmp_path, lines({"text": "good night", "y": 0}), vocabulary=6)
    assert code_of(caught) == "records.token"


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff" * 9, tokenizer_json().replace(b"WordPiece", b"Unigram")])
def test_a_tokenizer_that_cannot_be_run_is_told(raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match="cannot be run") as caught:
        convert(tmp_path, lines({"text": "good", "y": 0}), raw=raw)
    assert code_of(caught) == "records.tokenizer"
