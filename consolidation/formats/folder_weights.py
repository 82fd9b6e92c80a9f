"""The weights in a model's folder: one file, or shards with an index that says which tensor lies where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consolidation.formats.hf_index import check_shards, read_index
from consolidation.formats.pytorch import open_pytorch
from consolidation.formats.refusal import refuse
from consolidation.formats.safetensors_source import open_safetensors
from consolidation.formats.tensor_source import Piece, TensorSource

if TYPE_CHECKING:
    from consolidation.formats.folder import Folder

_SHARD: Final = re.compile(r"(.+)-\d{5}-of-\d{5}(\.safetensors|\.bin)")


@dataclass(frozen=True)
class Weights:
    """Where the weights of a folder are.

    Attributes:
        files: their names in the folder, in order.
        index: the name of their index; "" for one file.
    """

    files: tuple[str, ...]
    index: str = ""

    @property
    def safe(self) -> bool:
        """Whether they are safetensors, and not files of torch.save."""
        return self.files[0].endswith(".safetensors")

    def size(self, folder: Folder) -> int:
        """Bytes of all of them."""
        return sum(folder.size(name) for name in self.files)


def find_weights(folder: Folder, names: Iterable[str]) -> list[Weights]:
    """The weights under their usual names, each whole or in shards; perhaps none.

    Raises:
        NocturneInputError: `hf.index_path`, `hf.index_mismatch`, `hf.json`.
    """
    found = []
    for name in names:
        stem, index = name.rpartition(".")[0], f"{name}.index.json"
        if name in folder:
            found.append(Weights((name,)))
        elif index in folder:
            found.append(Weights(read_index(folder, index).files, index))
        elif shards := [
            file for file in folder.top() if (shard := _SHARD.fullmatch(file)) and shard[1] == stem
        ]:
            raise refuse(
                "hf.index_mismatch",
                f"The folder has {len(shards):,} shards such as {shards[0]}, but not their index ({index}). "
                "Pack the whole folder.",
            )
    return found


def open_found(weights: Weights, folder: Folder, *, stack: ExitStack) -> TensorSource:
    """The tensors of one or of all shards.

    Raises:
        NocturneInputError: `hf.index_mismatch`, `safetensors.*`, `pickle.*`, `tensor.*`, `archive.*`.
    """
    sources = {name: _open_one(name, folder, stack) for name in weights.files}
    if not weights.index:
        return sources[weights.files[0]]
    check_shards(read_index(folder, weights.index), sources, safe=weights.safe)
    place = {tensor: source for source in sources.values() for tensor in source.tensors}

    def read(name: str) -> Iterator[Piece]:
        return place[name].read(name)

    return TensorSource(
        format="safetensors" if weights.safe else "pytorch",
        tensors={name: entry for source in sources.values() for name, entry in source.tensors.items()},
        read=read,
        notes=tuple(dict.fromkeys(note for source in sources.values() for note in source.notes)),
    )


def _open_one(name: str, folder: Folder, stack: ExitStack) -> TensorSource:
    region = folder.region(name)
    if name.endswith(".safetensors"):
        return open_safetensors(region)
    # Each may unpack its part, so that all together stay below what is left.
    share = folder.left // max(1, sum(not path.endswith(".safetensors") for path in folder.top()))
    return open_pytorch(region, filename=name, spool=folder.prefix(), limit_bytes=share, stack=stack)
