"""Texts with labels from every format: pairs, names of labels, columns told or guessed, long ones cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.mapping import check_mapping, guess
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.text_files import convert, lines, parquet, stored

if TYPE_CHECKING:
    from pathlib import Path

# good 4, bad 5, morning 6, night 7, ##s 8, very 9; [CLS] 2, [SEP] 3
PAIR = {"sentence1": "good morning", "sentence2": "bad night", "label": 1}


def test_the_second_text_is_stored_above_the_vocabulary(tmp_path: Path) -> None:
    convert(tmp_path, lines({**PAIR, "idx": 7}), second=10)
    assert stored(tmp_path)[0] == [[2, 4, 6, 3, 15, 17, 13]]


def test_a_model_of_one_segment_gets_plain_ids(tmp_path: Path) -> None:
    convert(tmp_path, lines(PAIR))
    assert stored(tmp_path)[0] == [[2, 4, 6, 3, 5, 7, 3]]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("good " * 9, "bad", [2, 4, 4, 4, 4, 3, 15, 13]),
        ("good", "bad " * 9, [2, 4, 3, 15, 15, 15, 15, 13]),
        ("good " * 9, "bad " * 9, [2, 4, 4, 3, 15, 15, 15, 13]),
    ],
)
def test_who_asks_for_it_gets_the_longer_text_cut(
    first: str, second: str, kept: list[int], tmp_path: Path
) -> None:
    row = lines({"text": first, "text2": second, "y": 0})
    with pytest.raises(NocturneInputError, match=r"Line 1: its text has .* tokens"):
        convert(tmp_path, row, second=10)
    convert(tmp_path, row, second=10, truncate=True)
    assert stored(tmp_path)[0] == [kept]


def test_one_text_is_cut_at_its_end_and_keeps_what_stands_around_it(tmp_path: Path) -> None:
    convert(tmp_path, lines({"text": "good " * 4000, "y": 0}), truncate=True)
    assert stored(tmp_path)[0] == [[2, 4, 4, 4, 4, 4, 4, 3]]


FORMATS = {
    "csv": b"idx;Sentence;label;owner\n0;good night;yes;ann\n1;\"bad\nmorning; very\";no;bob\n",
    "tsv": b"idx\tSentence\tlabel\towner\n0\tgood night\tyes\tann\n1\t\"bad\nmorning; very\"\tno\tbob\n",
    "jsonl": lines(
        {"idx": 0, "Sentence": "good night", "label": "yes", "owner": "ann"},
        {"idx": 1, "Sentence": "bad\nmorning; very", "label": "no", "owner": "bob"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*FORMATS, "parquet"])
def test_every_format_gives_the_same_records(kind: str, tmp_path: Path) -> None:
    if kind == "parquet":
        rows = [{"idx": 0, "Sentence": "good night", "label": "yes", "owner": "ann"},
                {"idx": 1, "Sentence": "bad\nmorning; very", "label": "no", "owner": "bob"}]  # fmt: skip
        parquet(tmp_path / "f.parquet", rows)
    info = convert(tmp_path, FORMATS.get(kind), name=f"f.{kind}")
    assert stored(tmp_path)[:2] == ([[2, 4, 7, 3], [2, 5, 6, 1, 9, 3]], [1, 0])
    assert (info["label_names"], info["rights"], info["classes"]) == (["no", "yes"], ["owner"], 2)


def test_columns_are_read_as_they_are_told(tmp_path: Path) -> None:
    row = lines({"text": "bad", "other": "good", "label": 0, "level": 1})
    convert(tmp_path, row, mapping={"text": "other", "label": "level"})
    assert stored(tmp_path)[:2] == ([[2, 4, 3]], [1])


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"text": "nowhere", "label": "y"}, "no column “nowhere”; there are text, y"),
        ({"text": "text"}, "names only text. This model's records need text and label"),
        ({"text": "text", "label": "y", "prompt": "text"}, "“prompt” is no part"),
        ({"text": "te\nxt", "label": "y"}, "no name that a column can have"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told(mapping: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match=says) as caught:
        convert(tmp_path, lines({"text": "good", "y": 0}), mapping=mapping)
    assert code_of(caught) == "records.mapping"
    assert not (tmp_path / "out").exists()


def test_columns_without_a_usual_name_are_listed(tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match=r"do not tell what they are \(a, b\)") as caught:
        convert(tmp_path, lines({"a": "good", "b": 0}))
    assert code_of(caught) == "records.mapping"


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["sentence", "label", "idx"], {"text": "sentence", "label": "label"}),
        (["question", "sentence", "label"], {"text": "question", "text2": "sentence", "label": "label"}),
        (["premise", "hypothesis", "label"], {"text": "premise", "text2": "hypothesis", "label": "label"}),
        (["Text", "Y"], {"text": "Text", "label": "Y"}),
        (["text"], None),
        (["label"], None),
    ],
)
def test_usual_names_of_columns_are_known(columns: list[str], found: dict[str, str] | None) -> None:
    assert guess(columns, "classification") == found


def test_a_told_mapping_without_answers_is_none() -> None:
    assert check_mapping({"text": "", "label": None}, "classification") == {}


def test_names_of_labels_that_the_task_has_keep_their_numbers(tmp_path: Path) -> None:
    row = {"text": "good", "label": "b"}
    info = convert(tmp_path, lines(row), label_names=("z", "b"))
    assert (stored(tmp_path)[1], info["label_names"]) == ([1], ["z", "b"])
    with pytest.raises(NocturneInputError, match=r"Line 2: its label “c” is none of .* z, b") as caught:
        convert(tmp_path, lines(row, row | {"label": "c"}), label_names=("z", "b"))
    assert code_of(caught) == "replay.schema"


def test_names_of_labels_are_the_models_whatever_their_letters(tmp_path: Path) -> None:
    """By their alphabet they would be the other way round, and every label wrong."""
    rows = lines({"text": "bad", "label": "Negative"}, {"text": "good", "label": "positive"})
    info = convert(tmp_path, rows, model_names=("POSITIVE", "NEGATIVE"))
    assert (stored(tmp_path)[1], info["label_names"]) == ([1, 0], ["POSITIVE", "NEGATIVE"])
    (tmp_path / "out").unlink()
    strange = lines({"text": "bad", "label": "neg"})
    with pytest.raises(NocturneInputError, match=r"“neg” is none .* the model has: POSITIVE, NEGATIVE"):
        convert(tmp_path, strange, model_names=("POSITIVE", "NEGATIVE"))
    convert(tmp_path, rows, model_names=("other", "names"), label_names=("Negative", "positive"))
    assert stored(tmp_path)[1] == [0, 1], "the task's other records come first"
    (tmp_path / "out").unlink()
    info = convert(tmp_path, lines({"text": "bad", "label": 1}), model_names=("POSITIVE", "NEGATIVE"))
    assert (stored(tmp_path)[1], info["label_names"]) == ([1], [])


def test_of_the_models_names_a_task_has_those_of_its_own_columns(tmp_path: Path) -> None:
    names = ("a", "b", "yes", "no")
    convert(tmp_path, lines({"text": "bad", "label": "no"}), model_names=names, classes=4, head=(2, 4))
    assert stored(tmp_path)[1] == [3]
    (tmp_path / "out").unlink()
    with pytest.raises(NocturneInputError, match=r"“a” is none of the labels that the model has: yes, no"):
        convert(tmp_path, lines({"text": "bad", "label": "a"}), model_names=names, classes=4, head=(2, 4))


def test_a_table_whose_columns_nobody_named_is_told_so(tmp_path: Path) -> None:
    data = b"premise,consequence,verdict\ngood,bad,yes\n"
    with pytest.raises(NocturneInputError, match=r"premise, consequence, verdict.*need text and label"):
        convert(tmp_path, data, name="f.csv")
    with pytest.raises(NocturneInputError, match="names no column y or label"):
        convert(tmp_path, b"0,1,2\n4,5,6\n", name="f.csv")
    convert(tmp_path, b"y,0,1,owner\n1,4,5,ann\n", name="f.csv")
    assert stored(tmp_path)[0] == [[4, 5]], "ids of tokens, and whose they are"
    with pytest.raises(NocturneInputError, match=r"Line 2: .*take in what the other lines hold \(1 record\)"):
        convert(tmp_path, b"y,0,1\n1,4,oops\n0,4,5\n", name="f.csv")


LABELS: dict[str, tuple[str, str, list[Any]]] = {
    "mixed": ("replay.schema", "Line 2: its label is a number and others are names", ["a", 1]),
    "missing": ("replay.schema", "Line 2: .* neither a whole number nor a name", [0, None]),
    "a fraction": ("replay.schema", "Line 2: .* neither a whole number nor a name", [0, 0.5]),
    "more than the head": ("replay.schema", "with 2 classes it must be from 0 to 1", [0, 1, 2]),
    "more names than the head": ("records.label_range", "3 labels .*tells 2 apart", ["a", "b", "c"]),
    "texts taken for labels": ("records.mapping", "different labels", [str(n) + "a" for n in range(10_001)]),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_cannot_be_are_told(case: str, tmp_path: Path) -> None:
    code, says, labels = LABELS[case]
    with pytest.raises(NocturneInputError, match=says) as caught:
        convert(tmp_path, lines(*({"text": "good", "label": label} for label in labels)), classes=2)
    assert code_of(caught) == code
    assert not (tmp_path / "out").exists()


BROKEN: dict[str, tuple[str, bytes]] = {
    "A46-line-of-2-MB": ("csv.line_limit", b"a" * 2**21),
    "A46-open-quote": ("csv.syntax", b'"' + b"a" * 200_000),
    "A46-nul": ("csv.encoding", b"good\0,0"),
    "A46-not-utf8": ("csv.encoding", b"\xff,0"),
    "A46-cr-only": ("csv.encoding", b"good,0\rbad,1"),
    "A51-a-field-more": ("replay.schema", b"good,0,1"),
    "A51-no-label": ("replay.schema", b"good,"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_lines_of_a_table_are_told_by_their_number(case: str, tmp_path: Path) -> None:
    code, line = BROKEN[case]
    data = b"text,label\ngood,0\n" + line + b"\nbad,1\n"
    with pytest.raises(NocturneInputError, match=r"^Line 3: ") as caught:
        convert(tmp_path, data, name="f.csv")
    assert code_of(caught) == code
    assert sorted(found.name for found in tmp_path.iterdir()) == ["extras", "f.csv"]
