"""The tokenizer.json made of a GGUF file cuts text as the tokenizer did that went into it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from consolidation.formats.gguf import open_gguf
from consolidation.formats.gguf_tokenizer import tokenizer_files
from consolidation.formats.region import Region
from tests.consolidation.formats.gguf_files import tiny

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    "", " ", "Hello world, it's 2026!", "  two  spaces\n\n\tand tabs\r\n", "don't we'll I'm HE'S",
    "1234567 12 3", "ümläut naïve 東京 🙂🙂", "a<|end|>b <|user|> c", "x" * 50, "price: $3.50 (net)...",
    "\u00a0no-break",
]  # fmt: skip
CORPUS = [*TEXTS, *(f"number {n} and the word{n % 7}s' end, isn't it" for n in range(300))]


def trained(cut: Any) -> Tokenizer:
    """A small byte-level BPE with two special tokens, trained on the spot."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens(["<|user|>"])
    return tokenizer


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
CUTS: dict[str, Callable[[], Any]] = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "llama-bpe": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
}


def said(tokenizer: Tokenizer, pre: str) -> dict[str, Any]:
    """The key-values that llama.cpp's converter writes for it."""
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [str(tokenizer.id_to_token(n)) for n in range(tokenizer.get_vocab_size())]
    kinds = [{"<|end|>": 3, "<|user|>": 4}.get(token, 1) for token in tokens]
    return {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [" ".join(merge) for merge in model["merges"]],
        "tokenizer.ggml.eos_token_id": tokens.index("<|end|>"),
        "tokenizer.ggml.bos_token_id": tokens.index("<|end|>"),
    }  # fmt: skip


@pytest.mark.parametrize("pre", CUTS)
def test_it_encodes_and_decodes_alike(pre: str, tmp_path: Path) -> None:
    tokenizer = trained(CUTS[pre]())
    values = said(tokenizer, pre) | {"tokenizer.ggml.add_bos_token": False}
    companions = open_gguf(Region.of(tiny(tmp_path / "m", more=values)), filename="m").companions
    assert sorted(companions) == ["config.json", "tokenizer.json", "tokenizer_config.json"]
    ours = Tokenizer.from_str(companions["tokenizer.json"].decode())
    for text in TEXTS:
        assert ours.encode(text).ids == tokenizer.encode(text).ids, text
        assert ours.decode(ours.encode(text).ids, skip_special_tokens=False) == text
    config = json.loads(companions["tokenizer_config.json"])
    assert config["eos_token"] == config["bos_token"] == "<|end|>"
    assert "chat_template" not in config


@pytest.mark.parametrize(
    ("pre", "added", "first"), [("gpt-2", True, 1), ("llama-bpe", None, 1), ("gpt-2", None, 0)]
)
def test_the_first_token_is_added_where_the_model_wants_it(
    pre: str, added: bool | None, first: int, tmp_path: Path
) -> None:
    values = said(trained(CUTS[pre]()), pre)
    if added is not None:
        values["tokenizer.ggml.add_bos_token"] = added
    companions = open_gguf(Region.of(tiny(tmp_path / "m", more=values)), filename="m").companions
    ours = Tokenizer.from_str(companions["tokenizer.json"].decode())
    assert ours.encode("word").tokens.count("<|end|>") == first
    assert ours.encode("word", "word").tokens.count("<|end|>") == 2 * first


def test_the_oldest_files_of_gpt_2_name_no_way_of_cutting(tmp_path: Path) -> None:
    values = {k: v for k, v in said(trained(CUTS["gpt-2"]()), "").items() if not k.endswith(".pre")}
    old = open_gguf(Region.of(tiny(tmp_path / "a", "gpt2", more=values)), filename="m")
    assert "tokenizer.json" in old.companions
    other = open_gguf(Region.of(tiny(tmp_path / "b", "llama", more=values)), filename="m")
    assert "tokenizer.json" not in other.companions


GOOD: dict[str, Any] = {
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": ["a", "b", "ab"],
    "tokenizer.ggml.merges": ["a b"],
}  # fmt: skip
UNSURE: dict[str, dict[str, Any]] = {
    "pieces-of-sentencepiece": {"tokenizer.ggml.model": "llama"},
    "a-way-of-cutting-that-is-not-known": {"tokenizer.ggml.pre": "hunyuan"},
    "a-token-twice": {"tokenizer.ggml.tokens": ["a", "b", "ab", "a"]},
    "a-merge-of-unknown-tokens": {"tokenizer.ggml.merges": ["a c"]},
    "a-merge-into-an-unknown-token": {"tokenizer.ggml.merges": ["b a"]},
    "a-merge-of-three": {"tokenizer.ggml.merges": ["a b a"]},
    "kinds-of-too-few": {"tokenizer.ggml.token_type": np.ones(2, np.int32)},
    "kinds-as-text": {"tokenizer.ggml.token_type": ["1", "1", "1"]},
    "tokens-as-numbers": {"tokenizer.ggml.tokens": np.arange(3)},
}  # fmt: skip


@pytest.mark.parametrize("row", UNSURE)
def test_what_is_not_certain_is_kept_as_it_is(row: str) -> None:
    values: dict[str, Any] = {**GOOD, **UNSURE[row]}
    files, notes = tokenizer_files(values)
    assert sorted(files) == ["tokenizer_gguf.json"]
    assert set(json.loads(files["tokenizer_gguf.json"])) == set(values)
    assert any("cannot be turned into a tokenizer.json" in note for note in notes)


def test_scores_that_json_does_not_have_are_left_out() -> None:
    values: dict[str, Any] = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.scores": np.array([0.5, np.nan], "f4"),
    }
    files, _ = tokenizer_files(values)
    assert json.loads(files["tokenizer_gguf.json"]) == {"tokenizer.ggml.model": "llama"}
    assert tokenizer_files({"general.name": "x"}) == ({}, [])


def test_more_than_is_kept_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consolidation.formats.limits.COMPANION_BYTES", 50)
    files, notes = tokenizer_files(GOOD)
    assert files == {}
    assert any("too large" in note for note in notes)
