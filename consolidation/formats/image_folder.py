"""Pictures in a folder a class: `cat/1.png`, or `train/cat/1.png`; records in the order of their paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats import limits
from consolidation.formats.label_names import numbered
from consolidation.formats.pictures import SUFFIXES, Pictures
from consolidation.formats.refusal import refuse
from consolidation.formats.splits import SPLITS, parts_of
from consolidation.formats.spool import RowSpool

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from consolidation.formats.folder import Folder
    from consolidation.formats.pictures import Wanted
    from consolidation.formats.source import Source


def open_pictures(
    folder: Folder,
    *,
    spool: Path,
    limit_bytes: int,
    stack: ExitStack,
    split: str,
    wanted: Wanted,
    label_names: Sequence[str],
) -> Source:
    """The pictures of an archive; labels are the folders' names in sorted order, see `label_names`.

    Files that lie in no folder of a class are not looked at. Arguments as for `record_folder`.

    Raises:
        NocturneInputError: `pictures.folders`, `pictures.channels`, `records.split`, `records.label_names`,
            `archive.*`, `replay.expansion_limit`, `family.extra`.
    """
    parts = _parts(folder.paths())
    chosen = sorted(parts_of(parts, split))
    # Of all parts: a class that one of them lacks must not move the labels of the others.
    found = sorted({path.split("/")[-2] for part in parts.values() for path in part})
    labels, called = numbered(found, label_names)
    label_of = dict(zip(found, labels, strict=True))
    rows = RowSpool(spool, limit_bytes=limit_bytes, dtype="|u1", unit="picture")
    stack.callback(rows.close)
    pictures = Pictures(wanted)
    for number, path in enumerate(chosen, 1):
        try:
            if not path.lower().endswith(SUFFIXES):
                raise refuse("pictures.unreadable", f"{shorten(path)} is no PNG or JPEG by its name")
            data = folder.read(path, limits.PICTURE_BYTES)
            rows.add(number, pictures.array(data, path), label_of[path.split("/")[-2]], None, {})
        except NocturneInputError as error:
            rows.bad(number, error)
    classes = len(called) or None
    return replace(rows.source(), label_names=called, classes=classes)


def _parts(paths: Sequence[str]) -> dict[str, list[str]]:
    """The files of every part, by its name; "" where the folders of the classes lie in none.

    Raises:
        NocturneInputError: `pictures.folders`: pictures that lie in no folder of a class, or not all at one
            depth.
    """
    shown = [path for path in paths if path.lower().endswith(SUFFIXES)]
    depths = {len(path.split("/")) for path in shown}
    depth = max(depths)
    if min(depths) != depth or depth < 2:
        odd = next(path for path in shown if len(path.split("/")) == min(depths))
        raise _folders(f"“{shorten(odd)}” does not lie in a folder of its class, as the others do")
    tops = {"/".join(path.split("/")[:-2]) for path in shown}
    names = {top.rpartition("/")[2] for top in tops}
    if len(tops) > 1 and not (names <= SPLITS and len({top.rpartition("/")[0] for top in tops}) == 1):
        one = sorted(tops)[0]
        raise _folders(f"“{shorten(one)}” holds folders of folders")
    parts: dict[str, list[str]] = {}
    for path in paths:
        pieces = path.split("/")
        top = "/".join(pieces[:-2])
        if len(pieces) == depth and top in tops:
            name = top.rpartition("/")[2]
            parts.setdefault(name if name in SPLITS else "", []).append(path)
    if all({path.split("/")[-2] for path in part} <= SPLITS for part in parts.values()):
        raise _folders("its folders are called train, test and the like, and have no folder a class in them")
    return dict(sorted(parts.items()))


def _folders(what: str) -> NocturneInputError:
    return refuse(
        "pictures.folders",
        f"The archive's pictures are not sorted into classes: {what}. Needed: a folder a class "
        "(cat/1.png), or those in folders train, val and test (train/cat/1.png).",
    )
