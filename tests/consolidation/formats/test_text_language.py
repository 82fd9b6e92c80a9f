"""Texts for a language model: blocks, prompts with what follows, ids of tokens, plain text."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from consolidation.errors import NocturneInputError
from consolidation.formats.chat import prompt_and_completion
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.text_files import convert, lines, parquet, stored
from tests.consolidation.text_helpers import tokenizer_json

if TYPE_CHECKING:
    from pathlib import Path

# As they are stored: [CLS] 3, [SEP] 4, good 5, bad 6, morning 7, night 8, very 10
BARE = json.dumps(json.loads(tokenizer_json()) | {"post_processor": None}).encode()


def language(folder: Path, data: bytes | None, **how: Any) -> dict[str, Any]:
    return convert(folder, data, objective="language", shift=1, **how)


def test_a_text_is_cut_into_blocks_and_framed_as_its_tokenizer_says(tmp_path: Path) -> None:
    info = language(tmp_path, lines({"text": "good bad morning night very"}), length=3)
    assert stored(tmp_path)[:2] == ([[3, 5, 6], [7, 8, 10]], [0, 0]), "a block of one token is left out"
    assert (info["classes"], info["objective"], info["x_shape"]) == (2**16, "language", [3])
    assert stored(tmp_path)[2]["objective"] == "language"


def test_no_block_is_longer_than_the_model_reads(tmp_path: Path) -> None:
    language(tmp_path, lines({"text": "good " * 20}), length=128, raw=BARE)
    assert [len(row) for row in stored(tmp_path)[0]] == [8, 8, 4]


def test_pieces_of_a_long_text_meet_without_a_seam(tmp_path: Path) -> None:
    language(tmp_path, lines({"text": "good bad " * 30_000}), length=100, longest=100, raw=BARE)
    rows = [token for row in stored(tmp_path)[0] for token in row]
    assert rows == [5, 6] * 30_000


def test_a_prompt_is_context_only(tmp_path: Path) -> None:
    language(tmp_path, lines({"prompt": "good morning", "completion": "bad night"}))
    assert stored(tmp_path)[:2] == ([[3, 5, 7, 6, 8, 4]], [3])


def test_ids_of_tokens_need_no_tokenizer(tmp_path: Path) -> None:
    language(tmp_path, lines({"tokens": [0, 9, 4, 4, 4]}), length=3, raw=b"none")
    assert stored(tmp_path)[0] == [[1, 10, 5], [5, 5]]


BAD: dict[str, tuple[str, str, dict[str, Any]]] = {
    "prompt and completion too long": (
        "records.token", "have 11 tokens, and the model reads at most 8",
        {"prompt": "good " * 4, "completion": "bad " * 5},
    ),
    "a megabyte of prompt": (
        "records.token", "500,003 letters", {"prompt": "a" * 500_000, "completion": "bad"},
    ),
    "no completion": ("replay.schema", "“completion”", {"prompt": "good"}),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_the_model_cannot_read_is_told_by_its_line(case: str, tmp_path: Path) -> None:
    code, says, row = BAD[case]
    fine = {"prompt": "good", "completion": "bad"}
    with pytest.raises(NocturneInputError, match=f"Line 2: .*{says}") as caught:
        language(tmp_path, lines(fine, row))
    assert code_of(caught) == code


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ([3, 10], "it has the token 10; the model knows 10"),
        ([-1, 3], "it has the token -1"),
        ([True, 3], "no list of whole numbers"),
        (["3"], "no list of whole numbers"),
        ([1], "fewer than two"),
        ([2**70, 1], "no list of whole numbers"),
    ],
)
def test_a51_ids_that_the_model_does_not_know_are_told(tokens: list[Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match=f"Line 1: .*{says}"):
        language(tmp_path, lines({"tokens": tokens}))


def test_a_prompt_without_anything_to_say_is_told(tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match="completion has no token"):
        language(tmp_path, lines({"prompt": "good", "completion": ""}), raw=BARE)


def said(*messages: str) -> list[dict[str, str]]:
    """ "user good" -> {"role": "user", "content": "good"}."""
    return [dict(zip(("role", "content"), message.split(" ", 1), strict=True)) for message in messages]


CHAT = said("system very good", "user good", "assistant bad", "user morning", "assistant night night")


def test_a_chat_is_a_prompt_and_what_the_assistant_says_last() -> None:
    asked, answer = prompt_and_completion(CHAT, "messages")
    assert asked == "System: very good\n\nUser: good\n\nAssistant: bad\n\nUser: morning\n\nAssistant:"
    assert answer == " night night"
    assert prompt_and_completion([*CHAT, *said("user good")], "messages") == (asked, answer)


@pytest.mark.parametrize("name", ["f.jsonl", "f.parquet"])
def test_only_the_last_answer_of_a_chat_is_learned(name: str, tmp_path: Path) -> None:
    rows = [{"id": "a", "messages": CHAT}]
    data = lines(*rows) if name == "f.jsonl" else None
    if data is None:
        parquet(tmp_path / name, rows)
    language(tmp_path, data, name=name, longest=64)
    (ids,), (first,), _ = stored(tmp_path)
    assert ids[first:] == [8, 8, 4], "night night and the end; what goes before is context only"
    assert ids[first - 2 : first] == [2, 2], "neither the assistant nor the colon is a word here"


CHATS: dict[str, tuple[Any, str]] = {
    "no list": ("user: good", "no list of 1 to 1,000 messages"),
    "none": ([], "no list of 1 to 1,000 messages"),
    "too many": (said("user a") * 1001, "no list of 1 to 1,000 messages"),
    "no message": ([*CHAT, "good"], "message 6 of its .messages. has no .role. and .content."),
    "no text": ([{"role": "user", "content": ["good"]}], "message 1 of its .messages. has no"),
    "somebody else": (said("user good", "tool 3"), "message 2 .* is by “tool”; known are system, user"),
    "no answer": (said("user good"), "the assistant says nothing"),
    "an empty answer": (said("user good", "assistant  "), "the assistant says nothing"),
}


@pytest.mark.parametrize("case", CHATS)
def test_a_chat_that_is_none_is_told_by_its_line(case: str, tmp_path: Path) -> None:
    messages, says = CHATS[case]
    with pytest.raises(NocturneInputError, match=f"Line 2: .*{says}") as caught:
        language(tmp_path, lines({"messages": CHAT}, {"messages": messages}), longest=64)
    assert code_of(caught) == "replay.schema"


def test_a_chat_template_among_the_messages_stays_text(tmp_path: Path) -> None:
    text = "{% for x in range(10**9) %}{{ cycler.__init__ }}{% endfor %}"
    asked, answer = prompt_and_completion(said(f"user {text}", f"assistant {text}"), "messages")
    assert (asked, answer) == (f"User: {text}\n\nAssistant:", f" {text}")


@pytest.mark.parametrize("packed", [False, True])
def test_a_blank_line_ends_a_document_of_plain_text(packed: bool, tmp_path: Path) -> None:
    data = "\ufeffgood\nbad morning\n\n \nnight night\r\nvery\n\nvery".encode()
    name = "f.txt.gz" if packed else "f.txt"
    language(tmp_path, gzip.compress(data) if packed else data, name=name, raw=BARE)
    assert stored(tmp_path)[0] == [[5, 6, 7], [8, 8, 10]], "one word alone has nothing that follows"


def test_a46_plain_text_that_is_none_is_told_by_its_line(tmp_path: Path) -> None:
    data = b"good bad\n\n" + b"a" * 2**21 + b"\n\nbad \xff\nbad \0 good\n"
    with pytest.raises(NocturneInputError, match="Line 3: it is longer than") as caught:
        language(tmp_path, data, name="f.txt")
    found = caught.value.detail["lines"]
    assert [(item["line"], item["code"]) for item in found] == [
        (3, "text.line_limit"), (5, "text.encoding"), (6, "text.encoding"),
    ]  # fmt: skip


def test_a47_blocks_that_take_too_much_room_are_refused(tmp_path: Path) -> None:
    """A few words more than the rest, and every row would be filled up to their length."""
    from consolidation.formats.records import convert_records
    from consolidation.formats.texts import TokenizerFile

    rows = [{"tokens": [1, 2]}] * 300 + [{"tokens": [1] * 1000}]
    (tmp_path / "f.jsonl").write_bytes(lines(*rows))
    file = TokenizerFile(None, 0, 0, 1000, 10, objective="language", shift=1)
    with pytest.raises(NocturneInputError, match="filled up to the longest") as caught:
        convert_records(
            tmp_path / "f.jsonl", task="t", out=tmp_path / "out", tokenizer=file, limit_bytes=70_000
        )
    assert code_of(caught) == "replay.expansion_limit"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_of_texts_are_read_too(kind: str, tmp_path: Path) -> None:
    rows = [{"prompt": "good", "response": "bad night"}]
    if kind == "parquet":
        parquet(tmp_path / "f.parquet", rows)
    language(tmp_path, b"prompt,response\ngood,bad night\n" if kind == "csv" else None, name=f"f.{kind}")
    assert stored(tmp_path)[:2] == ([[3, 5, 6, 8, 4]], [2])
