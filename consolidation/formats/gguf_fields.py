"""The key-values of one GGUF architecture, asked for by name and kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.refusal import refuse

if TYPE_CHECKING:
    from consolidation.formats.gguf_header import Value

_MOST: Final = 2**31 - 1


class Fields:
    """What a file says of its architecture under `<architecture>.<key>`; notes which keys were asked for.

    Args:
        values: all key-values of the header.
        architecture: what `general.architecture` says.
    """

    def __init__(self, values: Mapping[str, Value], architecture: str) -> None:
        self._values, self._prefix = values, f"{architecture}."
        self._asked = set[str]()

    def count(self, key: str, default: int | None = None) -> int:
        """A whole number from 0 to 2^31. Raises NocturneInputError (`gguf.kv_invalid`)."""
        value = self._get(key, default)
        if type(value) is not int or not 0 <= value <= _MOST:
            raise self._bad(key, "a whole number", value)
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number; what was stored in 32 bits comes as it was written ("1e-05").

        Raises:
            NocturneInputError: `gguf.kv_invalid`.
        """
        value = self._get(key, default)
        if type(value) not in {int, float} or not math.isfinite(value):  # type: ignore[arg-type]
            raise self._bad(key, "a finite number", value)
        with np.errstate(over="ignore"):
            narrow = np.float32(value)  # type: ignore[arg-type]
        return float(str(narrow)) if float(narrow) == value else float(value)  # type: ignore[arg-type]

    def text(self, key: str, default: str | None = None) -> str:
        """A text. Raises NocturneInputError (`gguf.kv_invalid`)."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._bad(key, "a text", value)
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Yes or no. Raises NocturneInputError (`gguf.kv_invalid`)."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._bad(key, "true or false", value)
        return value

    def unasked(self) -> list[str]:
        """The keys of this architecture that nobody asked for, with their prefix."""
        return [k for k in self._values if k.startswith(self._prefix) and k not in self._asked]

    def _get(self, key: str, default: Value | None) -> Value | None:
        self._asked.add(self._prefix + key)
        return self._values.get(self._prefix + key, default)

    def _bad(self, key: str, wanted: str, value: object) -> NocturneInputError:
        name = shorten(self._prefix + key)
        said = "is missing" if value is None else f"must be {wanted}"
        return refuse(
            "gguf.kv_invalid",
            f"The key-value {name} {said}, so the model's shape is not known. Convert the model again with "
            "the tools of llama.cpp.",
            key=name,
        )
