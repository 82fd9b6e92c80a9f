"""The index of a sharded checkpoint: {"metadata": {"total_size"}, "weight_map": {tensor: file}}."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.refusal import refuse
from consolidation.formats.strict_json import read_json

if TYPE_CHECKING:
    from consolidation.formats.folder import Folder
    from consolidation.formats.tensor_source import TensorSource

_SHOWN: Final = 5
# A file of the folder itself: no slash, no dots in a row, not hidden.
_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\.(safetensors|bin)")


@dataclass(frozen=True)
class Index:
    """What an index says.

    Attributes:
        name: its own name.
        files: the shards, in order of their names.
        places: the shard of each tensor.
        total: bytes of all tensors, if it says.
    """

    name: str
    files: tuple[str, ...]
    places: Mapping[str, str]
    total: int | None


def read_index(folder: Folder, name: str) -> Index:
    """An index, when every file that it names lies beside it.

    Raises:
        NocturneInputError: `hf.index_path`, `hf.index_mismatch`, `hf.json`.
    """
    if folder.size(name) > limits.HEADER_BYTES:
        raise refuse("hf.json", f"{name} has {folder.size(name):,} bytes; an index is smaller than that.")
    table = read_json(folder.region(name).read(), name=name)
    places, about = table.get("weight_map"), table.get("metadata") or {}
    if not isinstance(places, dict) or not places or not isinstance(about, dict):
        raise _mismatch(f"{name} has no weight_map")
    if len(places) > limits.TENSORS:
        raise _mismatch(f"{name} names {len(places):,} tensors; at most {limits.TENSORS:,} are read")
    for file in places.values():
        if not isinstance(file, str) or not _FILE.fullmatch(file):
            raise refuse(
                "hf.index_path",
                f"{name} names the file “{shorten(file)}”, which is no weights file of the folder itself. "
                "Nothing outside of the folder is read. Save the model again.",
            )
    files = tuple(sorted(set(places.values())))
    if missing := [file for file in files if file not in folder]:
        raise _mismatch(f"{name} names shards that are not there: {_list(missing)}")
    ends = {file.rpartition(".")[2] for file in files}
    if len(ends) > 1 or f".{ends.pop()}.index.json" not in name:
        raise _mismatch(f"{name} names files of another kind than its own")
    total = about.get("total_size")
    return Index(name, files, places, total if type(total) is int else None)


def check_shards(index: Index, sources: Mapping[str, TensorSource], *, safe: bool) -> None:
    """Each tensor in its shard and in no other, and nothing else in them.

    Args:
        safe: safetensors; in files of torch.save two names may share their numbers, so no total is certain.

    Raises:
        NocturneInputError: `hf.index_mismatch`, with the first five names.
    """
    seen: dict[str, str] = {}
    twice = []
    for file, source in sources.items():
        for tensor in source.tensors:
            if tensor in seen:
                twice.append(tensor)
            seen[tensor] = file
    if twice:
        raise _mismatch(f"Tensors lie in two shards: {_list(twice)}")
    if missing := [tensor for tensor in index.places if tensor not in seen]:
        raise _mismatch(f"{index.name} names tensors that no shard has: {_list(missing)}")
    if extra := [tensor for tensor in seen if tensor not in index.places]:
        raise _mismatch(f"The shards have tensors that {index.name} does not name: {_list(extra)}")
    if moved := [tensor for tensor, file in seen.items() if index.places[tensor] != file]:
        raise _mismatch(f"Tensors lie in another shard than {index.name} says: {_list(moved)}")
    total = sum(entry.size for source in sources.values() for entry in source.tensors.values())
    if safe and index.total is not None and index.total != total:
        raise _mismatch(f"{index.name} says that all tensors take {index.total:,} bytes; they take {total:,}")


def _list(names: list[str]) -> str:
    more = f", and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(shorten(name, 60) for name in names[:_SHOWN]) + more


def _mismatch(what: str) -> NocturneInputError:
    return refuse("hf.index_mismatch", f"{what}. Pack the whole folder again, or save the model again.")
