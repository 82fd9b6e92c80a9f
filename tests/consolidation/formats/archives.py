"""Archives as people send them: pictures in folders, exports of datasets. Everything is made here."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa


def picture(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    """The file of a picture: uint8 [height, width] or [height, width, 3]."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(out, kind, **options)
    return out.getvalue()


def zipped(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def arrow(table: pa.Table, **options: Any) -> bytes:
    """A stream file as `datasets` writes them, a batch a thousand rows."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in table.to_batches(max_chunksize=1000):
            writer.write_batch(batch)
    return out.getvalue()


def saved(table: pa.Table, features: Mapping[str, Any], above: str = "", **options: Any) -> dict[str, bytes]:
    """What `save_to_disk` leaves of one part."""
    name = "data-00000-of-00001.arrow"
    return {
        f"{above}{name}": arrow(table, **options),
        f"{above}dataset_info.json": json.dumps({"features": features}).encode(),
        f"{above}state.json": json.dumps({"_data_files": [{"filename": name}], "_split": "train"}).encode(),
    }
