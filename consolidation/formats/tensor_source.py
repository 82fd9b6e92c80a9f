"""What every reader of checkpoints hands over, whatever the format was: tensors by name, read one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from consolidation.formats.dtypes import ITEM_BYTES

# The formats that come in, and what the download of such a checkpoint is.
FORMATS: Final[dict[str, str]] = {
    "safetensors": "safetensors",
    "pytorch": "PyTorch",
    "gguf": "GGUF",
    "huggingface": "Hugging Face folder",
    "peft": "LoRA adapter (PEFT)",
}

Piece = bytes | memoryview
Read = Callable[[str], Iterator[Piece]]


class TensorShape(NamedTuple):
    """A tensor's number format (a name of safetensors, see `dtypes`) and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """How many bytes it takes in safetensors."""
        return self.elements * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class TensorSource:
    """What a reader found. Everything that can be checked without the tensors' bytes has been checked.

    Attributes:
        format: a key of FORMATS.
        tensors: by name, in the order in which they are read best.
        read: the bytes of one tensor as safetensors keeps them (little endian, row-major), in pieces of at
            most some megabytes where the file allows it; together exactly `TensorShape.size` bytes, or it
            raises NocturneInputError. A tensor that has to be rearranged or unpacked is held whole, one at a
            time.
        metadata: text to text, kept in our copy.
        config: for a model whose file describes its architecture (config.json, GGUF's key-values): the
            fields as they stand there, not yet believed; the family maps and checks them. None: no such.
        companions: small files that belong to the model and come back in the download, as we wrote them
            anew: config.json, tokenizer.json, adapter_config.json, ...
        notes: what was left out, changed or found strange, one sentence each.
    """

    format: str
    tensors: Mapping[str, TensorShape]
    read: Read
    metadata: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    companions: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by name."""
        return {name: entry.shape for name, entry in self.tensors.items()}
