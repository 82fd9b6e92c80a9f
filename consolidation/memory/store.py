"""Records: examples of one task in one safetensors file, memory-mapped. Torch-free (numpy only).

Tensors: x [N, ...] in its source's own precision, y int64 [N], z float16 [N, C] (stored logits,
optional), id uint8 [N, 16]. Metadata
"nocturne.records": {"version", "task", "classes", "transform": {"scale", "mean", "sd"}}.
The model is given (x * scale - mean) / sd.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from consolidation.errors import NocturneInputError, shorten

Array = NDArray[Any]
KEY = "nocturne.records"
MAX_HEADER = 1 << 20
DTYPES = {
    "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Transform:
    """How stored numbers become model input: (x * scale - mean) / sd."""

    scale: float = 1.0
    mean: float = 0.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            bad = isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30
            if bad or (name == "sd" and value <= 0):
                raise NocturneInputError(
                    "records.transform",
                    f"The transform's {name} is {shorten(value)}; it must be finite, and sd above 0.",
                )

    @classmethod
    def from_json(cls, data: Any) -> Transform:
        if data is None:
            return cls()
        if not isinstance(data, Mapping) or not set(data) <= {"scale", "mean", "sd"}:
            raise NocturneInputError("records.transform", "A transform has scale, mean and sd only.")
        return cls(**data)

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def record_ids(x: Array, y: Array) -> NDArray[np.uint8]:
    """uint8 [N, 16]: first half of sha256(x's bytes, C order, + y as int64), little endian."""
    rows = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("<"))
    labels = np.ascontiguousarray(y, dtype="<i8")
    ids = np.empty((len(rows), 16), np.uint8)
    for index in range(len(rows)):
        digest = hashlib.sha256(rows[index].tobytes() + labels[index].tobytes()).digest()
        ids[index] = np.frombuffer(digest[:16], np.uint8)
    return ids


class Records:
    """A set of examples of one task.

    Attributes:
        x: [N, ...]; y: int64 [N]; z: float16 [N, classes] or None; ids: uint8 [N, 16]. Read-only when opened.
        task, classes, transform: of the whole set.
    """

    def __init__(
        self,
        *,
        task: str,
        x: Array,
        y: Array,
        classes: int,
        z: Array | None = None,
        ids: NDArray[np.uint8] | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.task, self.classes = task, int(classes)
        self.x, self.y, self.z = x, y, z
        self.transform = transform or Transform()
        self._check()
        self.ids = record_ids(x, y) if ids is None else ids

    def _check(self) -> None:
        name, n = shorten(self.task), len(self.x)
        if n == 0:
            raise NocturneInputError("records.empty", f"The set '{name}' has no records; add some.")
        if self.y.shape != (n,) or (self.z is not None and self.z.shape != (n, self.classes)):
            raise NocturneInputError(
                "records.shape",
                f"The records of '{name}' do not line up: {n} inputs need {n} labels and, if any, {n} x "
                f"{self.classes} logits.",
            )
        low, high = int(self.y.min()), int(self.y.max())
        if low < 0 or high >= self.classes:
            wrong = low if low < 0 else high
            raise NocturneInputError(
                "records.label_range",
                f"The records of '{name}' hold label {wrong}; with {self.classes} classes labels run 0 to "
                f"{self.classes - 1}.",
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def width(self) -> int:
        """Numbers per record."""
        return int(np.prod(self.x.shape[1:], dtype=np.int64))

    def inputs(self, rows: Any = slice(None)) -> NDArray[np.float32]:
        """float32 [n, width]: what the model is given for these rows."""
        raw = np.asarray(self.x[rows], dtype=np.float32).reshape(-1, self.width)
        t = self.transform
        return (raw * np.float32(t.scale) - np.float32(t.mean)) / np.float32(t.sd)

    def take(self, rows: NDArray[Any]) -> Records:
        """A copy in memory of some rows (an index or a boolean array)."""
        return Records(
            task=self.task,
            x=np.ascontiguousarray(self.x[rows]),
            y=np.ascontiguousarray(self.y[rows]),
            z=None if self.z is None else np.ascontiguousarray(self.z[rows]),
            ids=np.ascontiguousarray(self.ids[rows]),
            classes=self.classes,
            transform=self.transform,
        )

    # ------------------------------------------------------------ files

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Records:
        """Maps a record file read-only; nothing is copied.

        Raises:
            NocturneInputError: `records.format` and the codes of a bad set.
        """
        tensors, meta = _map(Path(path))
        if not {"x", "y", "id"} <= set(tensors) or tensors["y"].dtype != np.int64:
            raise _broken("it lacks x, y or id")
        ids = tensors["id"]
        if ids.dtype != np.uint8 or ids.shape != (len(tensors["x"]), 16):
            raise _broken("its ids do not line up")
        return cls(
            task=meta["task"], classes=meta["classes"], transform=Transform.from_json(meta.get("transform")),
            x=tensors["x"], y=tensors["y"], z=tensors.get("z"), ids=ids,
        )  # fmt: skip

    @staticmethod
    def write(
        path: str | os.PathLike[str],
        *,
        task: str,
        x: Array,
        y: Array,
        classes: int,
        z: Array | None = None,
        transform: Transform | None = None,
    ) -> Records:
        """Writes a record file, whole or not at all, and opens it."""
        made = Records(task=task, x=x, y=y.astype(np.int64), z=z, classes=classes, transform=transform)
        return made.save(path)

    def save(self, path: str | os.PathLike[str]) -> Records:
        """Writes this set to `path`, whole or not at all (fsync, then rename), and opens it."""
        tensors = {"x": self.x, "y": self.y, "id": self.ids}
        if self.z is not None:
            tensors["z"] = np.clip(self.z, -65504, 65504).astype(np.float16)
        transform = self.transform.to_json()
        meta = {"version": 1, "task": self.task, "classes": self.classes, "transform": transform}
        target = Path(path)
        partial = target.with_name(target.name + ".part")
        try:
            flat = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
            save_file(flat, partial, metadata={KEY: json.dumps(meta, sort_keys=True)})
            flush_to_disk(partial)
            partial.replace(target)
            flush_to_disk(target.parent)
        finally:
            partial.unlink(missing_ok=True)
        return Records.open(target)


def flush_to_disk(path: Path) -> None:
    """fsync of a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _broken(why: str) -> NocturneInputError:
    return NocturneInputError(
        "records.format", f"This is not a record file of Nocturne: {why}. Convert the records again."
    )


def _map(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The tensors as read-only memory maps and the set's own metadata."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER):
            raise _broken("its header is damaged")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        meta = json.loads(header.pop("__metadata__")[KEY])
        good = isinstance(meta["task"], str) and isinstance(meta["classes"], int) and meta["version"] == 1
        tensors = {name: _one(path, 8 + length, size, item) for name, item in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, NocturneInputError):
            raise
        raise _broken("its header cannot be read") from error
    if not good or meta["classes"] < 1:
        raise _broken("its metadata is incomplete")
    return tensors, meta


def _one(path: Path, start: int, size: int, item: Any) -> Array:
    dtype = np.dtype(DTYPES[item["dtype"]])
    shape = tuple(int(length) for length in item["shape"])
    begin, end = item["data_offsets"]
    count = 1
    for length in shape:
        count *= length
    inside = 0 <= begin <= end <= size - start
    if min(shape, default=1) < 0 or not inside or end - begin != count * dtype.itemsize:
        raise _broken("it ends early, or its sizes do not agree")
    if count == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", start + begin, shape)
