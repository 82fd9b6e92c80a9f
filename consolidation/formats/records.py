"""Turns what people have (npz, JSON Lines, CSV, Parquet, folders of pictures, exports of Hugging Face
datasets) into the one record file that the engine maps.

The canonical file is safetensors: y int64 [N], x [N, ...] in source precision, z float16 [N, C] if logits
are stored, id uint8 [N, 16] = sha256(x bytes + y)[:16]; metadata `nocturne.records` = {"version",
"task", "classes", "transform"}. Records that say whose they are get version 2 of `memory/files.py`, with a
column for each such field. Model input = (x * scale - mean) / sd.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.dtypes import ITEM_BYTES, SAFETENSORS
from consolidation.formats.output import DigestWriter, new_file
from consolidation.formats.readers import open_source
from consolidation.formats.record_rights import complete, require
from consolidation.formats.refusal import refuse
from consolidation.formats.row_check import check_rows, chosen
from consolidation.formats.safetensors import header_bytes
from consolidation.formats.skew import skew_notes
from consolidation.formats.source import RECORDS_KEY, Source
from consolidation.formats.task_head import in_head
from consolidation.memory.budget import rows_in_budget
from consolidation.memory.codecs import smallest_label_dtype
from consolidation.memory.files import OBJECTIVES, rights_tensors
from consolidation.memory.store import Records

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from consolidation.formats.pictures import Wanted
    from consolidation.formats.texts import TextOptions, TokenizerFile

X_TYPES: Final = frozenset({"|u1", "|i1", "<u2", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"})
HISTOGRAM_CLASSES: Final = 1000
NAMED_CLASSES: Final = 10_000
CLASSIFICATION: Final = "classification"


def convert_records(
    path: Path | str,
    *,
    task: str,
    transform: Mapping[str, float] | None = None,
    classes: int | None = None,
    out: Path | str,
    filename: str | None = None,
    limit_bytes: int = 2**62,
    rights: Mapping[str, str] | None = None,
    rights_required: bool = False,
    tokenizer: TokenizerFile | None = None,
    options: TextOptions | None = None,
    split: str = "",
    picture: Wanted | None = None,
    leave_out: bool = False,
    budget: Mapping[str, Any] | None = None,
    head: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Check a set of records and write it in the canonical form.

    Args:
        path: npz with x, y and perhaps logits, scale, mean, sd; JSON Lines or CSV, also packed by gzip;
            Parquet; a zip or tar of pictures, a folder a class, or of an export of Hugging Face datasets;
            or a record file of ours.
        task: the task's name, kept in the file.
        transform: {"scale", "mean", "sd"}; None: the file's own, else {1, 0, 1}.
        classes: how many the model tells apart; None: the file's own, else the highest label + 1.
        out: the new file; it exists afterwards only on success.
        filename: the person's name for the file, for sentences.
        limit_bytes: the most that the records may take.
        rights: {"owner", "licence", "purpose", "source", "expiry"} of the whole set, where a record says
            nothing itself.
        rights_required: whether a record without an owner, or without a licence or purpose, is refused.
        tokenizer: of the model that is to read texts, and what it wants of them.
        options: what the person says of texts, and what the task's labels are called already.
        split: which of several parts of an archive is taken ("train"); "all": all of them.
        picture: what pictures must look like; None: like the first one.
        leave_out: whether bad rows are left out; else they refuse the file.
        budget: {"bytes", "rule"}: the records kept take at most so many bytes, as `Records.bytes` counts
            them, chosen by a rule of `memory.selection`. Expired ones are not chosen.
        head: (first, last), the columns of the model's outputs that are this task's own, last excluded; the
            file's labels count from 0 within them.

    Returns:
        {"task", "rows", "x_shape", "x_dtype", "classes", "label_histogram", "transform", "has_logits",
        "duplicates", "rights", "next_expiry", "notes", "size", "sha256", "objective", "label_names",
        "left_out", "kept", "head"}; the histogram is empty over 1,000 classes; "rights" are the names of the
        fields that the records have, "next_expiry" is when the first of them expires (seconds since 1970; 0:
        never), "notes" what `skew.py` found; "left_out" is {} or {"total", "lines", "unit"} of `bad_rows`;
        "kept" {} or {"offered", "budget", "bytes", "rule"}; "head" is [] or as told.

    Raises:
        NocturneInputError: with a code of `refusal.CODES`.
    """
    path, out = Path(path), Path(out)
    if tokenizer is not None and head is not None:
        tokenizer = replace(tokenizer, label_names=tokenizer.label_names[slice(*head)])
    with contextlib.ExitStack() as stack:
        source = open_source(
            path, spool=out, limit_bytes=limit_bytes, filename=filename or path.name, stack=stack,
            tokenizer=tokenizer, options=options, split=split, picture=picture,
        )  # fmt: skip
        objective = tokenizer.objective if tokenizer else source.objective or CLASSIFICATION
        if source.objective not in (None, objective):
            raise refuse(
                "records.metadata",
                f"These are records for {source.objective}, and the current checkpoint does {objective}. "
                "Choose the records of such a model.",
            )
        source = replace(source, objective=objective)
        if head is not None:
            source = in_head(source, head, classes or source.z_width)
        source, told = _sound(source, classes, leave_out=leave_out)
        if rights:
            source = replace(source, rights=complete(source.rights, rights, len(source.labels)))
        if rights_required:
            require(source.rights, len(source.labels))
        source, kept = _within(source, told, budget, task) if budget else (source, {})
        info = _encode(source, task=task, transform=transform, classes=told, out=out)
        return info | {
            "notes": _notes(source, info, out),
            "left_out": source.bad.told() if source.bad.total else {},
            "kept": kept,
        }


def _sound(source: Source, classes: int | None, *, leave_out: bool) -> tuple[Source, int]:
    """The source without its bad rows, and how many classes there are.

    Raises:
        NocturneInputError: the report of the bad rows, if they are not to be left out or there are no others.
    """
    if not len(source.labels) and source.bad.total:
        raise source.bad.report(0)
    _check_form(source)
    told = _classes(source, classes)
    declared = classes or source.classes or source.z_width or OBJECTIVES[source.objective or CLASSIFICATION]
    check_rows(source, told, declared=bool(declared))
    good = source.bad.good(len(source.labels))
    others = len(source.labels) if good is None else len(good)
    if source.bad.total and (not leave_out or not others):
        raise source.bad.report(others)
    return source if good is None else chosen(source, good), told


def _within(
    source: Source, classes: int, budget: Mapping[str, Any], task: str
) -> tuple[Source, dict[str, Any]]:
    """As many of the records as the budget holds. Raises NocturneInputError (`memories.budget`, ...)."""
    each = source.width * source.x_dtype.itemsize + smallest_label_dtype(classes).itemsize
    each += 2 * (source.z_width or 0)
    alive = np.flatnonzero(source.rights.alive(len(source.labels), time.time()))
    if not len(alive):
        raise refuse("records.empty", "Every record has expired, so none can be kept. Renew their expiry.")
    # Where a label says where something is, there are no classes to be kept alike.
    rule = "reservoir" if OBJECTIVES[source.objective or CLASSIFICATION] else str(budget["rule"])
    rows = alive[rows_in_budget(source.labels[alive], each, int(budget["bytes"]), selection=rule, task=task)]
    kept = {"offered": len(source.labels), "budget": int(budget["bytes"]), "bytes": each * len(rows)}
    return chosen(source, rows), kept | {"rule": rule}


def recheck_records(path: Path | str, *, task: str, out: Path | str) -> dict[str, Any]:
    """As `convert_records`, for a record file that our own engine wrote: what is packed stays packed.

    All of it is unpacked and checked. Ids are believed: those of lossily packed records cannot be computed
    again, and they say which records are in a probe. Owners, groups and expiries stay.

    Raises:
        NocturneInputError: as `convert_records`; `records.format`, `records.rights`.
    """
    path, out = Path(path), Path(out)
    opened = Records.open(path)
    plain = opened.objective == CLASSIFICATION and opened.head is None
    if plain and opened.packed is None and opened.rights.empty and not len(opened.gone):
        return convert_records(path, task=task, out=out)
    _check_stored(opened)
    made = Records(
        task=task, x=opened.x if opened.packed is None else opened.packed, y=opened.y, z=opened.z,
        top=opened.top, objective=opened.objective, head=opened.head, ids=opened.ids,
        classes=opened.classes, transform=opened.transform, rights=opened.rights,
        gone=opened.gone,
    ).save(out)  # fmt: skip
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "task": task,
        "rows": len(made),
        "x_shape": list(made.shape[1:]),
        "x_dtype": (made.packed.dtype if made.packed is not None else made.x.dtype).name,
        "classes": made.classes,
        "label_histogram": label_histogram(made.y, made.classes),
        "transform": check_transform(made.transform.to_json()),
        "has_logits": made.z is not None,
        "duplicates": _duplicates(np.ascontiguousarray(made.ids)),
        "rights": made.rights.names,
        "next_expiry": made.rights.next_expiry,
        "notes": [],
        "objective": made.objective,
        "head": list(made.head or ()),
        "label_names": [],
        "left_out": {},
        "kept": {},
        "size": out.stat().st_size,
        "sha256": digest,
    }


def _check_stored(records: Records) -> None:
    """Counts within limits, every number finite, everything unpacks. Raises NocturneInputError."""
    classes = records.classes if records.objective == CLASSIFICATION else 1
    if len(records) > limits.ROWS or classes > limits.CLASSES:
        raise refuse(
            "records.rows",
            f"The file has {len(records):,} rows of {classes:,} classes; at most {limits.ROWS:,} of "
            f"{limits.CLASSES:,} fit one set. Split it.",
        )
    step = max(1, limits.CHUNK // (8 * records.width))
    for start in range(0, len(records), step):
        part = slice(start, start + step)
        if not np.isfinite(records.raw(part)).all():
            raise refuse("records.non_finite", "x holds NaN or infinity. Such a record cannot be replayed.")
        if records.z is not None and not np.isfinite(records.z[part]).all():
            raise refuse("records.logits", "A stored logit is NaN or infinite, so it cannot be replayed.")


def check_transform(transform: Mapping[str, Any]) -> dict[str, float]:
    """A clean {"scale", "mean", "sd"}. Raises NocturneInputError (`records.transform`)."""
    clean = {}
    for key, default in (("scale", 1.0), ("mean", 0.0), ("sd", 1.0)):
        value = transform.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise refuse("records.transform", f"{key} is {shorten(value)}; it must be a number.")
        if abs(value) > 1e9 or (key == "scale" and value == 0) or (key == "sd" and value <= 1e-9):
            allowed = {"scale": "not 0", "mean": "any number", "sd": "above 0"}[key]
            raise refuse(
                "records.transform", f"{key} is {value:g}; allowed: {allowed}, and at most a billion."
            )
        clean[key] = float(value)
    unknown = sorted(set(transform) - set(clean))
    if unknown:
        raise refuse(
            "records.transform", f"“{shorten(unknown[0])}” is no part of a transform: scale, mean, sd."
        )
    return clean


def _check_form(source: Source) -> None:
    """Whether there are records at all, and numbers in them. Raises NocturneInputError."""
    rows = len(source.labels)
    if rows == 0:
        raise refuse("records.empty", "The file has no rows. A set needs at least one record.")
    if rows > limits.ROWS:
        raise refuse(
            "records.rows", f"The file has {rows:,} rows; at most {limits.ROWS:,} fit one set. Split it."
        )
    if source.x_dtype.str not in X_TYPES:
        raise refuse(
            "npz.dtype",
            f"x has the type {source.x_dtype.name}; save it as uint8, int16, float16, float32 or float64.",
        )
    if not source.x_shape or source.width == 0:
        raise refuse("records.shape", "x needs one row a record with at least one value: [records, values].")


def _encode(
    source: Source, *, task: str, transform: Mapping[str, float] | None, classes: int, out: Path
) -> dict[str, Any]:
    rows = len(source.labels)
    clean = check_transform(transform if transform is not None else (source.transform or {}))
    columns, words = rights_tensors(source.rights)
    described = {"version": 1, "task": task, "classes": classes, "transform": clean}
    if source.objective not in (None, CLASSIFICATION):
        described["objective"] = source.objective
    if source.head is not None:
        described["head"] = list(source.head)
    if not source.rights.empty:
        described |= {"version": 2, "words": words}
    layout = _layout(source, rows, columns)
    ids = np.empty((rows, 16), dtype=np.uint8)
    with new_file(out) as target:
        target.write(header_bytes(layout, {RECORDS_KEY: json.dumps(described, sort_keys=True)}))
        for key in layout:
            if key == "y":
                target.write(source.labels.astype("<i8").tobytes())
            elif key == "x":
                _write_x(source, target, ids)
            elif key == "z":
                _write_z(source, target)
            elif key in columns:
                target.write(columns[key].tobytes())
            else:
                target.write(ids.tobytes())
    return {
        "task": task,
        "rows": rows,
        "x_shape": list(source.x_shape),
        "x_dtype": source.x_dtype.name,
        "classes": classes,
        "label_histogram": label_histogram(source.labels, classes),
        "transform": clean,
        "has_logits": source.z_width is not None,
        "duplicates": _duplicates(ids),
        "rights": source.rights.names,
        "next_expiry": source.rights.next_expiry,
        "objective": source.objective or CLASSIFICATION,
        "head": list(source.head or ()),
        "label_names": list(source.label_names[:NAMED_CLASSES]),
        "size": target.size,
        "sha256": target.sha256(),
    }


def _layout(
    source: Source, rows: int, columns: Mapping[str, NDArray[Any]]
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Tensors in file order. Wide numbers first: each then begins at a multiple of its own width."""
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {"y": ("I64", (rows,))}
    tensors["x"] = (SAFETENSORS[source.x_dtype.str], (rows, *source.x_shape))
    if source.z_width is not None:
        tensors["z"] = ("F16", (rows, source.z_width))
    for name, column in columns.items():
        tensors[name] = (SAFETENSORS[column.dtype.str], column.shape)
    tensors["id"] = ("U8", (rows, 16))
    return dict(sorted(tensors.items(), key=lambda item: -ITEM_BYTES[item[1][0]]))


def _notes(source: Source, info: Mapping[str, Any], out: Path) -> list[dict[str, str]]:
    """What looks skewed in the file that was written."""
    with out.open("rb") as handle:
        header = int.from_bytes(handle.read(8), "little")
        described = json.loads(handle.read(header))
    start, end = (8 + header + place for place in described["x"]["data_offsets"])

    def blocks(count: int) -> Iterator[NDArray[Any]]:
        width = source.x_dtype.itemsize * source.width
        step = max(1, count // width) * width
        with out.open("rb") as handle:
            handle.seek(start)
            for place in range(start, end, step):
                piece = handle.read(min(step, end - place))
                yield np.frombuffer(piece, source.x_dtype).reshape(-1, *source.x_shape)

    # Where a label says where something is, many that are alike say nothing.
    classes = source.objective in (None, CLASSIFICATION)
    labels = source.labels if classes else np.zeros_like(source.labels)
    return skew_notes(labels, info["duplicates"], blocks)


def label_histogram(labels: NDArray[np.int64], classes: int) -> list[int]:
    """How many records have each label; empty over 1,000 classes."""
    if classes > HISTOGRAM_CLASSES:
        return []
    return [int(count) for count in np.bincount(labels, minlength=classes)]


def _classes(source: Source, told: int | None) -> int:
    labels = source.labels
    if most := OBJECTIVES[source.objective or CLASSIFICATION]:
        return most
    if told is not None and len(source.label_names) > told:
        shown = ", ".join(shorten(name, 30) for name in source.label_names[:8])
        raise refuse(
            "records.label_range",
            f"The file has {len(source.label_names):,} labels ({shown}), and the model tells {told:,} apart. "
            "Take a model with a wider head, or leave the other records out.",
        )
    # What a file of one task says of classes counts those of the task, not of the model.
    found = (source.z_width or source.head[1]) if source.head else source.classes
    classes = told or found or source.z_width or max(int(labels.max()) + 1, 1)
    if classes > limits.CLASSES:
        raise refuse(
            "records.label_range", f"{classes:,} classes are more than the {limits.CLASSES:,} allowed."
        )
    if source.z_width is not None and source.z_width != classes:
        raise refuse(
            "records.logits",
            f"Every row stores {source.z_width:,} logits, and there are {classes:,} classes. Both must be "
            "equal.",
        )
    return classes


def _write_x(source: Source, target: DigestWriter, ids: NDArray[np.uint8]) -> None:
    row = 0
    labels = source.labels.astype("<i8").tobytes()
    width = source.width * source.x_dtype.itemsize
    for block in source.x(max(1, limits.CHUNK // width)):
        data = np.ascontiguousarray(block, dtype=source.x_dtype).tobytes()
        for place in range(len(block)):
            digest = hashlib.sha256(data[place * width : (place + 1) * width])
            digest.update(labels[row * 8 : row * 8 + 8])
            ids[row] = np.frombuffer(digest.digest()[:16], dtype=np.uint8)
            row += 1
        target.write(data)


def _write_z(source: Source, target: DigestWriter) -> None:
    for block in source.z(max(1, limits.CHUNK // (4 * (source.z_width or 1)))):
        target.write(block.astype("<f2").tobytes())


def _duplicates(ids: NDArray[np.uint8]) -> int:
    """How many rows repeat an earlier one."""
    halves = ids.view("<u8")
    order = np.lexsort((halves[:, 0], halves[:, 1]))
    ordered = halves[order]
    return int((ordered[1:] == ordered[:-1]).all(axis=1).sum())
