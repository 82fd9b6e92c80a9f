"""An export of Hugging Face `datasets`: a folder of `save_to_disk` (Arrow), or one of Parquet files.

Nothing of it is believed that could ask for code or another file: state.json names plain files beside it, and
the features tell no more than what a column is (https://huggingface.co/docs/datasets/about_dataset_features).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.arrow_ipc import ArrowShard
from consolidation.formats.label_names import numbered
from consolidation.formats.mapping import check_mapping, choose
from consolidation.formats.parquet import ParquetShard, Shard, column_batches, library_errors, open_table
from consolidation.formats.pictures import Pictures
from consolidation.formats.record_rights import SPELLINGS
from consolidation.formats.refusal import refuse
from consolidation.formats.splits import parts_of
from consolidation.formats.spool import RowSpool
from consolidation.formats.strict_json import read_json
from consolidation.formats.text_files import table_texts

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from numpy.typing import NDArray

    from consolidation.formats.folder import Folder
    from consolidation.formats.pictures import Wanted
    from consolidation.formats.source import Source
    from consolidation.formats.texts import TextOptions, TokenizerFile

_STATE: Final = "state.json"
_INFO: Final = "dataset_info.json"
_SHARD: Final = re.compile(r"(.+?)-\d{5}-of-\d{5}(-[0-9a-f]+)?")
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.arrow")
_LABELS: Final = ("y", "label", "labels")
_ROWS: Final = 256  # rows of texts or pictures held at a time


@dataclass(frozen=True)
class _Columns:
    """What the columns are for: the label's, one of pictures or lists; and whether there are texts."""

    label: str
    called: tuple[str, ...] | None
    picture: str = ""
    texts: bool = False
    lists: str = ""


def is_dataset(folder: Folder) -> bool:
    """Whether an archive holds such an export."""
    return any(path.endswith((".arrow", ".parquet")) for path in folder.paths())


def open_dataset(
    folder: Folder,
    *,
    spool: Path,
    limit_bytes: int,
    stack: ExitStack,
    split: str,
    wanted: Wanted,
    tokenizer: TokenizerFile | None,
    options: TextOptions,
) -> Source:
    """The records of an export. Arguments as for `record_folder`.

    Raises:
        NocturneInputError: `records.split`, `records.columns`, `records.label_names`, `arrow.*`, `parquet.*`,
            `hf.json`, `hf.index_path`, `pictures.*`, `archive.*`, `replay.expansion_limit`.
    """
    paths = parts_of(_parts(folder), split)
    shards: list[Shard] = []
    for path in paths:
        region = folder.region(path)
        if path.endswith(".parquet"):
            shards.append(ParquetShard(region, limit_bytes=limit_bytes))
        else:
            shards.append(ArrowShard(region))
    if sum(shard.rows for shard in shards) > limits.ROWS:
        raise refuse("records.rows", f"The dataset has more than {limits.ROWS:,} rows. Split it.")
    schema = shards[0].schema()
    features = _features(folder, paths[0], schema)
    columns = _columns(schema, features)
    if columns.texts:
        columns = replace(columns, called=_text_names(list(schema.names), features, tokenizer, options))
    of_model = tokenizer.label_names if tokenizer else ()
    label_of, called = numbered(columns.called, options.label_names, of_model) if columns.called else ([], ())
    if columns.picture:
        rows = RowSpool(spool, limit_bytes=limit_bytes, dtype="|u1", unit="picture")
        stack.callback(rows.close)
        _pictures(shards, columns, Pictures(wanted), rows)
        source = rows.source()
    elif columns.texts:
        source = table_texts(shards, tokenizer, options, spool=spool, limit_bytes=limit_bytes, stack=stack)
        if not columns.called:
            return source
    else:
        source = open_table(shards, limit_bytes=limit_bytes, label=columns.label, lists=columns.lists)
    source = replace(source, labels=_renumbered(source.labels, label_of))
    return replace(source, label_names=called, classes=len(called) or None)


def _renumbered(labels: NDArray[np.int64], label_of: Sequence[int]) -> NDArray[np.int64]:
    """The dataset's own labels as those that the task has; -1, "no label", and others stay outside."""
    if not label_of or list(label_of) == list(range(len(label_of))):
        return labels
    inside = (labels >= 0) & (labels < len(label_of))
    table = np.asarray(label_of, np.int64)
    return np.where(inside, table[np.clip(labels, 0, len(table) - 1)], -1)


# ------------------------------------------------------------ which files


def _parts(folder: Folder) -> dict[str, list[str]]:
    """The data files of every part, by its name, in order."""
    paths, parts = folder.paths(), {}
    for path in paths:
        above, _, name = path.rpartition("/")
        if name == _STATE:
            part = above.rpartition("/")[2] or "train"
            told = [f"{above}/{file}" if above else file for file in _state(folder, path)]
            parts[part] = told
    if parts:
        missing = [path for told in parts.values() for path in told if path not in folder]
        if missing:
            raise refuse(
                "hf.index_mismatch",
                f"The dataset's {_STATE} names {shorten(missing[0])}, which is not in the archive. Pack "
                "the whole folder.",
            )
        return _single(parts, folder)
    for path in paths:
        above, _, name = path.rpartition("/")
        stem, dot, end = name.rpartition(".")
        if dot and end in {"arrow", "parquet"}:
            found = _SHARD.fullmatch(stem)
            known = found[1] if found else (above.rpartition("/")[2] if above else stem)
            parts.setdefault(known, []).append(path)
    return dict(sorted(parts.items()))


def _single(parts: dict[str, list[str]], folder: Folder) -> dict[str, list[str]]:
    """One dataset that was saved alone is one part, whatever its folder is called."""
    if len(parts) == 1 and not any(path.endswith("dataset_dict.json") for path in folder.paths()):
        return {"": next(iter(parts.values()))}
    return dict(sorted(parts.items()))


def _state(folder: Folder, path: str) -> list[str]:
    state = read_json(folder.read(path, limits.DATASET_JSON), name=_STATE)
    files = state.get("_data_files")
    told = [file.get("filename") if isinstance(file, dict) else None for file in files or []]
    if not isinstance(files, list) or not told or len(told) > limits.ARROW_BATCHES:
        raise refuse("hf.json", f"The dataset's {_STATE} names no data files. Save it again by save_to_disk.")
    for name in told:
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise refuse(
                "hf.index_path",
                f"The dataset's {_STATE} names the file {shorten(name)}, which is no Arrow file beside it. "
                "Save the dataset again by save_to_disk.",
            )
    return [str(name) for name in told]


# ------------------------------------------------------------ which columns


def _features(folder: Folder, path: str, schema: Any) -> dict[str, Any]:
    """{column: what the export says that it is}, from the file itself or from the description beside it."""
    above = path.rpartition("/")[0]
    beside = f"{above}/{_INFO}" if above else _INFO
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is not None and len(raw) <= limits.DATASET_JSON:
        info = read_json(raw, name="The description in the data").get("info")
    elif beside in folder:
        info = read_json(folder.read(beside, limits.DATASET_JSON), name=_INFO)
    else:
        info = {}
    features = info.get("features") if isinstance(info, dict) else None
    return features if isinstance(features, dict) else {}


def _columns(schema: Any, features: dict[str, Any]) -> _Columns:
    import pyarrow as pa

    with library_errors():
        types = {field.name: field.type for field in schema if field.name not in SPELLINGS}

    def is_feature(name: str, kind: str) -> bool:
        said = features.get(name)
        return isinstance(said, dict) and said.get("_type") == kind

    classes = [name for name in types if is_feature(name, "ClassLabel")]
    named = [name for name in types if name.lower() in _LABELS]
    label = named if len(named) == 1 else classes
    texts = [
        name
        for name, kind in types.items()
        if name not in label and (pa.types.is_string(kind) or pa.types.is_large_string(kind))
    ]
    chats = [
        name for name, kind in types.items() if pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)
    ]
    if (texts or chats) and len(label) != 1:
        return _Columns("", None, texts=True)
    if len(label) != 1:
        what = f"several columns that may be the label ({', '.join(map(shorten, label))})" if label else (
            "no column of labels (a ClassLabel, or one called y or label)"
        )  # fmt: skip
        raise _refuse(what, types)
    found = _Columns(label[0], _names(features, label[0]))
    rest = {name: kind for name, kind in types.items() if name != label[0]}
    pictures = [
        name for name, kind in rest.items()
        if is_feature(name, "Image") and pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    ]  # fmt: skip
    if len(pictures) == 1:
        return replace(found, picture=pictures[0])
    if texts:
        return replace(found, texts=True)
    lists = [name for name, kind in rest.items() if pa.types.is_list(kind) or pa.types.is_large_list(kind)
             or pa.types.is_fixed_size_list(kind)]  # fmt: skip
    return replace(found, lists=lists[0] if len(lists) == 1 and len(rest) == 1 else "")


def _text_names(
    columns: list[str], features: dict[str, Any], tokenizer: TokenizerFile | None, options: TextOptions
) -> tuple[str, ...] | None:
    """What the classes of the column are called that a text's label is read from; None: there is none, or
    the labels are no classes, but say where a prompt or an answer ends."""
    if tokenizer is None or tokenizer.objective != "classification":
        return None
    told = check_mapping(options.mapping, tokenizer.objective)
    column = choose(columns, told, tokenizer.objective)["label"]
    return _names(features, column)


def _names(features: dict[str, Any], column: str) -> tuple[str, ...] | None:
    """Names of the classes of a column. Raises NocturneInputError (`hf.json`)."""
    said = features.get(column)
    called = said.get("names") if isinstance(said, dict) and said.get("_type") == "ClassLabel" else None
    if called is not None and not _are_names(called):
        raise refuse("hf.json", "The dataset's classes have names that are no list of texts. Save it again.")
    return tuple(called) if called else None


def _are_names(value: Any) -> bool:
    good = isinstance(value, list) and 0 < len(value) <= limits.CLASSES
    return good and all(map(_is_name, value)) and len(set(value)) == len(value)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limits.PATH_BYTES and value.isprintable()


def _refuse(what: str, types: dict[str, Any]) -> NocturneInputError:
    shown = ", ".join(shorten(name, 40) for name in list(types)[:12])
    return refuse(
        "records.columns",
        f"The dataset has {what}; its columns are {shown}. Rename or remove columns before you save it.",
    )


# ------------------------------------------------------------ rows


def _pictures(shards: Sequence[Shard], columns: _Columns, pictures: Pictures, spool: RowSpool) -> None:
    for number, (image, label) in _rows(shards, (columns.picture, columns.label), _ROWS):
        try:
            data = image.get("bytes") if isinstance(image, dict) else None
            if not isinstance(data, bytes) or type(label) is not int:
                raise refuse(
                    "pictures.unreadable",
                    "it holds no picture and label; a picture that lies in another file is not read",
                )
            spool.add(number, pictures.array(data, f"number {number:,}"), label, None, {})
        except NocturneInputError as error:
            spool.bad(number, error)


def _rows(
    shards: Sequence[Shard], names: tuple[str, ...], count: int
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """(number, values) of every row."""
    for row, columns in column_batches(shards, names, count):
        with library_errors():
            values = [column.to_pylist() for column in columns]
        yield from enumerate(zip(*values, strict=True), row + 1)
