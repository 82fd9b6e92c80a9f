"""The tokenizer in a GGUF file: a tokenizer.json where that can be done right, else its lists as they are.

Byte-level BPE whose way of cutting text is known by its name (`tokenizer.ggml.pre`) becomes a tokenizer.json.
Everything else goes into tokenizer_gguf.json, which no library opens by itself. Chat templates are programs
(Jinja): they are kept there as text, and nothing here or in the web ever runs one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.formats import limits

if TYPE_CHECKING:
    from consolidation.formats.gguf_header import Value

_GGML: Final = "tokenizer.ggml."
_TEMPLATE: Final = "tokenizer.chat_template"
_CONTROL, _USER = 3, 4  # kinds of tokens

_BYTES: Final = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_GPT2: Final[dict[str, Any]] = {**_BYTES, "use_regex": True}
_DIGITS: Final[dict[str, Any]] = {
    "type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _GPT2],
}  # fmt: skip
_LLAMA3: Final[dict[str, Any]] = {
    "type": "Sequence",
    "pretokenizers": [
        {
            "type": "Split",
            "pattern": {
                "Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            },
            "behavior": "Isolated",
            "invert": False,
        },
        {**_BYTES, "use_regex": False},
    ],
}
# How text is cut before the merges, by the name that llama.cpp's converter gives it.
_CUTS: Final[dict[str, dict[str, Any]]] = {
    "gpt-2": _GPT2, "smollm": _DIGITS, "llama-bpe": _LLAMA3, "llama3": _LLAMA3, "llama-v3": _LLAMA3,
}  # fmt: skip
_TAKEN: Final = ("model", "pre", "tokens", "token_type", "merges", "scores", "add_bos_token")


def tokenizer_files(values: Mapping[str, Value]) -> tuple[dict[str, bytes], list[str]]:
    """Companion files for the key-values under `tokenizer.`, and what is to be told of them."""
    own = {key: value for key, value in values.items() if key.startswith("tokenizer.")}
    if not own:
        return {}, []
    built = _tokenizer(own, values.get("general.architecture"))
    files, notes = dict[str, bytes](), list[str]()
    if built is not None:
        files["tokenizer.json"] = _json(built)
        files["tokenizer_config.json"] = _json(_config(own))
        own = {key: value for key, value in own.items() if not _taken(key)}
    elif f"{_GGML}tokens" in own:
        notes.append(
            "The tokenizer is of a kind that cannot be turned into a tokenizer.json with certainty; its "
            "lists are kept in tokenizer_gguf.json. Take the tokenizer from where the model comes from."
        )
    if any(key.startswith(_TEMPLATE) for key in own):
        notes.append("The chat template is kept as text in tokenizer_gguf.json; it was not run.")
    if rest := {key: _plain(value) for key, value in own.items() if _finite(value)}:
        files["tokenizer_gguf.json"] = _json(rest)
    if sum(map(len, files.values())) > limits.COMPANION_BYTES:
        return {}, ["The tokenizer is too large to be kept. Take it from where the model comes from."]
    return files, notes


def _taken(key: str) -> bool:
    short = key.removeprefix(_GGML)
    return short != key and (short in _TAKEN or short.endswith("_token_id"))


def _tokenizer(own: Mapping[str, Value], architecture: Value | None) -> dict[str, Any] | None:
    """A tokenizer.json, or None where one would not be certain to do the same."""
    tokens, merges = own.get(f"{_GGML}tokens"), own.get(f"{_GGML}merges")
    # GPT-2's own files of old name no way of cutting: there was only one.
    named = own.get(f"{_GGML}pre", "gpt-2" if architecture == "gpt2" else "")
    cut = _CUTS.get(named) if isinstance(named, str) else None
    if own.get(f"{_GGML}model") != "gpt2" or cut is None:
        return None
    if not isinstance(tokens, list) or not isinstance(merges, list) or not tokens:
        return None
    vocabulary = {token: number for number, token in enumerate(tokens)}
    pairs = [merge.split(" ") for merge in merges]
    if len(vocabulary) != len(tokens) or not all(_known(pair, vocabulary) for pair in pairs):
        return None
    kinds = own.get(f"{_GGML}token_type")
    if kinds is None:
        kinds = np.ones(len(tokens), np.int32)
    if not isinstance(kinds, np.ndarray) or len(kinds) != len(tokens):
        return None
    added = [
        {
            "id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": int(kinds[number]) == _CONTROL,
        }
        for number, token in enumerate(tokens)
        if int(kinds[number]) in {_CONTROL, _USER}
    ]  # fmt: skip
    first = _token(own, "bos_token_id") if _adds_bos(own, cut) else None
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": cut,
        "post_processor": _after(first, vocabulary),
        "decoder": _GPT2,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": cut is _LLAMA3, "vocab": vocabulary, "merges": pairs,
        },
    }  # fmt: skip


def _known(pair: list[str], vocabulary: Mapping[str, int]) -> bool:
    return len(pair) == 2 and pair[0] in vocabulary and pair[1] in vocabulary and "".join(pair) in vocabulary


def _adds_bos(own: Mapping[str, Value], cut: Mapping[str, Any]) -> bool:
    return own.get(f"{_GGML}add_bos_token", cut is _LLAMA3) is True


def _after(first: str | None, vocabulary: Mapping[str, int]) -> dict[str, Any]:
    plain: dict[str, Any] = {**_BYTES, "trim_offsets": False, "use_regex": True}
    if first is None:
        return plain
    begin, text = {"SpecialToken": {"id": first, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    more = {"Sequence": {"id": "B", "type_id": 1}}
    template = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text, {"SpecialToken": {"id": first, "type_id": 1}}, more],
        "special_tokens": {first: {"id": first, "ids": [vocabulary[first]], "tokens": [first]}},
    }
    return {"type": "Sequence", "processors": [plain, template]}


def _token(own: Mapping[str, Value], name: str) -> str | None:
    number, tokens = own.get(f"{_GGML}{name}"), own.get(f"{_GGML}tokens")
    if type(number) is int and isinstance(tokens, list) and 0 <= number < len(tokens):
        return tokens[number]
    return None


def _config(own: Mapping[str, Value]) -> dict[str, Any]:
    names = {
        "bos_token": "bos_token_id", "eos_token": "eos_token_id", "unk_token": "unknown_token_id",
        "pad_token": "padding_token_id",
    }  # fmt: skip
    found = {name: _token(own, key) for name, key in names.items()}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{name: token for name, token in found.items() if token is not None},
    }


def _finite(value: Value) -> bool:
    """JSON has no NaN and no infinity; such scores are worth nothing anyway."""
    return not isinstance(value, float | np.ndarray) or bool(np.isfinite(value).all())


def _plain(value: Value) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"
