"""Texts from a folder, and the models that read them: from there too, or from an installed package."""

from __future__ import annotations

import gzip
import json
import zlib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from consolidation.benchmarks.data import missing
from consolidation.errors import NocturneInputError, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

LARGEST = 2**28  # bytes that one file may unpack to


def read_text(folder: Path | None, what: str, path: str) -> str:
    """The text of `path` (.gz) in the folder.

    Raises:
        NocturneInputError: `benchmark.data`.
    """
    if folder is None or not (folder / path).is_file():
        raise missing(what, folder, path, can_download=False)
    try:
        with gzip.open(folder / path) as file:
            found = file.read(LARGEST + 1)
        if len(found) > LARGEST:
            raise ValueError
        return found.decode("utf-8")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise NocturneInputError(
            "benchmark.data", f"{path} is cut off, too large or no packed text. Put it there again."
        ) from error


def read_rows(folder: Path | None, what: str, path: str, fields: Sequence[str]) -> list[dict[str, Any]]:
    """The objects of a JSON lines file, each with these fields.

    Raises:
        NocturneInputError: `benchmark.data`.
    """
    found = []
    for number, line in enumerate(read_text(folder, what, path).splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not all(name in row for name in fields):
            raise NocturneInputError(
                "benchmark.data",
                f"Line {number} of {path} is no JSON object with {', '.join(fields)}. Put it there again.",
            )
        found.append(row)
    return found


def model_folder(folder: Path | None, name: str, package: str, inside: str, wanted: str) -> Path:
    """Where a model lies: `name` in the folder, else `inside` an installed package, which is not imported.

    Raises:
        NocturneInputError: `benchmark.data`.
    """
    if folder is not None and (folder / name).is_dir():
        return folder / name
    spec = find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (Path(place) / inside).is_dir():
            return Path(place) / inside
    raise missing(f"The model {name}", folder, f"{name}/ with {wanted}", can_download=False)


def tokenizer_of(path: Path) -> Any:
    """The tokenizer in a file, see `tokenizer_of_text`."""
    try:
        return tokenizer_of_text(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise NocturneInputError(
            "benchmark.data", f"{shorten(path.name)} cannot be read. Put it there again."
        ) from error


def tokenizer_of_text(text: str) -> Any:
    """The tokenizer of a tokenizer.json, without what that says of filling up and of cutting.

    Raises:
        NocturneInputError: `benchmark.data`; `family.extra` when the library is missing.
    """
    try:
        found = tokenizers().Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing more narrow
        if isinstance(error, NocturneInputError):
            raise
        raise NocturneInputError(
            "benchmark.data", "The tokenizer.json of the model is no tokenizer. Put the model there again."
        ) from error
    found.no_padding()
    found.no_truncation()
    return found


def tokenizers() -> Any:
    """The library. Raises NocturneInputError (`family.extra`) when it is missing."""
    try:
        return import_module("tokenizers")
    except ImportError as error:
        raise NocturneInputError(
            "family.extra",
            "Texts need the tokenizers library, which is not installed here. Install it with: "
            "pip install 'nocturne[llm]'.",
        ) from error


def filled(rows: Sequence[Sequence[int]], width: int) -> Tensor:
    """int32 [n, width], filled up at the end with 0."""
    found: NDArray[np.int32] = np.zeros((len(rows), width), np.int32)
    for index, ids in enumerate(rows):
        found[index, : len(ids)] = ids
    return torch.from_numpy(found)
