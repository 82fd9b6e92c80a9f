"""Whether a tokenizer reads a text word by word: then what it makes of a word need be asked only once.

It does when every step looks at no more than what stands between two spaces. That is so of the steps named
here, and believed of no others. A text is cut before a space that follows a letter, a digit or a sign of
ASCII, or a letter of the Latin, Greek and Cyrillic alphabets: none of these is a space to any step, becomes
one in parts, or joins with one that follows.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_SOLID: Final = "!-~À-ÖØ-öø-ʯΆΈ-ϵЀ-ҁҊ-ԯ"
CUT: Final = re.compile(f"(?<=[{_SOLID}])(?= )")
SOLID_END: Final = re.compile(f"[{_SOLID}]\\Z")
_MOST_BLOCKERS: Final = 64

# Patterns of pre-tokenizers of which no match goes over from something else to a space: those of GPT-2, of
# Llama 3 (cl100k), of Qwen 2, and of GPT-4o (o200k).
_PATTERNS: Final = frozenset({
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
})  # fmt: skip
_LOCAL: Final = frozenset({
    "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer", "Nmt", "Precompiled",
})  # fmt: skip
_CUTTING: Final = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_PLAIN_POST: Final = frozenset({"TemplateProcessing", "BertProcessing"})
_POST: Final = _PLAIN_POST | {"RobertaProcessing", "ByteLevel"}


def blockers(tokenizer: Any) -> tuple[str, ...] | None:
    """Texts that hold one of these may not be cut; None: no text may.

    Args:
        tokenizer: of the tokenizers library.
    """
    post = _steps(tokenizer.post_processor)
    before = _steps(tokenizer.pre_tokenizer)
    if (
        getattr(tokenizer.model, "dropout", None)
        or not all(map(_normalizes_words, _steps(tokenizer.normalizer)))
        or not _cut_words(before)
        or not all(step.get("type") in _POST for step in post)
    ):
        return None
    # A word that was added may reach over a space, or swallow the one behind it.
    found = []
    for token in tokenizer.get_added_tokens_decoder().values():
        if token.rstrip or any(map(str.isspace, token.content)):
            if token.normalized and tokenizer.normalizer is not None:
                return None
            found.append(token.content)
    return tuple(found) if len(found) <= _MOST_BLOCKERS else None


def plain_places(tokenizer: Any) -> bool:
    """Whether the letters that a token stands for are those of its word, whatever stands before it."""
    return all(step.get("type") in _PLAIN_POST for step in _steps(tokenizer.post_processor))


def _steps(part: Any) -> list[dict[str, Any]]:
    """A component as its steps, one after the other."""
    if part is None:
        return []
    # What a component is pickled as is its own piece of tokenizer.json.
    waiting, found = [json.loads(part.__getstate__())], []
    while waiting:
        step = waiting.pop()
        inner = [step[key] for key in ("normalizers", "pretokenizers", "processors") if key in step]
        if inner:
            waiting += reversed(inner[0])
        else:
            found.append(step)
    return found


def _normalizes_words(step: dict[str, Any]) -> bool:
    kind = step.get("type")
    if kind == "Strip":
        return not step.get("strip_left", True)
    if kind == "Replace":
        return step.get("pattern") == {"Regex": " {2,}"}
    return kind in _LOCAL


def _cut_words(steps: list[dict[str, Any]]) -> bool:
    cut = False
    for step in steps:
        cut = cut or _cuts(step)
        # Without its pattern it only writes spaces as letters, and what follows does not see them.
        if not _keeps_cuts(step) or (step.get("type") == "ByteLevel" and not cut):
            return False
    return cut


def _cuts(step: dict[str, Any]) -> bool:
    """Whether no piece of it goes over from something else to a space."""
    kind = step.get("type")
    if kind == "ByteLevel":
        return bool(step.get("use_regex", True))
    if kind == "Metaspace":
        return bool(step.get("split", True))
    if kind == "Split":
        told = step.get("pattern")
        known = isinstance(told, dict) and told.get("Regex") in _PATTERNS
        return known and step.get("behavior") in {"Isolated", "Removed"}
    return kind in _CUTTING


def _keeps_cuts(step: dict[str, Any]) -> bool:
    """Whether it may stand beside steps that cut."""
    kind = step.get("type")
    if kind == "Punctuation":
        return step.get("behavior", "Isolated") in {"Isolated", "Removed", "Contiguous"}
    return _cuts(step) or kind in {"Digits", "ByteLevel"}
