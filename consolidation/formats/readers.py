"""One reader a format, each giving a `Source`. The content decides which; the file's name does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.csv_rows import read_csv
from consolidation.formats.dtypes import NUMPY
from consolidation.formats.jsonl import read_jsonl
from consolidation.formats.lines import open_text, sniff_gzip
from consolidation.formats.npz import Archive
from consolidation.formats.parquet import open_parquet
from consolidation.formats.pictures import Wanted
from consolidation.formats.record_folder import open_record_folder
from consolidation.formats.refusal import refuse
from consolidation.formats.safetensors import Header, TensorEntry, read_header
from consolidation.formats.sniff import refuse_kind, sniff
from consolidation.formats.source import RECORDS_KEY, Source
from consolidation.formats.spool import RowSpool
from consolidation.formats.text_files import TextFile
from consolidation.formats.texts import TextOptions, TokenizerFile
from consolidation.memory.files import OBJECTIVES
from consolidation.memory.store import Records

if TYPE_CHECKING:
    from numpy.typing import NDArray

WANTED: Final = "a set of records (npz, JSON Lines, CSV, Parquet, or an archive of pictures or of a dataset)"
TEXTS: Final = frozenset({"json", "text", "utf16"})
_NAMES: Final = frozenset({"x", "y", "logits", "scale", "mean", "sd", "classes"})


def open_source(
    path: Path,
    *,
    spool: Path,
    limit_bytes: int,
    filename: str,
    stack: ExitStack,
    tokenizer: TokenizerFile | None = None,
    split: str = "",
    picture: Wanted | None = None,
    options: TextOptions | None = None,
) -> Source:
    """The records of a file, whatever its format; `stack` closes what has to stay open.

    Args:
        tokenizer: what texts are read with, and what the model wants of them.
        options: what the person says of texts.
        split, picture: see `records.convert_records`; for what is in an archive.

    Raises:
        NocturneInputError: `type.mismatch`, `pickle.not_supported`, ... or the format's own codes.
    """
    kind = sniff(path)
    if kind == "npz":
        return _npz(stack.enter_context(Archive(path, limit_bytes=limit_bytes)))
    told = options or TextOptions()
    if kind == "parquet":
        texts = TextFile(path, kind, filename.lower(), tokenizer, told)
        if texts.holds_texts():
            return texts.source(spool=spool, limit_bytes=limit_bytes, stack=stack)
        return open_parquet(path, limit_bytes=limit_bytes)
    packed = kind == "gzip"
    if packed:
        kind = sniff_gzip(path)
    if kind == "tar" or (kind == "zip" and not packed):
        return open_record_folder(
            path, "gzip" if packed else kind, filename=filename, spool=spool, limit_bytes=limit_bytes,
            stack=stack, split=split, wanted=picture or Wanted(), tokenizer=tokenizer, options=told,
        )  # fmt: skip
    name = filename.lower().removesuffix(".gz")
    if kind in TEXTS or (kind == "unknown" and name.endswith((".csv", ".tsv", ".jsonl", ".ndjson"))):
        # Only what is neither is told by its name: a wrong encoding is named as the reader of that kind does.
        lines = kind == "json" or (kind != "text" and name.endswith((".jsonl", ".ndjson", ".json")))
        texts = TextFile(path, "json" if lines else "text", name, tokenizer, told)
        if texts.holds_texts():
            return texts.source(spool=spool, limit_bytes=limit_bytes, stack=stack)
        rows = RowSpool(spool, limit_bytes=limit_bytes)
        stack.callback(rows.close)
        with open_text(path) as handle:
            (read_jsonl if lines else read_csv)(handle, rows)
        return rows.source()
    if kind == "safetensors":
        return _own(path, read_header(path), limit_bytes)
    raise refuse_kind("gzip" if packed else kind, wanted=WANTED, filename=filename)


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("<")


def _npz(archive: Archive) -> Source:
    members = archive.members
    unknown = sorted(set(members) - _NAMES)
    missing = [name for name in ("x", "y") if name not in members]
    if missing or unknown:
        what = (
            f"no array “{missing[0]}”" if missing else f"an array “{shorten(unknown[0])}” that is not known"
        )
        raise refuse(
            "npz.member",
            f"The archive has {what}. Name the inputs x and the labels y; logits, scale, mean and sd may be "
            "there too.",
        )
    x, y = members["x"], members["y"]
    if y.dtype.kind not in "iu":
        raise refuse("npz.dtype", f"y has the type {y.dtype.name}; labels are whole numbers (int64).")
    rows = x.shape[0] if x.shape else 0
    if y.shape != (rows,) or len(x.shape) < 2:
        raise refuse(
            "records.shape",
            f"x has the shape {list(x.shape)} and y {list(y.shape)}. Needed: x [records, ...] and y "
            "[records].",
        )
    if rows > limits.ROWS:
        raise refuse(
            "records.rows", f"The file has {rows:,} rows; at most {limits.ROWS:,} fit one set. Split it."
        )
    z_width = None
    if "logits" in members:
        z = members["logits"]
        if z.dtype.kind != "f" or len(z.shape) != 2 or z.shape[0] != rows or z.shape[1] == 0:
            raise refuse(
                "records.logits",
                f"logits has the shape {list(z.shape)} of {z.dtype.name}; needed: floats [{rows}, classes].",
            )
        z_width = z.shape[1]
    labels = archive.array("y")
    if y.dtype.kind == "u" and labels.size and int(labels.max()) > 2**62:
        raise refuse("records.label_range", f"A label is {int(labels.max())}, which is no class.")
    told: dict[str, float] = {key: _scalar(archive, key) for key in ("scale", "mean", "sd") if key in members}
    return Source(
        labels=labels.astype(np.int64),
        x_dtype=_little(x.dtype),
        x_shape=x.shape[1:],
        x=_npz_blocks(archive, "x"),
        z_width=z_width,
        z=_npz_blocks(archive, "logits"),
        transform=told or None,
        classes=_class_count(_scalar(archive, "classes")) if "classes" in members else None,
    )


def _npz_blocks(archive: Archive, name: str) -> Callable[[int], Iterator[NDArray[Any]]]:
    def blocks(rows: int) -> Iterator[NDArray[Any]]:
        member = archive.members[name]
        if member.fortran:
            whole = archive.array(name)
            for start in range(0, len(whole), rows):
                yield whole[start : start + rows].astype(_little(member.dtype))
            return
        width = member.dtype.itemsize * int(np.prod(member.shape[1:]))
        for piece in archive.chunks(name, rows * width):
            found: NDArray[Any] = np.frombuffer(piece, dtype=member.dtype)
            yield found.reshape(-1, *member.shape[1:]).astype(_little(member.dtype), copy=False)

    return blocks


def _scalar(archive: Archive, name: str) -> float:
    member = archive.members[name]
    if member.shape not in {(), (1,)}:
        raise refuse("records.transform", f"{name} has the shape {list(member.shape)}; one number is needed.")
    return float(archive.array(name).reshape(-1)[0])


def _objective(described: dict[str, Any]) -> str:
    """What the labels of a record file of ours mean. Raises NocturneInputError (`records.metadata`)."""
    told = described.get("objective", "classification")
    if not isinstance(told, str) or told not in OBJECTIVES or described.get("head") is not None:
        raise refuse(
            "records.metadata",
            "The record file asks something of its records that an upload cannot keep. Convert the records "
            "again.",
        )
    return told


def _class_count(value: Any, objective: str = "classification") -> int:
    most = OBJECTIVES[objective] or limits.CLASSES
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= most:
        raise refuse(
            "records.metadata", f"The file says that there are {shorten(value)} classes, which cannot be."
        )
    return int(value)


def _own(path: Path, header: Header, limit_bytes: int) -> Source:
    """A record file that we wrote once; its ids are computed again, not believed."""
    tensors = header.tensors
    if RECORDS_KEY not in header.metadata:
        raise refuse(
            "type.mismatch",
            "This is a safetensors file without records in it, perhaps a checkpoint. Records are npz, "
            "JSON Lines, CSV or Parquet; "
            "checkpoints have their own page.",
        )
    described = _described(header.metadata[RECORDS_KEY])
    told = _objective(described)
    if described.get("version") == 2:
        return _packed(path, limit_bytes)
    rows = tensors["y"].elements if "y" in tensors else 0
    fits = (
        set(tensors) - {"z"} == {"x", "y", "id"}
        and tensors["y"].shape == (rows,)
        and tensors["y"].dtype == "I64"
        and tensors["x"].dtype in NUMPY
        and tensors["x"].shape[:1] == (rows,)
        and ("z" not in tensors or (tensors["z"].dtype == "F16" and tensors["z"].shape[:-1] == (rows,)))
    )
    if not fits:
        raise refuse(
            "records.shape", "The record file's tensors are not x [N, ...], y [N] int64, z [N, C] and id."
        )
    if rows > limits.ROWS:
        raise refuse(
            "records.rows", f"The file has {rows:,} rows; at most {limits.ROWS:,} fit one set. Split it."
        )
    labels = next(_own_blocks(path, header.data_start, tensors["y"])(rows)) if rows else np.empty(0, np.int64)
    z = tensors.get("z")
    return Source(
        labels=labels,
        x_dtype=np.dtype(NUMPY[tensors["x"].dtype]),
        x_shape=tensors["x"].shape[1:],
        x=_own_blocks(path, header.data_start, tensors["x"]),
        z_width=z.shape[1] if z else None,
        z=_own_blocks(path, header.data_start, z or tensors["x"]),
        transform=described.get("transform"),
        classes=_class_count(described["classes"], told) if "classes" in described else None,
        objective=told,
    )


def _packed(path: Path, limit_bytes: int) -> Source:
    """A record file of ours with packed inputs, unpacked. Owners, expiries and groups would be lost."""
    records = Records.open(path)
    if not records.rights.empty:
        raise refuse(
            "records.metadata",
            "The records carry owners, licences, groups or expiries, which an upload cannot keep. Save them "
            "without these first.",
        )
    rows, dtype = (
        len(records),
        (records.packed.dtype if records.packed else records.x.dtype).newbyteorder("<"),
    )
    if rows > limits.ROWS:
        raise refuse(
            "records.rows", f"The file has {rows:,} rows; at most {limits.ROWS:,} fit one set. Split it."
        )
    size = rows * records.width * dtype.itemsize
    if size > limit_bytes:
        raise refuse(
            "replay.expansion_limit",
            f"The records unpack to {size:,} bytes and there is room for {limit_bytes:,}. Split the set.",
        )

    def blocks(array: Callable[[slice], NDArray[Any]]) -> Callable[[int], Iterator[NDArray[Any]]]:
        return lambda count: (array(slice(place, place + count)) for place in range(0, rows, count))

    z = records.z
    return Source(
        labels=np.asarray(records.y),
        x_dtype=dtype,
        x_shape=records.shape[1:],
        x=blocks(records.raw),
        z_width=None if z is None else z.shape[1],
        z=blocks(lambda part: np.empty((0, 0)) if z is None else z[part]),
        transform=records.transform.to_json(),
        classes=records.classes,
        objective=records.objective,
    )


def _described(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("transform", {}), dict):
        raise refuse("records.metadata", "The record file's description (nocturne.records) is damaged.")
    return value


def _own_blocks(path: Path, data_start: int, entry: TensorEntry) -> Callable[[int], Iterator[NDArray[Any]]]:
    def blocks(rows: int) -> Iterator[NDArray[Any]]:
        dtype = np.dtype(NUMPY[entry.dtype])
        width = dtype.itemsize * int(np.prod(entry.shape[1:]))
        with path.open("rb") as handle:
            handle.seek(data_start + entry.start)
            left = entry.end - entry.start
            while left:
                piece = handle.read(min(left, rows * width))
                left -= len(piece)
                yield np.frombuffer(piece, dtype=dtype).reshape(-1, *entry.shape[1:])

    return blocks
