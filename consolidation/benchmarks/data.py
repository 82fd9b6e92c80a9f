"""Data sets from a folder, or downloaded when that is allowed; nothing is unpickled."""

from __future__ import annotations

import hashlib
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consolidation.errors import NocturneInputError, shorten

Array = NDArray[Any]
NAMES = ("x_train", "y_train", "x_test", "y_test")


def missing(what: str, where: Path | None, wanted: str, *, can_download: bool = True) -> NocturneInputError:
    """The sentence for a file that is not there."""
    place = f"not in {shorten(where.name or '.')}" if where is not None else "not given"
    online = ", or have it fetched there with --download" if can_download else ""
    return NocturneInputError(
        "benchmark.data", f"{what} is {place}: put {wanted} into a folder, name it with --data{online}."
    )


def download(url: str, target: Path, algorithm: str, digest: str) -> Path:
    """Fetches a file once, whole and with the right digest, or not at all.

    Raises:
        NocturneInputError: `benchmark.download`; also when a file of that name is there with another digest.
    """
    if target.exists():
        with target.open("rb") as there:
            if hashlib.file_digest(there, algorithm).hexdigest() == digest:
                return target
        raise NocturneInputError(
            "benchmark.download",
            f"The {target.name} that is there has another {algorithm} than published, so it is cut off or "
            "something else. Take it away, and it is fetched anew.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    found = hashlib.new(algorithm, usedforsecurity=False)
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, partial.open("wb") as file:  # noqa: S310
            while block := answer.read(1 << 20):
                found.update(block)
                file.write(block)
        if found.hexdigest() != digest:
            raise NocturneInputError(
                "benchmark.download",
                f"{target.name} arrived with another {algorithm} than published; it was thrown away. Try "
                "again, or fetch the file yourself.",
            )
        partial.replace(target)
    except OSError as error:
        raise NocturneInputError(
            "benchmark.download",
            f"{target.name} could not be fetched ({shorten(error)}). Fetch it yourself and use --data.",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def load_npz(path: Path, width: int | None = None) -> dict[str, Array]:
    """x_train, y_train, x_test, y_test of an npz file: images uint8 [n, width], labels int64 [n].

    Raises:
        NocturneInputError: `benchmark.data` for other names, types, lengths or, when it is given, width.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in NAMES}
    except (KeyError, ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NocturneInputError(
            "benchmark.data",
            f"{path.name} is not the npz file asked for: it must hold {', '.join(NAMES)} as plain arrays.",
        ) from error
    for part in ("train", "test"):
        x, y = found[f"x_{part}"], found[f"y_{part}"]
        if x.dtype != np.uint8 or x.ndim < 2 or len(x) != len(y) or not len(x) or y.dtype.kind not in "iu":
            raise NocturneInputError(
                "benchmark.data", f"{path.name} must hold uint8 images and as many whole-number labels."
            )
        found[f"x_{part}"], found[f"y_{part}"] = x.reshape(len(x), -1), y.astype(np.int64).ravel()
        if found[f"x_{part}"].shape[1] != (width or found["x_train"].shape[1]) or int(y.min()) < 0:
            raise NocturneInputError(
                "benchmark.data",
                f"{path.name} holds images of {found[f'x_{part}'].shape[1]} numbers or labels below 0; "
                f"{width or found['x_train'].shape[1]} numbers an image and labels from 0 are asked for.",
            )
    return found
