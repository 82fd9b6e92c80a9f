"""Questions with an answer in their context: letters become tokens, long contexts become windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consolidation.errors import NocturneInputError
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.text_files import convert, lines, parquet, stored

if TYPE_CHECKING:
    from pathlib import Path

# good 4, bad 5, morning 6, night 7, ##s 8, very 9; [CLS] 2, [SEP] 3; ten more in the context
ASK = {"question": "good", "context": "very bad mornings, night", "answer": "bad mornings", "answer_start": 5}
SQUAD = {key: ASK[key] for key in ("question", "context")} | {
    "id": "a", "answers": {"text": ["bad mornings", "bad"], "answer_start": [5, 5]},
}  # fmt: skip


def questions(folder: Path, data: bytes | None, **how: Any) -> dict[str, Any]:
    return convert(folder, data, objective="extractive-qa", second=10, **({"longest": 16} | how))


def spans(folder: Path) -> list[list[int]]:
    """The tokens of each answer as the record has them."""
    rows, labels, _ = stored(folder)
    return [row[y // 65_536 : y % 65_536 + 1] for row, y in zip(rows, labels, strict=True)]


@pytest.mark.parametrize("row", [ASK, SQUAD], ids=["columns", "squad"])
def test_letters_of_the_answer_become_its_first_and_last_token(row: dict[str, Any], tmp_path: Path) -> None:
    info = questions(tmp_path, lines(row))
    rows, labels, meta = stored(tmp_path)
    assert rows == [[2, 4, 3, 19, 15, 16, 18, 11, 17, 13]]
    assert labels == [4 * 65_536 + 6]
    assert (info["classes"], meta["objective"], info["label_histogram"]) == (2**32, "extractive-qa", [])


def test_an_answer_may_begin_and_end_within_a_word(tmp_path: Path) -> None:
    questions(tmp_path, lines(ASK | {"answer": "orning", "answer_start": 10}))
    assert spans(tmp_path) == [[16]]


def test_a_table_and_a_parquet_file_say_the_same(tmp_path: Path) -> None:
    row = 'question,context,answer,answer_start\ngood,"very bad mornings, night",bad mornings,5\n'
    questions(tmp_path, row.encode(), name="f.csv")
    told = stored(tmp_path)[:2]
    (tmp_path / "out").unlink()
    parquet(tmp_path / "f.parquet", [SQUAD])
    questions(tmp_path, None, name="f.parquet")
    assert stored(tmp_path)[:2] == told


def test_a_long_context_is_read_in_windows_and_those_without_the_answer_are_left_out(tmp_path: Path) -> None:
    words = ["very"] * 30
    words[12] = "bad"
    row = {"question": "good", "context": " ".join(words), "answer": "bad", "answer_start": 60}
    questions(tmp_path, lines(row))
    rows = stored(tmp_path)[0]
    assert spans(tmp_path) == [[15], [15]]
    assert all(len(one) == 16 and one[:3] == [2, 4, 3] and one[-1] == 13 for one in rows)
    (tmp_path / "out").unlink()
    questions(tmp_path, lines(row), probe=True)
    assert len(spans(tmp_path)) == 1, "a question proves once"


@pytest.mark.parametrize("at", range(30))
def test_wherever_the_answer_is_some_window_has_it(at: int, tmp_path: Path) -> None:
    words = ["very"] * 30
    words[at] = "bad"
    row = {"question": "good", "context": " ".join(words), "answer": "bad", "answer_start": 5 * at}
    questions(tmp_path, lines(row))
    assert spans(tmp_path) and all(span == [15] for span in spans(tmp_path))


BAD: dict[str, tuple[str, str, dict[str, Any]]] = {
    "another place": ("replay.schema", "not in the context at the place", {"answer_start": 4}),
    "beyond the end": ("replay.schema", "not in the context at the place", {"answer_start": 10**9}),
    "before the beginning": (
        "replay.schema", "not in the context at the place", {"answer": "night", "answer_start": -5},
    ),
    "no place": ("replay.schema", "no text with the place", {"answer_start": None}),
    "an empty answer": ("replay.schema", "no text with the place", {"answer": ""}),
    "a space": ("records.token", "no token at all", {"answer": " ", "answer_start": 4}),
    "the question is too long": ("records.token", "question has 20 tokens", {"question": "good " * 17}),
    "an answer that no window holds": (
        "records.token", "lies in no window of 12",
        {"context": "bad " * 30, "answer": "bad " * 15, "answer_start": 0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a51_answers_that_cannot_be_are_told_by_their_line(case: str, tmp_path: Path) -> None:
    code, says, change = BAD[case]
    with pytest.raises(NocturneInputError, match=f"Line 2: .*{says}") as caught:
        questions(tmp_path, lines(ASK, ASK | change))
    assert code_of(caught) == code


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"text": [], "answer_start": []}, "it has no answer"),
        ({"text": ["bad"]}, "are not"),
        ([1], "are not"),
        ({"text": [3], "answer_start": [5]}, "no text with the place"),
    ],
)
def test_answers_in_lists_are_checked(answers: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match=f"Line 1: .*{says}"):
        questions(tmp_path, lines(SQUAD | {"answers": answers}))
