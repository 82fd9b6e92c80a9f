"""The small files beside the weights that belong to a model: what the tokenizer needs, and how it generates.

Each is read strictly and written anew from the fields that are known. A chat template is kept as text and
never rendered; a file of SentencePiece is kept as it is, and never opened here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.hf_config import read_config
from consolidation.formats.refusal import refuse
from consolidation.formats.strict_json import depth, read_json, write_json
from consolidation.formats.tokenizer_json import MOST_ADDED, MOST_WORDS, tokenizer_json

if TYPE_CHECKING:
    from consolidation.formats.folder import Folder

_TEMPLATE_BYTES: Final = 2**20
# Only what holds a whole vocabulary is larger than this.
_SMALL_BYTES: Final = 8 * 2**20
_LARGE: Final = frozenset({
    "tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "sentencepiece.bpe.model",
    "spiece.model",
})  # fmt: skip
_TEXT: Final = 20_000
_DEPTH: Final = 4
_NAME: Final = re.compile(r"[A-Za-z_]\w{0,80}")

_TOKENS: Final = frozenset({
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    "additional_special_tokens", "extra_special_tokens", "image_token", "boi_token", "eoi_token",
})  # fmt: skip
_TOKENIZER_CONFIG: Final = _TOKENS | {
    "tokenizer_class", "model_max_length", "padding_side", "truncation_side", "truncation", "padding",
    "added_tokens_decoder", "clean_up_tokenization_spaces", "add_bos_token", "add_eos_token",
    "add_prefix_space", "do_lower_case", "do_basic_tokenize", "never_split", "strip_accents",
    "tokenize_chinese_chars", "legacy", "use_default_system_prompt", "sp_model_kwargs",
    "spaces_between_special_tokens", "split_special_tokens", "chat_template", "errors", "backend",
    "model_input_names", "max_length", "stride", "truncation_strategy", "pad_to_multiple_of",
    "pad_token_type_id", "use_fast", "model_type", "trim_offsets", "normalization", "keep_accents",
    "remove_space",
}  # fmt: skip
_GENERATION: Final = frozenset({
    "max_length", "max_new_tokens", "min_length", "min_new_tokens", "do_sample", "num_beams", "temperature",
    "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "early_stopping", "use_cache",
    "num_return_sequences", "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id",
    "forced_eos_token_id", "transformers_version", "renormalize_logits", "penalty_alpha", "num_beam_groups",
    "diversity_penalty", "epsilon_cutoff", "eta_cutoff", "encoder_no_repeat_ngram_size", "output_attentions",
    "output_hidden_states", "output_scores", "return_dict_in_generate", "remove_invalid_values",
})  # fmt: skip

# A file's writer gets the bytes and the name, and gives them anew, with the fields that it left out.
_Writer = Callable[[bytes, str], tuple[bytes, list[str]]]


def companions(folder: Folder, config: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """The known small files of a folder, written anew, and what was left out of them.

    Args:
        config: files that are written already, config.json or adapter_config.json.

    Raises:
        NocturneInputError: `tokenizer.limit`, `hf.json`, `hf.remote_code`, `hf.config_range`.
    """
    names = [name for name in _WRITERS if name in folder]
    total = sum(folder.size(name) for name in names) + sum(map(len, config.values()))
    if total > limits.COMPANION_BYTES:
        largest = max(names, key=folder.size)
        raise refuse(
            "tokenizer.limit",
            f"The files beside the weights take {total:,} bytes ({largest} alone {folder.size(largest):,}); "
            f"at most {limits.COMPANION_BYTES:,} are read. Upload the model without them.",
        )
    found, notes = dict(config), []
    for name in names:
        if name not in _LARGE and folder.size(name) > _SMALL_BYTES:
            raise _odd(name, f"{folder.size(name):,} bytes")
        found[name], dropped = _WRITERS[name](folder.region(name).read(), name)
        if dropped:
            shown = ", ".join(shorten(one, 30) for one in dropped[:6]) + (", ..." if len(dropped) > 6 else "")
            notes.append(f"Fields of {name} that are not known were left out: {shown}.")
    return found, notes


def _tokenizer(raw: bytes, name: str) -> tuple[bytes, list[str]]:
    return tokenizer_json(raw), []


def _tokenizer_config(raw: bytes, name: str) -> tuple[bytes, list[str]]:
    table = read_config(raw, name=name)
    kept = {key: value for key, value in table.items() if key in _TOKENIZER_CONFIG}
    kind = kept.get("tokenizer_class")
    if kind is not None and not (isinstance(kind, str) and _NAME.fullmatch(kind)):
        raise _odd(name, "tokenizer_class")
    template = kept.pop("chat_template", None)
    added = kept.get("added_tokens_decoder", {})
    if not isinstance(added, dict) or len(added) > MOST_ADDED:
        raise _odd(name, "added_tokens_decoder")
    for key, value in kept.items():
        if key != "added_tokens_decoder":
            _check_plain(name, key, value)
    for value in added.values():
        _check_plain(name, "added_tokens_decoder", value)
    if template is not None:
        kept["chat_template"] = _templates(name, template)
    return write_json(kept, name=name), sorted(set(table) - set(kept))


def _templates(name: str, value: Any) -> Any:
    """Text, or several texts by name. Nobody renders them here."""
    several = value if isinstance(value, list) else [{"name": "default", "template": value}]
    for one in several:
        fits = isinstance(one, dict) and set(one) == {"name", "template"} and isinstance(one["template"], str)
        if not fits or not (isinstance(one["name"], str) and _NAME.fullmatch(one["name"])):
            raise _odd(name, "chat_template")
    if sum(len(one["template"]) for one in several) > _TEMPLATE_BYTES:
        raise _odd(name, "chat_template")
    return value


def _generation(raw: bytes, name: str) -> tuple[bytes, list[str]]:
    table = read_config(raw, name=name)
    kept = {key: value for key, value in table.items() if key in _GENERATION}
    for key, value in kept.items():
        _check_plain(name, key, value)
    # Underscored entries are Transformers' own bookkeeping.
    return write_json(kept, name=name), sorted(
        key for key in set(table) - set(kept) if not key.startswith("_")
    )


def _special_tokens(raw: bytes, name: str) -> tuple[bytes, list[str]]:
    table = read_json(raw, name=name, deep="tokenizer.limit")
    kept = {key: value for key, value in table.items() if key in _TOKENS}
    for key, value in kept.items():
        _check_plain(name, key, value)
    return write_json(kept, name=name), sorted(set(table) - set(kept))


def _words(raw: bytes, name: str) -> tuple[bytes, list[str]]:
    table = read_json(raw, name=name, deep="tokenizer.limit")
    if len(table) > MOST_WORDS or not all(type(n) is int and 0 <= n < 2**31 for n in table.values()):
        raise _odd(name, "a word whose number is none")
    return write_json(table, name=name, indent=None), []


def _lines(raw: bytes, name: str) -> tuple[bytes, list[str]]:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(
            "hf.json", f"{name} is not UTF-8 text (byte {error.start:,}). Save the model again."
        ) from None
    if b"\0" in raw or raw.count(b"\n") > MOST_WORDS:
        raise _odd(name, "a zero byte, or too many lines")
    return raw, []


def _sentencepiece(raw: bytes, name: str) -> tuple[bytes, list[str]]:
    # A model of SentencePiece begins with its first word, field 1 of a protocol buffer.
    if not raw.startswith(b"\n"):
        raise _odd(name, "other content than a model of SentencePiece")
    return raw, []


_WRITERS: Final[dict[str, _Writer]] = {
    "tokenizer.json": _tokenizer,
    "tokenizer_config.json": _tokenizer_config,
    "special_tokens_map.json": _special_tokens,
    "added_tokens.json": _words,
    "vocab.json": _words,
    "vocab.txt": _lines,
    "merges.txt": _lines,
    "chat_template.jinja": _lines,
    "tokenizer.model": _sentencepiece,
    "sentencepiece.bpe.model": _sentencepiece,
    "spiece.model": _sentencepiece,
    "generation_config.json": _generation,
}


def _check_plain(name: str, key: str, value: Any) -> None:
    """A value, or a small table of values."""
    if depth(value) > _DEPTH:
        raise _odd(name, key)
    level, count = [value], 0
    while level:
        one = level.pop()
        count += 1
        if isinstance(one, dict | list):
            level += one.values() if isinstance(one, dict) else one
        elif isinstance(one, str) and len(one) > _TEXT:
            raise _odd(name, key)
        if count + len(level) > MOST_ADDED:
            raise _odd(name, key)


def _odd(name: str, what: str) -> NocturneInputError:
    return refuse(
        "tokenizer.limit",
        f"{name} has {shorten(what, 40)} that is too large, or is not what such a file has. Save the "
        "tokenizer again, or upload the model without it.",
    )
