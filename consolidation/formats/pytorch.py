"""Weights from a file of torch.save, without PyTorch and without an unpickler.

The file is a zip: `data.pkl` describes the tensors (`pickle_reader` reads it), `data/<key>` holds one storage
each as raw numbers (torch/serialization.py, format of PyTorch 1.6 and later).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.dtypes import ITEM_BYTES
from consolidation.formats.pickle_reader import UNTYPED, Ignored, Storage, Table, TensorView, read_pickle
from consolidation.formats.refusal import refuse
from consolidation.formats.region import Region
from consolidation.formats.tensor_source import Piece, TensorShape, TensorSource
from consolidation.formats.zip_reader import STORED, Member, inconsistent, read_zip

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICKLE_BYTES: Final = 64 * 2**20
# What may be gathered at once from numbers that do not lie in order.
SPAN_BYTES: Final = 768 * 2**20

_MAGIC: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_BESIDE: Final = re.compile(r"version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id")
_STORAGE: Final = re.compile(r"data/[0-9A-Za-z_]{1,64}")
_WEIGHTS: Final = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "module",
)
_WRAPPERS: Final = ("module.", "_orig_mod.")
_LIGHTNING: Final = "pytorch-lightning_version"
_NUMPY: Final = {1: "|u1", 2: "<u2", 4: "<u4", 8: "<u8"}


def open_pytorch(
    region: Region, *, filename: str, spool: Path, limit_bytes: int, stack: ExitStack
) -> TensorSource:
    """The state_dict in a file of torch.save; nested ones and Lightning's checkpoints are looked through.

    Args:
        region: the file.
        filename: the person's name for it.
        spool: a prefix in a folder that may be written, for members that somebody has compressed.
        limit_bytes: the most that unpacking may write.
        stack: removes what was unpacked.

    Raises:
        NocturneInputError: `pickle.*`, `archive.*`, `tensor.*`, `pytorch.*`.
    """
    if region.read(0, 1) == b"\x80":
        raise _bare(region, filename)
    members = _members(read_zip(region), filename)
    if (order := members.get("byteorder")) is not None and order.read(100).strip() != b"little":
        raise refuse(
            "pytorch.byte_order",
            f"{shorten(filename)} was saved on a machine with the other byte order. Save the weights as "
            "safetensors there.",
        )
    found = read_pickle(members["data.pkl"].read(PICKLE_BYTES), filename)
    views, notes = _weights(found, filename)
    files = _Storages(members, spool, limit_bytes, stack)
    tensors = {name: _checked(name, view, files) for name, view in views.items()}

    def read(name: str) -> Iterator[Piece]:
        return _numbers(name, views[name], files)

    return TensorSource(format="pytorch", tensors=tensors, read=read, notes=tuple(notes))


def _bare(region: Region, filename: str) -> NocturneInputError:
    """Why a pickle without its zip is refused; what it asks for is worth telling."""
    name = shorten(filename)
    head = region.read(0, min(region.size, PICKLE_BYTES))
    if head.startswith(_MAGIC):
        return refuse(
            "pytorch.legacy_format",
            f"{name} was saved in the format of PyTorch before 1.6. It was not opened. Load it "
            "where it was made "
            "and save the weights with today's torch.save, or as safetensors.",
        )
    try:
        read_pickle(head, name)
    except NocturneInputError as error:
        return error
    return refuse(
        "pickle.not_state_dict",
        f"{name} is a pickle of something else than weights. It was not opened. Save the weights with "
        "torch.save(model.state_dict(), ...), or as safetensors.",
    )


def _members(found: Mapping[str, Member], filename: str) -> dict[str, Member]:
    """The members by their names below the one top folder."""
    tables = [name for name in found if name == "data.pkl" or name.endswith("/data.pkl")]
    shown = shorten(filename)
    if any(name.rpartition("/")[2] == "constants.pkl" or "/code/" in f"/{name}" for name in found):
        raise refuse(
            "pytorch.legacy_format",
            f"{shown} is a TorchScript archive, a program and not weights. It was not opened. "
            "Save the weights: "
            "torch.save(model.state_dict(), ...), or as safetensors.",
        )
    if any("/.data/extern_modules" in f"/{name}" or "/.data/python_version" in f"/{name}" for name in found):
        raise refuse(
            "pytorch.legacy_format",
            f"{shown} is a torch.package, a program and not weights. It was not opened. Save the weights as "
            "safetensors.",
        )
    if not tables:
        raise inconsistent("it looks like a file of torch.save, but has no data.pkl")
    if len(tables) > 1:
        raise refuse(
            "archive.unexpected_member",
            f"{shown} has {len(tables)} tables of contents: {shorten(tables[1])} is one too many. It was not "
            "opened. Save the weights again.",
        )
    root = tables[0].removesuffix("data.pkl")
    members = {}
    for name, member in found.items():
        short = name.removeprefix(root)
        known = short == "data.pkl" or _STORAGE.fullmatch(short) or _BESIDE.fullmatch(short)
        if not name.startswith(root) or not known:
            raise refuse(
                "archive.unexpected_member",
                f"{shown} holds {shorten(name)}, which torch.save does not write. It was not "
                "opened. Save the "
                "weights again.",
            )
        members[short] = member
    return members


# -------------------------------------------------------------------------------- finding the weights


def _weights(found: Any, filename: str) -> tuple[dict[str, TensorView], list[str]]:
    notes: list[str] = []
    lightning = isinstance(found, Table) and _LIGHTNING in found
    table, beside = found, list[str]()
    for _ in range(4):
        if not isinstance(table, Table):
            break
        if _is_weights(table):
            return _clean(table, lightning, notes, beside)
        inner = next((name for name in _WEIGHTS if isinstance(table.get(name), Table)), None)
        if inner is None:
            break
        beside += [str(name) for name in table if name != inner]
        notes.append(f"The weights are the table “{inner}” of the file.")
        table = table[inner]
    said = "no table of tensors by name"
    if isinstance(found, Ignored):
        said = f"a {shorten(found.text)}"
    raise refuse(
        "pickle.not_state_dict",
        f"{shorten(filename)} holds {said}: it is no model's weights, perhaps the state of an "
        "optimizer or the "
        "arguments of a training. Choose the file of torch.save(model.state_dict(), ...).",
    )


def _is_weights(table: Table) -> bool:
    tensors = sum(isinstance(value, TensorView) for value in table.values())
    return tensors > 0 and 2 * tensors >= len(table) and all(isinstance(name, str) for name in table)


def _clean(
    table: Table, lightning: bool, notes: list[str], beside: list[str]
) -> tuple[dict[str, TensorView], list[str]]:
    views = {name: value for name, value in table.items() if isinstance(value, TensorView)}
    left = [name for name in table if name not in views]
    for prefix in (*_WRAPPERS, *(("model.",) if lightning else ()), *_WRAPPERS):
        if views and all(name.startswith(prefix) and name != prefix for name in views):
            views = {name.removeprefix(prefix): view for name, view in views.items()}
            notes.append(f"Every name began with “{prefix}”, which was left off.")
    if beside:
        shown = ", ".join(shorten(name, 30) for name in beside[:6]) + (", ..." if len(beside) > 6 else "")
        notes.append(f"Not taken over: {shown}.")
    if left:
        notes.append(
            f"Entries that are no tensors were left out: {', '.join(shorten(n, 30) for n in left[:6])}."
        )
    return views, notes


# -------------------------------------------------------------------------------- storages and their numbers


class _Storages:
    """The raw numbers by key: where they are in the archive, or in a file of their own once unpacked."""

    def __init__(
        self, members: Mapping[str, Member], spool: Path, limit_bytes: int, stack: ExitStack
    ) -> None:
        self._members, self._spool, self._left, self._stack = members, spool, limit_bytes, stack
        self._unpacked: dict[str, Region] = {}
        self._sound: set[str] = set()

    def member(self, storage: Storage) -> Member:
        """The storage's member. Raises NocturneInputError (`tensor.size_mismatch`)."""
        found = self._members.get(f"data/{storage.key}")
        item = 1 if storage.dtype == UNTYPED else ITEM_BYTES[storage.dtype]
        if found is None or found.size != storage.numel * item:
            has = "is not there" if found is None else f"has {found.size:,} bytes"
            raise refuse(
                "tensor.size_mismatch",
                f"Storage {shorten(storage.key)} {has}; its description needs "
                f"{storage.numel * item:,} bytes. "
                "The file is damaged or was changed. Save or copy it again.",
            )
        return found

    def region(self, storage: Storage) -> Region:
        """Its numbers as they are on disk, compared with their checksum once."""
        member = self.member(storage)
        if member.method == STORED:
            if storage.key not in self._sound:
                for _ in member.chunks():
                    pass
                self._sound.add(storage.key)
            return member.packed
        if storage.key not in self._unpacked:
            if member.size > self._left:
                raise refuse(
                    "archive.bomb",
                    f"The archive's members unpack to more than the {self._left:,} bytes that "
                    "are left. Nothing "
                    "was kept. Save the weights without compression.",
                )
            self._left -= member.size
            path = self._spool.with_name(f"{self._spool.name}.part-{len(self._unpacked)}")
            self._stack.callback(path.unlink, missing_ok=True)
            with path.open("xb") as file:
                for piece in member.chunks():
                    file.write(piece)
            self._unpacked[storage.key] = Region.of(path)
        return self._unpacked[storage.key]

    def whole(self, storage: Storage) -> Iterator[Piece]:
        """All numbers in one pass, with the checksum computed on the way."""
        member = self.member(storage)
        if member.method == STORED:
            self._sound.add(storage.key)
            return member.chunks()
        return self.region(storage).chunks()


def _checked(name: str, view: TensorView, files: _Storages) -> TensorShape:
    """The tensor's shape, when all of it lies inside of its storage."""
    size = files.member(view.storage).size
    item = ITEM_BYTES[view.dtype]
    elements = math.prod(view.shape)
    if elements > limits.ELEMENTS:
        raise refuse(
            "tensor.shape_overflow", f"Tensor {shorten(name)} claims more numbers than any memory could hold."
        )
    if (view.offset + _span(view)) * item > size or view.offset * item > size:
        raise refuse(
            "tensor.out_of_bounds",
            f"Tensor {shorten(name)} reaches outside of its storage: it needs "
            f"{(view.offset + _span(view)) * item:,} bytes, and {size:,} are there. The file is "
            "damaged or was "
            "changed. Save it again.",
            tensor=shorten(name),
        )
    return TensorShape(view.dtype, view.shape)


def _span(view: TensorView) -> int:
    """Items from the first to behind the last one."""
    if 0 in view.shape:
        return 0
    return 1 + sum((side - 1) * step for side, step in zip(view.shape, view.stride, strict=True))


def _in_order(view: TensorView) -> bool:
    expected = 1
    for side, step in zip(reversed(view.shape), reversed(view.stride), strict=True):
        if side != 1 and step != expected:
            return False
        expected *= side
    return True


def _numbers(name: str, view: TensorView, files: _Storages) -> Iterator[Piece]:
    if 0 in view.shape:
        return
    item = ITEM_BYTES[view.dtype]
    span = _span(view)
    if _in_order(view):
        member = files.member(view.storage)
        if view.offset == 0 and span * item == member.size:
            yield from files.whole(view.storage)
        else:
            yield from files.region(view.storage).chunks(view.offset * item, span * item)
        return
    if span * item > SPAN_BYTES:
        raise refuse(
            "tensor.strided",
            f"The numbers of tensor {shorten(name)} lie scattered over {span * item:,} bytes, "
            "more than is held "
            "at once. Save it in order: tensor.contiguous().",
        )
    data = files.region(view.storage).read(view.offset * item, span * item)
    flat: NDArray[Any] = np.frombuffer(data, dtype=_NUMPY[item])
    strides = tuple(step * item for step in view.stride)
    spread = np.lib.stride_tricks.as_strided(flat, view.shape, strides, writeable=False)
    each = max(1, limits.CHUNK // max(1, item * math.prod(view.shape[1:])))
    for start in range(0, view.shape[0], each):
        yield np.ascontiguousarray(spread[start : start + each]).tobytes()
