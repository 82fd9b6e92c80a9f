"""Whether each folder of the store is this installation's store, or an empty place where it should be.

The database names the store (Installation), and a hidden file in each of its places repeats the name. A
machine on which the store is not mounted has an empty folder there: a worker must not claim from it, and
nobody may write into it. The file is made once, by whoever stores first; when it is gone later, or a place is
added, only a person may make it (`manage.py store_adopt`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models.functions import Now

from webapp.core.errors import NocturneError
from webapp.core.models import Installation
from webapp.core.places import LOCAL, Place, places
from webapp.uploads.models import StoredFile

MARKER: Final = ".nocturne-store"
_WORDS: Final = "This folder is the store of a Nocturne installation. Keep this file: it tells so."
# Rows whose files are looked for before a folder is believed to be the store.
_SAMPLE: Final = 20


class StoreAway(NocturneError):
    """The folder is not this installation's store: `store.not_mounted` or `store.foreign` (503)."""

    status = 503


def store_check() -> None:
    """For whoever is about to read: raise unless the folder is the store. Makes nothing.

    An installation that has never stored anything has no store yet, and that is fine.

    Raises:
        StoreAway: `store.not_mounted`, `store.foreign`.
    """
    known = Installation.objects.filter(pk=1).first()
    for place in places():
        found = _marker(place)
        if found is not None:
            if known is not None and found != known.store_id:
                raise _foreign(place)
        elif (known is not None and known.store_marked_at is not None) or not _holds_our_files():
            raise _not_mounted(place)


def store_ensure() -> None:
    """For whoever is about to write: as `store_check`, and the first one of an installation marks the places.

    Any number of processes may come first at once: they take turns at the row.

    Raises:
        StoreAway: `store.not_mounted`, `store.foreign`.
    """
    known, found = Installation.objects.filter(pk=1).first(), [_marker(place) for place in places()]
    if known is not None and known.store_marked_at is not None and set(found) == {known.store_id}:
        return
    with transaction.atomic():
        # An emptied database (`manage.py flush`) has no row, and keeps the store that it had.
        kept = next((name for name in found if name is not None), None)
        Installation.objects.get_or_create(pk=1, defaults={"store_id": kept or uuid4()})
        locked = Installation.objects.select_for_update().get(pk=1)
        store_check()
        for place in places():
            if _marker(place) is None:
                _mark(place, locked.store_id)
        Installation.objects.filter(pk=1, store_marked_at=None).update(store_marked_at=Now())


@transaction.atomic
def store_adopt(*, force: bool = False, name: str = LOCAL) -> int:
    """A person says that a folder is the store: it was moved or restored without its hidden file, or it is a
    place that was added.

    Args:
        force: also when the folder bears another name, or holds none of our files.
        name: of the place; the first one must hold files of ours, an added one may be empty.

    Returns:
        How many of a sample of stored files are missing in all places.

    Raises:
        StoreAway: it does not look like our store, and `force` was not given.
    """
    place = next(one for one in places() if one.name == name)
    Installation.objects.get_or_create(pk=1)
    locked = Installation.objects.select_for_update().get(pk=1)
    if not force and _marker(place) not in {None, locked.store_id}:
        raise _foreign(place)
    sample = _sample()
    missing = sample.count(False)
    if not force and name == LOCAL and sample and missing == len(sample):
        raise _not_mounted(place)
    _mark(place, locked.store_id)
    Installation.objects.filter(pk=1).update(store_marked_at=Now())
    return missing


def _holds_our_files() -> bool:
    """Whether a folder without a name, in an installation older than names, is the one that was used."""
    sample = _sample()
    return not sample or any(sample)


def _sample() -> list[bool]:
    """Of the newest contents: whether each is in some place."""
    newest = StoredFile.objects.order_by("-created_at").values_list("workspace_id", "sha256")[:_SAMPLE]
    return [any(place.find(*named) for place in places()) for named in newest]


def _marker(place: Place) -> UUID | None:
    """The name that the folder bears; None for one without.

    Raises:
        StoreAway: it cannot be read, or is none of ours.
    """
    try:
        text = (place.root / MARKER).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError):
        raise _not_mounted(place) from None
    try:
        return UUID(text.partition("\n")[0].strip())
    except ValueError:
        raise _foreign(place) from None


def _mark(place: Place, store_id: UUID) -> None:
    """Whole or not at all: a reader never meets half a name."""
    folder = place.root
    fresh = folder / f"{MARKER}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with fresh.open("w") as handle:
            handle.write(f"{store_id}\n{_WORDS}\n")
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(folder / MARKER)
    except OSError as error:
        raise StoreAway(
            "store.not_mounted",
            f"The folder of the store cannot be written on this machine ({error.strerror}), so nothing is "
            f"stored there. Mount the store, or correct {_setting(place)} or the folder's owner.",
        ) from error
    finally:
        with suppress(OSError):
            fresh.unlink()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _setting(place: Place) -> str:
    return "NOCTURNE_STORE" if place.name == LOCAL else "NOCTURNE_STORES"


def _not_mounted(place: Place) -> StoreAway:
    if place.name != LOCAL:
        return StoreAway(
            "store.not_mounted",
            f"The place “{place.name}” of the store is empty or not mounted on this machine: the hidden file "
            "that names it is missing. Nothing is read or written until it is back. Mount it, or correct "
            f"NOCTURNE_STORES; if it is new, run `manage.py store_adopt --place {place.name}` once.",
        )
    return StoreAway(
        "store.not_mounted",
        "The store of this machine is empty or not mounted: the hidden file that names it is missing. "
        "Nothing is read or written there until it is back. Mount the store, or correct NOCTURNE_STORE; if "
        "it was moved without its hidden file, run `manage.py store_adopt` there.",
    )


def _foreign(place: Place) -> StoreAway:
    if place.name != LOCAL:
        return StoreAway(
            "store.foreign",
            f"The place “{place.name}” of the store belongs to another installation, so it is not touched. "
            "Correct NOCTURNE_STORES.",
        )
    return StoreAway(
        "store.foreign",
        "The folder of the store on this machine belongs to another installation, so it is not touched. "
        "Point NOCTURNE_STORE at this installation's own store, or, if the database was made anew and its "
        "files are not needed any more, at an empty folder.",
    )
