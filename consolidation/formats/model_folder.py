"""A model's folder: of Transformers (config.json), an adapter of PEFT, or one file of weights and no more.

What is not known stays in the archive: it is not unpacked, not opened, not kept, and listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.folder_weights import Weights, find_weights, open_found
from consolidation.formats.huggingface import open_adapter, open_transformers
from consolidation.formats.refusal import refuse
from consolidation.formats.settling import same_bytes

if TYPE_CHECKING:
    from consolidation.formats.folder import Folder
    from consolidation.formats.tensor_source import TensorSource

# The usual names of the weights, the preferred ones first.
MODEL: Final = ("model.safetensors", "pytorch_model.bin")
ADAPTER: Final = ("adapter_model.safetensors", "adapter_model.bin")
# The numbers of two files are compared, not only names and shapes, when they are no larger than this.
COMPARED_BYTES: Final = 256 * 2**20

_SHOWN: Final = 6
# What a training leaves beside its weights.
_STATES: Final = frozenset({
    "training_args.bin", "optimizer.bin", "scheduler.bin", "optimizer.pt", "scheduler.pt", "scaler.pt",
    "rng_state.pth",
})  # fmt: skip
_PROGRAM: Final = re.compile(
    r"(?i).*\.(py|pyc|pyo|pyd|so|dll|dylib|exe|sh|bat|ps1|js|jar|class|ipynb|pkl|pickle|joblib|dill|env)"
    r"|(.*/)?(\.git|\.hg|\.svn)/.*|(.*/)?\.env(\..*)?"
)


def open_model_folder(
    folder: Folder, *, filename: str, stack: ExitStack, strict: bool = False
) -> TensorSource:
    """The tensors of the model in a folder, with its companions and notes.

    Args:
        folder: what came.
        filename: the person's name for the archive.
        stack: removes what has to be unpacked.
        strict: refuse programs and pickles that lie in the folder, instead of leaving them out.

    Raises:
        NocturneInputError: with a code of `refusal.CODES`.
    """
    programs = [path for path in folder.paths() if _PROGRAM.fullmatch(path)]
    if strict and programs:
        raise refuse(
            "hf.file_forbidden",
            f"{shorten(filename)} holds {_list(programs)}. This server takes no folder with programs or "
            "pickles. Pack it again without them.",
        )
    _refuse_old(folder, filename)
    found = find_weights(folder, MODEL)
    adapters = find_weights(folder, ADAPTER)
    if "adapter_config.json" in folder and adapters and not found:
        found = adapters
        source = open_adapter(folder, open_found(found[0], folder, stack=stack))
    else:
        found = found or _only(folder, filename)
        source = open_found(found[0], folder, stack=stack)
        if "config.json" in folder:
            source = open_transformers(folder, source)
    notes = list(source.notes)
    for other in found[1:]:
        notes.append(_compared(other, found[0], source, folder, stack))
    used = {name for weights in found for name in (*weights.files, weights.index)} | set(source.companions)
    left = [path for path in folder.paths() if path not in used and path not in programs]
    if programs:
        notes.append(f"Left out, never opened and never run: {_list(programs)}.")
    if left:
        notes.append(f"Not taken over: {_list(left)}.")
    return replace(source, notes=tuple(notes))


def _refuse_old(folder: Folder, filename: str) -> None:
    """A tar of PyTorch's first years, which pickles describe."""
    if "pickle" in folder:
        raise refuse(
            "pytorch.legacy_format",
            f"{shorten(filename)} is a tar archive of weights, as very old PyTorch versions wrote. It was "
            "not opened. Load it where it was made and save the weights as safetensors.",
        )


def _only(folder: Folder, filename: str) -> list[Weights]:
    """The one file of weights in the folder, whatever its name is."""
    for ends in ((".safetensors",), (".bin", ".pt", ".pth", ".ckpt")):
        found = [name for name in folder.top() if name.endswith(ends) and name not in _STATES]
        if len(found) == 1:
            return [Weights((found[0],))]
        if found:
            raise refuse(
                "hf.no_weights",
                f"{shorten(filename)} holds {len(found):,} files of weights ({_list(found)}), and none of "
                "them is called model.safetensors. Pack only the one that is meant, or the index too.",
            )
    if inner := folder.first_archive():
        raise refuse(
            "archive.nested",
            f"{shorten(filename)} holds no weights but another archive ({shorten(inner)}). Nothing was "
            "unpacked. Pack the model's own files.",
        )
    raise refuse(
        "hf.no_weights",
        f"{shorten(filename)} holds no weights that are read: no model.safetensors, no pytorch_model.bin, in "
        f"its {len(folder.paths()):,} files. Pack the model's folder itself.",
    )


def _compared(other: Weights, used: Weights, source: TensorSource, folder: Folder, stack: ExitStack) -> str:
    """What to say about weights that are there a second time. They are never needed, so no refusal."""
    name, mine = other.index or other.files[0], used.index or used.files[0]
    if not folder.cheap(other.files) and other.size(folder) > COMPARED_BYTES:
        return f"{name} was not used, because {mine} is there; its numbers were not compared."
    try:
        second = open_found(other, folder, stack=stack)
        if dict(second.tensors) != dict(source.tensors):
            return f"{name} was not used and holds other tensors than {mine}: {_differing(second, source)}."
        if other.size(folder) > COMPARED_BYTES:
            return (
                f"{name} was not used; it holds the tensors of {mine}, and their numbers were not compared."
            )
        for tensor in source.tensors:
            if not same_bytes(source.read(tensor), second.read(tensor)):
                return f"{name} was not used and holds other numbers than {mine}, first in {shorten(tensor)}."
    except NocturneInputError as error:
        return f"{name} was not used, because {mine} is there; it could not be read either ({error.code})."
    return f"{name} was not used; it holds the same numbers as {mine}."


def _differing(second: TensorSource, source: TensorSource) -> str:
    names = [
        name
        for name in sorted({*second.tensors, *source.tensors})
        if second.tensors.get(name) != source.tensors.get(name)
    ]
    return _list(names)


def _list(names: Iterable[str]) -> str:
    each = list(names)
    more = f" and {len(each) - _SHOWN:,} more" if len(each) > _SHOWN else ""
    return ", ".join(shorten(name, 40) for name in each[:_SHOWN]) + more
