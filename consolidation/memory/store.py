"""Records: examples of one task in one safetensors file, memory-mapped. Torch-free (numpy only).

x [N, ...] in its source's own precision or packed by a codec, y [N], z float16 [N, C] (stored logits,
optional; of objectives with many choices `top` and z [N, S, k], the k likeliest of each), id uint8 [N, 16],
and what is known of each record besides (`rights.py`). The file's form is in `files.py`. The model is given
(x * scale - mean) / sd.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consolidation.errors import NocturneInputError, shorten
from consolidation.memory.codecs import Packed, smallest_label_dtype
from consolidation.memory.files import (
    broken,
    map_tensors,
    packed_tensors,
    read_meaning,
    read_packed,
    read_rights,
    rights_tensors,
    write_tensors,
)
from consolidation.memory.files import flush_to_disk as flush_to_disk
from consolidation.memory.rights import Rights

Array = NDArray[Any]
HALF_MOST = 65504  # the largest float16


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
        y: int64 [N]; z: float16 [N, classes] or None; ids: uint8 [N, 16]. Read-only when opened.
        top: uint16 or int32 [N, S, k], the choices that z float16 [N, S, k] are the log-chances of; None in
        classification.
        packed: the inputs in a codec, or None when they lie as they are.
        rights: owner, licence, purpose, source, group, expiry and tombstone of the records.
        gone: uint8 [M, 16], ids of records that were deleted and whose content is no longer here.
        task, classes, transform: of the whole set. objective: what y means, see `objectives`.
        head: (first, last), the columns of the model's logits that are this task's own head, last excluded;
        None: all are.
    """

    def __init__(
        self,
        *,
        task: str,
        x: Array | Packed,
        y: Array,
        classes: int,
        z: Array | None = None,
        top: Array | None = None,
        ids: NDArray[np.uint8] | None = None,
        transform: Transform | None = None,
        rights: Rights | None = None,
        gone: NDArray[np.uint8] | None = None,
        objective: str = "classification",
        head: tuple[int, int] | None = None,
    ) -> None:
        self.task, self.classes = task, int(classes)
        self.packed = x if isinstance(x, Packed) else None
        self._x: Array | None = None if isinstance(x, Packed) else x
        self.shape = x.shape
        self.y, self.z, self.top = y, z, top
        self.objective, self.head = objective, head
        self.transform = transform or Transform()
        self.rights = rights or Rights()
        self.gone = np.zeros((0, 16), np.uint8) if gone is None else gone
        self._check()
        self.ids = record_ids(self.x, y) if ids is None else ids

    def _check(self) -> None:
        name, n = shorten(self.task), self.shape[0]
        if n == 0:
            raise NocturneInputError("records.empty", f"The set '{name}' has no records; add some.")
        if self.y.shape != (n,) or not self._stored_fit():
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
        if self.head is not None and (low < self.head[0] or high >= self.head[1]):
            wrong = low if low < self.head[0] else high
            raise NocturneInputError(
                "records.head",
                f"The records of '{name}' hold label {wrong}; the head of their task has the classes "
                f"{self.head[0]} to {self.head[1] - 1}.",
            )
        self.rights.check(self.task, n)

    def _stored_fit(self) -> bool:
        """Whether the stored answers have one row a record, and their two parts one shape."""
        z, top = self.z, self.top
        if top is None:
            return z is None or z.shape == (len(self.y), self.classes)
        return z is not None and z.ndim == 3 and z.shape == top.shape and len(z) == len(self.y)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def width(self) -> int:
        """Numbers per record."""
        return int(np.prod(self.shape[1:], dtype=np.int64))

    @property
    def x(self) -> Array:
        """[N, ...]; packed inputs of a large set are unpacked anew at each call. Raises `records.format`."""
        return self.raw(slice(None))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored numbers; nothing is unpacked to tell it."""
        return self.packed.dtype if self._x is None and self.packed is not None else self.x.dtype

    def raw(self, rows: Any = slice(None)) -> Array:
        """[n, ...]: the stored numbers of some rows. Raises `records.format` when they do not unpack."""
        if self._x is not None:
            return self._x if isinstance(rows, slice) and rows == slice(None) else self._x[rows]
        assert self.packed is not None  # noqa: S101  one of the two is there
        try:
            return self.packed[rows]
        except ValueError as error:
            raise broken(str(error)) from error

    def inputs(self, rows: Any = slice(None)) -> NDArray[np.float32]:
        """float32 [n, width]: what the model is given for these rows."""
        raw = np.asarray(self.raw(rows), dtype=np.float32).reshape(-1, self.width)
        t = self.transform
        return (raw * np.float32(t.scale) - np.float32(t.mean)) / np.float32(t.sd)

    @property
    def bytes(self) -> dict[str, int]:
        """What a byte budget counts: {x, y, z, table, total}; the inputs as they are packed, labels in the
        narrowest type, logits as float16, tables with their offsets. Ids and rights are not counted."""
        n = len(self)
        table = 0 if self.packed is None else self.packed.table.nbytes + self.packed.offsets.nbytes
        x = self.packed.nbytes if self.packed is not None else n * self.width * self.dtype.itemsize
        y = n * smallest_label_dtype(self.classes).itemsize
        z = (0 if self.z is None else 2 * self.z.size) + (0 if self.top is None else self.top.nbytes)
        return {"x": x, "y": y, "z": z, "table": table, "total": x + y + z + table}

    # ------------------------------------------------------------ other sets from this one

    def _changed(self, **changes: Any) -> Records:
        now: dict[str, Any] = {
            "task": self.task, "x": self.packed if self._x is None else self._x, "y": self.y, "z": self.z,
            "top": self.top, "ids": self.ids, "classes": self.classes, "transform": self.transform,
            "rights": self.rights, "gone": self.gone, "objective": self.objective, "head": self.head,
        }  # fmt: skip
        return Records(**(now | changes))

    def take(self, rows: NDArray[Any]) -> Records:
        """A copy in memory of some rows (an index or a boolean array), unpacked."""
        return self._changed(
            x=np.ascontiguousarray(self.raw(rows)),
            y=np.ascontiguousarray(self.y[rows]),
            z=None if self.z is None else np.ascontiguousarray(self.z[rows]),
            top=None if self.top is None else np.ascontiguousarray(self.top[rows]),
            ids=np.ascontiguousarray(self.ids[rows]),
            rights=self.rights.take(rows),
        )

    def encoded(self, codec: str) -> Records:
        """The same set with its inputs packed; "raw" unpacks. Ids stay, even where the codec is lossy.

        Raises:
            NocturneInputError: `memories.codec`.
        """
        return self._changed(x=self.x if codec == "raw" else Packed.of(self.x, codec))

    def with_logits(self, z: Array, classes: int) -> Records:
        """The same records with logits [N, classes]."""
        return self._changed(z=np.clip(z, -HALF_MOST, HALF_MOST).astype(np.float16), classes=classes)

    def with_top(self, top: Array, z: Array) -> Records:
        """The same records with the likeliest choices [N, S, k] and the logs of their chances [N, S, k]."""
        return self._changed(top=top, z=np.clip(z, -HALF_MOST, HALF_MOST).astype(np.float16))

    def with_rights(self, **changes: Any) -> Records:
        """The same records with some fields of `Rights` set."""
        return self._changed(rights=replace(self.rights, **changes))

    def tombstoned(self, ids: NDArray[np.uint8]) -> Records:
        """This set with the records of these ids (uint8 [n, 16]) marked as deleted; `save` removes them."""
        doomed = {row.tobytes() for row in np.ascontiguousarray(ids)}
        marked = np.array([row.tobytes() in doomed for row in np.ascontiguousarray(self.ids)], np.bool_)
        if self.rights.tombstone is not None:
            marked |= self.rights.tombstone
        return self.with_rights(tombstone=marked)

    def live(self, now: float | None = None) -> Records | None:
        """The records that may be used at `now` (seconds since 1970; now): neither deleted nor expired.

        None when there are none.
        """
        alive = self.rights.alive(len(self), time.time() if now is None else now)
        if alive.all():
            return self
        return self.take(np.flatnonzero(alive)) if alive.any() else None

    def compact(self) -> Records:
        """Without the content of deleted records; their ids move to `gone`.

        Raises:
            NocturneInputError: `records.empty` when all are deleted.
        """
        dead = self.rights.tombstone
        if dead is None or not dead.any():
            return self
        if dead.all():
            raise NocturneInputError(
                "records.empty",
                f"Every record of '{shorten(self.task)}' is deleted, so nothing is left; delete the set.",
            )
        left = self.take(np.flatnonzero(~dead))
        gone = np.concatenate([self.gone, self.ids[dead]])
        left = left._changed(rights=replace(left.rights, tombstone=None), gone=gone)
        if self.packed is None:
            return left
        # a lossy set keeps its levels, or they would move; a dictionary may hold what was deleted
        table = None if self.packed.codec.lossless else self.packed.table.tobytes()
        return left._changed(x=Packed.of(left.x, self.packed.codec.name, table))

    # ------------------------------------------------------------ files

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Records:
        """Maps a record file read-only; nothing is copied but, in version 2, the labels.

        Raises:
            NocturneInputError: `records.format` and the codes of a bad set.
        """
        tensors, meta = map_tensors(Path(path))
        version = meta["version"]
        if "y" not in tensors or "id" not in tensors or not {"x", "x.data"} & set(tensors):
            raise broken("it lacks x, y or id")
        y, ids = tensors["y"], tensors["id"]
        if y.dtype.kind not in "ui" or (version == 1 and (y.dtype != np.int64 or "x" not in tensors)):
            raise broken("it lacks x, y or id")
        rows = y.size
        x: Array | Packed = tensors["x"] if "x" in tensors else read_packed(tensors, meta, rows)
        if ids.dtype != np.uint8 or ids.shape != (x.shape[0] if x.shape else -1, 16):
            raise broken("its ids do not line up")
        gone = tensors.get("gone")
        if gone is not None and (gone.dtype != np.uint8 or gone.ndim != 2 or gone.shape[1] != 16):
            raise broken("its ids do not line up")
        z, top = tensors.get("z"), tensors.get("top")
        if z is not None and z.dtype != np.float16:
            raise broken("its logits have a wrong type")
        if top is not None and top.dtype not in (np.uint16, np.int32):
            raise broken("its likeliest choices have a wrong type")
        return cls(
            task=meta["task"], classes=meta["classes"], transform=Transform.from_json(meta.get("transform")),
            x=x, y=y if y.dtype == np.int64 else y.astype(np.int64), z=z, top=top, ids=ids,
            rights=read_rights(tensors, meta) if version == 2 else None, gone=gone,
            **read_meaning(meta),
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
        objective: str = "classification",
        head: tuple[int, int] | None = None,
    ) -> Records:
        """Writes a record file, whole or not at all, and opens it."""
        made = Records(
            task=task, x=x, y=y.astype(np.int64), z=z, classes=classes, transform=transform,
            objective=objective, head=head,
        )  # fmt: skip
        return made.save(path)

    def save(self, path: str | os.PathLike[str]) -> Records:
        """Writes this set to `path` without its deleted records, whole or not at all, and opens it."""
        this = self.compact()
        meta: dict[str, Any] = {
            "task": this.task, "classes": this.classes, "transform": this.transform.to_json()
        }  # fmt: skip
        meta |= {"objective": this.objective} if this.objective != "classification" else {}
        meta |= {"head": list(this.head)} if this.head is not None else {}
        columns, words = rights_tensors(this.rights)
        tensors: dict[str, Array] = {"id": this.ids, **columns}
        if this.z is not None:
            tensors["z"] = np.clip(this.z, -HALF_MOST, HALF_MOST).astype(np.float16)
        if this.top is not None:
            tensors["top"] = this.top
        if len(this.gone):
            tensors["gone"] = this.gone
        if this.packed is None and this.rights.empty and not len(this.gone):
            tensors |= {"x": this.x, "y": np.asarray(this.y, np.int64)}
            write_tensors(Path(path), tensors, meta | {"version": 1})
            return Records.open(path)
        told: dict[str, Any] = {}
        if this.packed is None:
            tensors["x"] = this.x
        else:
            found, told = packed_tensors(this.packed)
            tensors |= found
        tensors["y"] = np.asarray(this.y).astype(smallest_label_dtype(this.classes))
        write_tensors(Path(path), tensors, meta | {"version": 2, "words": words} | told)
        return Records.open(path)


def live_sets(sets: list[Records], now: float | None = None) -> list[Records]:
    """The sets without expired and deleted records; a set of which nothing is left is left out."""
    return [left for records in sets if (left := records.live(now)) is not None]
