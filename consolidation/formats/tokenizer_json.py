"""tokenizer.json (of the tokenizers library): bounded, without a pattern that could take for ever, and
written anew. It is read as text only; the library that runs it is not asked.
"""

from __future__ import annotations

import re
from typing import Any, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.pattern_check import danger
from consolidation.formats.refusal import refuse
from consolidation.formats.strict_json import read_json, write_json

MOST_WORDS: Final = 4_000_000
MOST_ADDED: Final = 100_000
# Steps of a normaliser and the like: tables in them, and how deep they lie in each other.
MOST_STEPS: Final = 2000
MOST_STEP_DEPTH: Final = 12
_MOST_TEXT: Final = 4000
# The table of characters that SentencePiece compiled, as text.
_MOST_TABLE: Final = 4 * 2**20
# How much longer a normaliser's replacements may make a text; what compatibility forms do is 18 times.
_MOST_GROWTH: Final = 64
_MOST_ADDED_LETTERS: Final = 4 * 2**20

_MODELS: Final = ("BPE", "WordPiece", "WordLevel", "Unigram")
_KEYS: Final = (
    "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
    "decoder", "model",
)  # fmt: skip
_MODEL_KEYS: Final = (
    "type", "dropout", "unk_token", "unk_id", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
    "byte_fallback", "ignore_merges", "max_input_chars_per_word", "vocab", "merges",
)  # fmt: skip
_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,40}")


def tokenizer_json(raw: bytes) -> bytes:
    """The file written anew.

    Raises:
        NocturneInputError: `tokenizer.limit`, `hf.json`.
    """
    table = read_json(raw, name="tokenizer.json", deep="tokenizer.limit")
    kept = {key: table[key] for key in _KEYS if key in table}
    kept["model"] = _model(table.get("model"))
    for key in ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if kept.get(key) is not None:
            _check_steps(key, kept[key])
    _check_growth(kept.get("normalizer"))
    added = kept.get("added_tokens", [])
    if not isinstance(added, list) or len(added) > MOST_ADDED:
        raise limit(f"has more than {MOST_ADDED:,} added tokens, or no list of them")
    for token in added:
        if (
            not isinstance(token, dict)
            or not _id(token.get("id"))
            or not isinstance(token.get("content"), str)
        ):
            raise limit(f"has an added token that is none: {shorten(token)}")
    letters = [len(token["content"]) for token in added]
    if max(letters, default=0) > _MOST_TEXT or sum(letters) > _MOST_ADDED_LETTERS:
        raise limit(
            f"has added tokens of {sum(letters):,} letters; at most {_MOST_ADDED_LETTERS:,} are read, of one "
            f"{_MOST_TEXT:,}"
        )
    return write_json(kept, name="tokenizer.json", indent=None)


def limit(what: str) -> NocturneInputError:
    """A tokenizer beyond what is read."""
    return refuse(
        "tokenizer.limit",
        f"tokenizer.json {what}. It was not taken over. Save the tokenizer again, or upload the model "
        "without it.",
    )


def _id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _model(model: Any) -> dict[str, Any]:
    if not isinstance(model, dict) or model.get("type", "BPE") not in _MODELS:
        raise limit(f"is of none of the kinds {', '.join(_MODELS)}")
    vocab, merges = model.get("vocab"), model.get("merges", [])
    if not isinstance(vocab, dict | list) or len(vocab) > MOST_WORDS:
        raise limit(f"has more than {MOST_WORDS:,} words, or no table of them")
    if isinstance(vocab, dict):
        fits = all(_id(number) for number in vocab.values())
    else:
        fits = all(
            isinstance(word, list) and len(word) == 2 and isinstance(word[0], str)
            and isinstance(word[1], int | float)
            for word in vocab
        )  # fmt: skip
    if not fits:
        raise limit("has a word whose number is none")
    if not isinstance(merges, list) or len(merges) > MOST_WORDS or not all(map(_merge, merges)):
        raise limit(f"has more than {MOST_WORDS:,} merges, or some that are none")
    small = {key: model[key] for key in _MODEL_KEYS if key in model}
    for key, value in small.items():
        if key not in {"vocab", "merges"} and not isinstance(value, str | int | float | None):
            raise limit(f"says {key} = {shorten(value)}, which is no plain value")
    return small


def _merge(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str)
    return isinstance(value, str) and " " in value


def _check_steps(part: str, value: Any) -> None:
    """Tables of known depth and number; texts short; patterns quick."""
    level, steps = [value], 0
    for _ in range(MOST_STEP_DEPTH):
        if not level:
            return
        below: list[Any] = []
        for one in level:
            steps += 1
            if steps > MOST_STEPS:
                raise limit(f"has more than {MOST_STEPS:,} values in its {part}")
            if isinstance(one, dict):
                _check_step(part, one)
                below += [inner for key, inner in one.items() if key != "precompiled_charsmap"]
            elif isinstance(one, list):
                below += one
            elif isinstance(one, str) and len(one) > _MOST_TEXT:
                raise limit(f"has a text of {len(one):,} letters in its {part}")
        level = below
    raise limit(f"has a {part} nested deeper than {MOST_STEP_DEPTH} levels")


def _check_step(part: str, step: dict[str, Any]) -> None:
    kind, pattern, chars = step.get("type"), step.get("Regex"), step.get("precompiled_charsmap")
    if kind is not None and not (isinstance(kind, str | int) and _TYPE.fullmatch(str(kind) or "")):
        raise limit(f"has a step of no kind in its {part}: {shorten(kind)}")
    if chars is not None and not (isinstance(chars, str) and len(chars) <= _MOST_TABLE):
        raise limit(f"has a table of characters that is too large in its {part}")
    if pattern is None:
        return
    why = danger(pattern) if isinstance(pattern, str) else "is no text"
    if why:
        raise limit(f"has a pattern in its {part} that {why} ({shorten(pattern, 60)})")


def _check_growth(normalizer: Any) -> None:
    """Replacements one after the other may double a text again and again, and beginnings pile up."""
    growth, begun, level = 1.0, 0, [normalizer]
    while level:
        one = level.pop()
        if isinstance(one, list):
            level += one
        elif isinstance(one, dict):
            level += one.values()
            before = one.get("prepend")
            begun += len(before) if isinstance(before, str) else 0
            pattern, content = one.get("pattern"), one.get("content")
            if isinstance(pattern, dict) and isinstance(content, str):
                found = pattern.get("String")
                growth *= max(1.0, len(content) / max(1, len(found) if isinstance(found, str) else 1))
        if growth > _MOST_GROWTH:
            raise limit(f"has a normalizer that could make a text {_MOST_GROWTH:,} times as long")
        if begun > _MOST_TEXT:
            raise limit(f"has a normalizer that puts {begun:,} letters before every text")
