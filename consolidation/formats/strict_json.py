"""JSON of strangers: read so that no two programs could read it in two ways, and written anew.

No key twice, no NaN, no endless numbers, nothing deeper than the limit (RFC 8259 leaves all of these open).
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse

_AGAIN: Final = "Save the model again."


def read_json(raw: bytes, *, name: str, deep: str = "hf.json") -> dict[str, Any]:
    """A JSON object from the bytes of a file.

    Args:
        name: the file's name, for sentences.
        deep: the code for what is nested too deeply.

    Raises:
        NocturneInputError: `hf.json`, or `deep`.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(
            "hf.json", f"{shorten(name)} is not UTF-8 text (byte {error.start:,}). {_AGAIN}"
        ) from None

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise refuse("hf.json", f"{shorten(name)} says something twice under one key. {_AGAIN}")
        return table

    def whole(digits: str) -> int:
        if len(digits) > limits.NUMBER_DIGITS:
            raise refuse("hf.json", f"{shorten(name)} holds a number of {len(digits):,} digits. {_AGAIN}")
        return int(digits)

    def real(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise refuse("hf.json", f"{shorten(name)} holds a number beyond all numbers. {_AGAIN}")
        return value

    def constant(word: str) -> NoReturn:
        raise refuse("hf.json", f"{shorten(name)} holds {word}, which JSON does not have. {_AGAIN}")

    decoder = json.JSONDecoder(
        object_pairs_hook=unique, parse_constant=constant, parse_int=whole, parse_float=real
    )
    try:
        value = decoder.decode(text)
    except RecursionError:
        raise _too_deep(name, deep) from None
    except json.JSONDecodeError as error:
        raise refuse("hf.json", f"{shorten(name)} is not JSON (character {error.pos:,}). {_AGAIN}") from None
    if not isinstance(value, dict):
        raise refuse("hf.json", f"{shorten(name)} is no table of names and values. {_AGAIN}")
    if depth(value) > limits.JSON_DEPTH:
        raise _too_deep(name, deep)
    return value


def write_json(value: Any, *, name: str, indent: int | None = 2) -> bytes:
    """The same as UTF-8, in one spelling.

    Raises:
        NocturneInputError: `hf.json`: half of a character (a lone surrogate).
    """
    separators = None if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        raise refuse(
            "hf.json", f"{shorten(name)} holds half a character (a lone surrogate). {_AGAIN}"
        ) from None


def depth(value: Any) -> int:
    """How many tables and lists lie in each other at most; level by level, so that no depth is too much."""
    level, found = [value], 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        found += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return found


def _too_deep(name: str, code: str) -> NocturneInputError:
    return refuse(code, f"{shorten(name)} is nested deeper than {limits.JSON_DEPTH} levels. {_AGAIN}")
