"""Fields of a config.json, checked one by one; torch-free. Every refusal is a NocturneInputError
(`hf.config_range`), raised before anything is allocated by what a field says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from consolidation.errors import NocturneInputError, shorten

MOST_LAYERS: Final = 512
MOST_WIDTH: Final = 131_072
MOST_INNER: Final = 2**20
MOST_HEADS: Final = 1024
MOST_WORDS: Final = 4_000_000
MOST_PLACES: Final = 2**24
MOST_LABELS: Final = 65_536
MOST_EXPERTS: Final = 1024
ACTIVATIONS: Final = (
    "silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "relu", "tanh",
    "quick_gelu",
)  # fmt: skip
REQUIRED: Final = object()

_MOST_TEXT: Final = 500
_MOST_LIST: Final = 4096
_WORD: Final = re.compile(r"[A-Za-z0-9_.+/ -]{0,120}")


def refuse(sentence: str) -> NocturneInputError:
    """The error of a description that makes no model."""
    return NocturneInputError("hf.config_range", sentence)


def first(config: Mapping[str, Any], names: str | Iterable[str], default: Any = REQUIRED) -> Any:
    """The value under the first of the names that is there and not null, or the default."""
    each = [names] if isinstance(names, str) else list(names)
    for name in each:
        if config.get(name) is not None:
            return config[name]
    if default is REQUIRED:
        raise refuse(f"The model's config does not say {each[0]}. Save the model again with its config.json.")
    return default


def whole(
    config: Mapping[str, Any], names: str | Iterable[str], least: int, most: int, default: Any = REQUIRED
) -> int:
    """A whole number from `least` to `most`; the default is not checked."""
    value = first(config, names, default)
    if value is default:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _outside(names, value, f"a whole number from {least:,} to {most:,}")
    return value


def number(config: Mapping[str, Any], name: str, least: float, most: float, default: float) -> float:
    """A finite number from `least` to `most`."""
    value = first(config, name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _outside(name, value, f"a number from {least:g} to {most:g}")
    return float(value)


def flag(config: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or false, and nothing that is merely like it."""
    value = first(config, name, default)
    if not isinstance(value, bool):
        raise _outside(name, value, "true or false")
    return value


def choice(
    config: Mapping[str, Any], names: str | Iterable[str], choices: tuple[str, ...], default: Any = REQUIRED
) -> str:
    """One of the choices."""
    value = first(config, names, default)
    if not isinstance(value, str) or value not in choices:
        raise _outside(names, value, f"one of {', '.join(choices)}")
    return value


def text(config: Mapping[str, Any], name: str, default: str | None = None) -> str | None:
    """A short printable line that is shown and never acted upon."""
    value = first(config, name, default)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _MOST_TEXT or not value.isprintable():
        raise _outside(name, value, f"one line of at most {_MOST_TEXT} letters")
    return value


def plain(name: str, value: Any) -> Any:
    """A value that may come home in a config.json as it is: a number, a word, or a short list or table of
    these."""
    if isinstance(value, list):
        if len(value) > _MOST_LIST:
            raise _outside(name, f"a list of {len(value):,}", f"a list of at most {_MOST_LIST:,}")
        return [_scalar(name, one) for one in value]
    if isinstance(value, dict):
        if len(value) > MOST_LABELS:
            raise _outside(name, f"a table of {len(value):,}", f"a table of at most {MOST_LABELS:,}")
        return {str(_label(name, key)): _label(name, one) for key, one in value.items()}
    return _scalar(name, value)


def _scalar(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    raise _outside(name, value, "a number or a short word")


def _label(name: str, value: Any) -> Any:
    """Names of classes are any printable text."""
    if isinstance(value, str) and len(value) <= _MOST_TEXT and value.isprintable():
        return value
    return _scalar(name, value)


def _outside(names: str | Iterable[str], value: Any, wanted: str) -> NocturneInputError:
    name = names if isinstance(names, str) else next(iter(names))
    return refuse(f"The model's config says {shorten(name)} = {shorten(value)}; it must be {wanted}.")
