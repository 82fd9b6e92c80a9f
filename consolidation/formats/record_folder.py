"""Records from an archive: pictures in a folder a class, or an export of Hugging Face `datasets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consolidation.errors import shorten
from consolidation.formats import limits
from consolidation.formats.folder import open_folder
from consolidation.formats.hf_dataset import is_dataset, open_dataset
from consolidation.formats.image_folder import open_pictures
from consolidation.formats.pictures import SUFFIXES
from consolidation.formats.refusal import refuse
from consolidation.formats.region import Region

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from consolidation.formats.pictures import Wanted
    from consolidation.formats.source import Source
    from consolidation.formats.texts import TextOptions, TokenizerFile


def open_record_folder(
    path: Path,
    kind: str,
    *,
    filename: str,
    spool: Path,
    limit_bytes: int,
    stack: ExitStack,
    split: str,
    wanted: Wanted,
    tokenizer: TokenizerFile | None,
    options: TextOptions,
) -> Source:
    """The records of a zip or tar.

    Args:
        kind: one of `folder.KINDS`.
        spool: a prefix in a folder that may be written; limit_bytes: the most that may be.
        stack: removes what was written.
        split: which part is taken; "all": every one; "": the only one.
        wanted: what pictures must look like.
        tokenizer: what texts are read with, where the current checkpoint is a text model.
        options: what the person says of texts, and the names that the task's labels have.

    Raises:
        NocturneInputError: `archive.*`, `pictures.*`, `records.*`, `arrow.*`, `parquet.*`,
            `container.unsupported`.
    """
    folder = open_folder(
        Region.of(path), kind, filename=filename, spool=spool, limit_bytes=limit_bytes, stack=stack,
        most=limits.PICTURES, whole=True,
    )  # fmt: skip
    if is_dataset(folder):
        return open_dataset(
            folder, spool=spool, limit_bytes=limit_bytes, stack=stack, split=split, wanted=wanted,
            tokenizer=tokenizer, options=options,
        )  # fmt: skip
    if any(path.lower().endswith(SUFFIXES) for path in folder.paths()):
        return open_pictures(
            folder,
            spool=spool,
            limit_bytes=limit_bytes,
            stack=stack,
            split=split,
            wanted=wanted,
            label_names=options.label_names,
        )
    raise refuse(
        "container.unsupported",
        f"{shorten(filename)} is an archive without records that Nocturne reads: pictures (PNG, "
        "JPEG) in a folder a class, or an export of Hugging Face datasets (Arrow or Parquet). Upload a file "
        "of another kind as it is.",
    )
