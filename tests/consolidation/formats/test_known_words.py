"""Tokens of words that were seen before are those that the tokenizer would give again, for every text."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from consolidation.formats import known_words, text_rows
from consolidation.formats.known_words import KnownWords
from consolidation.formats.texts import Encoded, Tokens
from consolidation.formats.word_cuts import blockers, plain_places
from tests.consolidation.formats.text_files import convert, lines, stored
from tests.consolidation.text_helpers import tokenizer_json

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (
    "It's good to sleep. A model that sleeps, they've said, forgets less in 2026 than the other 17,500 "
    "models; naïve Überprüfung, привет мир, καλημέρα κόσμε. Good Morning GOOD good!!! don't won't I'll"
)
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def _trained(model: Any, before: Any, normalizer: Any = None, post: Any = None, **more: Any) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer, tokenizer.decoder = before, decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if post is not None:
        tokenizer.post_processor = post
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if isinstance(model, models.BPE):
        trainer: Any = trainers.BpeTrainer(
            vocab_size=400, initial_alphabet=alphabet, show_progress=False, **more
        )
    else:
        trainer = trainers.UnigramTrainer(
            vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        )
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def _level(**how: Any) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **how)


@cache
def tokenizer(name: str) -> Tokenizer:
    """As the families of models have them."""
    if name == "bert":
        found = Tokenizer.from_str(tokenizer_json().decode())
        found.no_truncation()
        return found
    if name == "gpt2":
        return _trained(models.BPE(), _level(), post=processors.ByteLevel(trim_offsets=False))
    if name == "roberta":
        found = _trained(models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=True))
        found.add_special_tokens([AddedToken("<mask>", lstrip=True), "<s>", "</s>"])
        end, begin = ((one, found.token_to_id(one) or 0) for one in ("</s>", "<s>"))
        found.post_processor = processors.RobertaProcessing(end, begin)
        return found
    if name == "smollm":
        return _trained(models.BPE(), pre_tokenizers.Sequence([pre_tokenizers.Digits(True), _level()]))
    if name == "llama3":
        split = pre_tokenizers.Split(Regex(LLAMA), "isolated")
        return _trained(
            models.BPE(ignore_merges=True), pre_tokenizers.Sequence([split, _level(use_regex=False)])
        )
    if name == "t5":
        before: Any = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
        after = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
        return _trained(models.Unigram(), before, after)
    before = pre_tokenizers.Metaspace(prepend_scheme="first")
    return _trained(
        models.Unigram(), before, normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    )


_PUNCTUATION = pre_tokenizers.Punctuation("merged_with_next")
NAMES = ("bert", "gpt2", "roberta", "smollm", "llama3", "t5", "xlnet")
PIECES = st.sampled_from([
    *" \u0020\t\n\r\u00a0\u3000\u200b\u200d\u0301\u0308\u00a8\u00b4\u00ad\u0600\u0d4e\u037a\ufeff\x00\x1f",
    *"aZé½ﬁ—…。字あم١٣7'\"_#-<>", "good", " good", "Good ", " mornings", "<mask>", " <mask> ", "[SEP]",
    "\x85", "'ll", " 12", "345",
    "  ", "\n\n", " \n ", "e\u0301", "👩\u200d🔬", "=" * 60,
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.lists(PIECES, max_size=14).map("".join), min_size=1, max_size=4))
@pytest.mark.parametrize("name", NAMES)
def test_every_text_is_read_as_the_tokenizer_reads_it(name: str, texts: list[str]) -> None:
    whole = tokenizer(name)

    def ask(text: str) -> Any:
        return whole.encode(text, add_special_tokens=False)

    for places in {False, plain_places(whole)}:
        words = KnownWords(whole, ask, places=places, compared=0)
        assert words.useful
        for text in texts * 2:  # again, with words that are known by now
            found, wanted = words.read(text), ask(text)
            assert found.ids.tolist() == wanted.ids
            if found.spans is not None:
                assert list(map(tuple, found.spans.tolist())) == wanted.offsets


def test_a_word_is_asked_for_once() -> None:
    asked = []
    whole = tokenizer("gpt2")

    def ask(text: str) -> Any:
        asked.append(text)
        return whole.encode(text, add_special_tokens=False)

    words = KnownWords(whole, ask, places=False, compared=0)
    for _ in range(9):
        words.read("good night good morning")
    assert asked == ["good", " night", " good", " morning"]


def test_words_that_swallow_a_space_or_hold_one_keep_their_texts_whole() -> None:
    whole = _trained(models.BPE(), _level())
    whole.add_special_tokens([AddedToken("<end>", rstrip=True), AddedToken("New York")])
    assert sorted(blockers(whole) or ()) == ["<end>", "New York"]
    words = KnownWords(
        whole, lambda text: whole.encode(text, add_special_tokens=False), places=False, compared=0
    )
    for text in ("a<end> good", "in New York now", "no such word"):
        assert words.read(text).ids.tolist() == whole.encode(text).ids


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("pre_tokenizer", pre_tokenizers.Split(Regex("o g"), "isolated")),
        ("pre_tokenizer", pre_tokenizers.Sequence([_level(use_regex=False), pre_tokenizers.Whitespace()])),
        ("pre_tokenizer", pre_tokenizers.Metaspace(split=False)),
        ("pre_tokenizer", pre_tokenizers.Sequence([_level(), _PUNCTUATION])),
        ("normalizer", normalizers.Prepend("_")),
        ("normalizer", normalizers.Replace(" ", "_")),
        ("normalizer", normalizers.Strip()),
        ("model", models.BPE(dropout=0.5)),
    ],
    ids=str,
)  # fmt: skip
def test_a_step_that_may_look_over_a_space_is_not_trusted(part: str, value: Any) -> None:
    whole = _trained(models.BPE(), _level())
    setattr(whole, part, value)
    assert blockers(whole) is None


def test_one_that_reads_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the steps say: what differs among the first texts is not read by words any more."""
    whole = _trained(models.BPE(), pre_tokenizers.Whitespace())
    whole.pre_tokenizer = pre_tokenizers.Split(Regex("d n"), "isolated")
    monkeypatch.setattr(known_words, "blockers", lambda _: ())
    words = KnownWords(whole, lambda text: whole.encode(text, add_special_tokens=False), places=False)
    assert words.useful
    assert words.read("good night").ids.tolist() == whole.encode("good night").ids
    assert not words.useful


def test_what_is_remembered_has_an_end_and_texts_of_new_words_are_read_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = tokenizer("gpt2")
    monkeypatch.setattr(known_words, "_WORDS", 10)
    monkeypatch.setattr(known_words, "_WINDOW", 200)
    words = KnownWords(
        whole, lambda text: whole.encode(text, add_special_tokens=False), places=False, compared=0
    )
    for at in range(150):
        assert words.read(f"a{at} b{at}").ids.tolist() == whole.encode(f"a{at} b{at}").ids
        assert len(words._rest) <= 10
    assert not words.useful


# ------------------------------------------------------------ whole files


class Plainly(Tokens):
    """Asks the tokenizer for every text, as it was done before words were remembered."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._words.useful = self._placed.useful = False


ROWS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "texts": ([{"text": f"Good mornings, very {one} night [SEP]", "y": 0} for one in "abcd" * 50], {}),
    "two": (
        [{"text": "good " * (at % 4), "text2": "bad, " * (at % 7) + "night", "y": 0} for at in range(200)],
        {"truncate": True, "second": 10},
    ),
    "language": (
        [{"text": "very good mornings,  night " * (at % 5 + 1)} for at in range(200)],
        {"objective": "language"},
    ),
    "pairs": (
        [{"prompt": "good " * (at % 3), "completion": "very bad night"} for at in range(200)],
        {"objective": "language"},
    ),
    "questions": (
        [
            {"question": "good?", "context": "very " * at + "bad mornings, night", "answer": "bad mornings",
             "answer_start": 5 * at}
            for at in range(100)
        ],
        {"objective": "extractive-qa", "second": 10, "longest": 16},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
def test_a_file_gives_the_same_records_bit_for_bit(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, how = ROWS[kind]
    how = {"longest": 12} | how
    convert(tmp_path, lines(*rows), **how)
    made = (tmp_path / "out").read_bytes()
    (tmp_path / "out").unlink()
    monkeypatch.setattr(text_rows, "Tokens", Plainly)
    convert(tmp_path, lines(*rows), **how)
    assert (tmp_path / "out").read_bytes() == made
    assert len(stored(tmp_path)[0]) >= 100


def test_the_frame_is_that_of_the_tokenizer(tmp_path: Path) -> None:
    whole = Tokenizer.from_str(tokenizer_json().decode())
    raw = json.dumps(json.loads(tokenizer_json())).encode()
    (tmp_path / "t").write_bytes(raw)
    tokens = Tokens(_file(tmp_path / "t", len(raw)))
    whole.no_truncation()
    for texts in (("good [SEP] night",), ("good", ""), ("", "very bad"), ("bad night", "good mornings")):
        found, wanted = tokens.encode(*texts, places=True), whole.encode(*texts)
        assert (found.ids.tolist(), found.second.tolist()) == (
            wanted.ids,
            [one == 1 for one in wanted.type_ids],
        )
        assert found.of.tolist() == [-1 if one is None else one for one in wanted.sequence_ids]
        assert list(map(tuple, found.spans.tolist())) == wanted.offsets
        assert isinstance(found, Encoded) and found.ids.dtype == np.int64


def _file(path: Path, size: int) -> Any:
    from consolidation.formats.texts import TokenizerFile
    from tests.consolidation.text_helpers import WORDS

    return TokenizerFile(path, 0, size, 64, len(WORDS))
