"""Number formats of safetensors (https://huggingface.co/docs/safetensors) and their numpy twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Bytes of one number. Formats below one byte (F4, F6, ...) are not read.
ITEM_BYTES: Final[dict[str, int]] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})

NUMPY: Final[dict[str, str]] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
SAFETENSORS: Final = {np.dtype(text).newbyteorder("<").str: name for name, text in NUMPY.items()}

# Formats without a numpy twin: the bits to look at, and the pattern from which on a value is not finite.
_BITS: Final[dict[str, tuple[str, int, int]]] = {
    "BF16": ("<u2", 0x7FFF, 0x7F80),
    "F8_E4M3": ("|u1", 0x7F, 0x7F),  # no infinity, one NaN a sign
    "F8_E5M2": ("|u1", 0x7F, 0x7C),
}


def has_non_finite(dtype: str, chunk: bytes | memoryview) -> bool:
    """Whether raw little-endian bytes of a float format hold a NaN or an infinity; integers never do."""
    if dtype in _BITS:
        view, mask, first = _BITS[dtype]
        return bool(((np.frombuffer(chunk, dtype=view) & mask) >= first).any())
    if dtype in FLOATS:
        values: NDArray[Any] = np.frombuffer(chunk, dtype=NUMPY[dtype])
        return not bool(np.isfinite(values).all())
    return False
