"""The number formats of GGUF that are read: how many numbers share a block, and how many bytes it takes.

Sizes as in ggml-common.h of llama.cpp. The format's number stands in each tensor's entry of the header.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class GGMLType(NamedTuple):
    """One number format.

    Attributes:
        number: its number in the file.
        name: ggml's name of it.
        numbers: numbers in one block; 1 for plain formats. A row is a whole number of blocks.
        size: bytes of one block.
        dtype: what it becomes in safetensors.
    """

    number: int
    name: str
    numbers: int
    size: int
    dtype: str

    @property
    def plain(self) -> bool:
        """Whether the bytes already are the numbers."""
        return self.numbers == 1


_ALL: Final = (
    GGMLType(0, "F32", 1, 4, "F32"),
    GGMLType(1, "F16", 1, 2, "F16"),
    GGMLType(28, "F64", 1, 8, "F64"),
    GGMLType(30, "BF16", 1, 2, "BF16"),
    GGMLType(2, "Q4_0", 32, 18, "F32"),
    GGMLType(3, "Q4_1", 32, 20, "F32"),
    GGMLType(6, "Q5_0", 32, 22, "F32"),
    GGMLType(7, "Q5_1", 32, 24, "F32"),
    GGMLType(8, "Q8_0", 32, 34, "F32"),
    GGMLType(10, "Q2_K", 256, 84, "F32"),
    GGMLType(11, "Q3_K", 256, 110, "F32"),
    GGMLType(12, "Q4_K", 256, 144, "F32"),
    GGMLType(13, "Q5_K", 256, 176, "F32"),
    GGMLType(14, "Q6_K", 256, 210, "F32"),
)
TYPES: Final[dict[int, GGMLType]] = {kind.number: kind for kind in _ALL}

# Known by name and not read, so that the refusal can tell what they are.
OTHERS: Final[dict[int, str]] = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 29: "IQ1_M", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
}  # fmt: skip
