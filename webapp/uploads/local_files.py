"""Files of the server's own computer that its owner may take in without sending them: only below folders that
were named when Nocturne was started (`manage.py up --files FOLDER`), on an installation for one computer.

A path is LABEL/part/part, where LABEL is a named folder's own name. What a person asks for is resolved first
(links inside the folders are fine), then opened part by part with no link followed, so that what was checked
is what is opened.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings

from webapp.accounts.abilities import operated_by
from webapp.core.errors import Forbidden, NocturneError, NotFound, cut

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from webapp.accounts.models import User

LISTED: Final = 500
# Names that are looked at in one folder; a folder with more is shown in part.
SCANNED: Final = 5_000
PATH_BYTES: Final = 4_096
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not waiting: a pipe would wait for whoever writes to it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class LocalFile:
    """An open file; whoever gets it closes the descriptor."""

    descriptor: int
    name: str
    size_bytes: int


def check_local(user: User | AnonymousUser, address: str) -> None:
    """Whether files of this computer are offered to this person, from this network address.

    Raises:
        NotFound: none are offered, or not over the network. Forbidden: to the owners of the first workspace.
    """
    if not settings.LOCAL_FOLDERS or not _is_here(address):
        raise NotFound("No folder of this computer is offered here. Start Nocturne with --files FOLDER.")
    if operated_by(user) is None:
        raise Forbidden(
            "Files of this computer are for whoever runs Nocturne on it: the owners of its first workspace. "
            "Upload the file instead."
        )


def local_listing(path: str) -> dict[str, Any]:
    """What is in a folder, by name: {"path", "folders": [{"name", "path"}], "files": [{"name", "path",
    "size_bytes"}], "more"}. "" lists the offered folders. Hidden entries and everything that is neither a
    folder nor a plain file are left out; `more` says that there are more than were listed.

    Raises:
        NotFound: no such folder is offered.
    """
    folders: list[dict[str, Any]] = []
    if not path:
        folders += [{"name": label, "path": label} for label in _roots()]
        return {"path": "", "folders": folders, "files": [], "more": False}
    files: list[dict[str, Any]] = []
    more = False
    descriptor = _open(path, _FOLDER)
    try:
        with os.scandir(descriptor) as entries:
            for number, entry in enumerate(entries):
                if number >= SCANNED:
                    more = True
                    break
                told = _told(path, entry)
                if told is not None:
                    (files if "size_bytes" in told else folders).append(told)
    except OSError:
        raise _missing() from None
    finally:
        os.close(descriptor)
    for found in (folders, files):
        found.sort(key=lambda one: (one["name"].casefold(), one["name"]))
        more = more or len(found) > LISTED
        del found[LISTED:]
    return {"path": path, "folders": folders, "files": files, "more": more}


def local_open(path: str) -> LocalFile:
    """A plain file, open for reading.

    Raises:
        NotFound: no such file is offered. NocturneError: `local.special` (422): it is no plain file.
    """
    descriptor = _open(path, _FILE)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise NocturneError(
            "local.special", f"“{cut(_name(path))}” is no plain file. Choose a file.", status=422
        )
    return LocalFile(descriptor, _name(path), found.st_size)


def _is_here(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _roots() -> dict[str, Path]:
    """The offered folders by label; a second folder of the same name is called NAME (2)."""
    found: dict[str, Path] = {}
    for folder in settings.LOCAL_FOLDERS:
        name, number = folder.name or "files", 1
        label = name
        while label in found:
            number += 1
            label = f"{name} ({number})"
        found[label] = folder
    return found


def _open(path: str, flags: int) -> int:
    """Raises NotFound for everything that is not offered: the reasons would tell what lies elsewhere."""
    try:
        root, parts = _resolved(path)
        descriptor = os.open(root, _FOLDER)
        for number, part in enumerate(parts, 1):
            above = descriptor
            try:
                descriptor = os.open(part, flags if number == len(parts) else _FOLDER, dir_fd=above)
            finally:
                os.close(above)
        if not parts and flags != _FOLDER:
            os.close(descriptor)
            raise _missing()
    except (OSError, ValueError):
        raise _missing() from None
    return descriptor


def _resolved(path: str) -> tuple[Path, tuple[str, ...]]:
    """The offered folder in which a path really is, and its way down from there."""
    label, *parts = path.split("/")
    asked = _roots().get(label)
    if asked is None or len(path.encode()) > PATH_BYTES or any(_hidden(part) for part in parts):
        raise _missing()
    real = Path(os.path.realpath(asked.joinpath(*parts), strict=True))
    for secret in (settings.DATA_DIR, settings.STORE_DIR, settings.CYCLES_DIR):
        # What Nocturne keeps for itself is not a file of its owner's.
        if real.is_relative_to(Path(os.path.realpath(secret))):
            raise _missing()
    for folder in _roots().values():
        root = Path(os.path.realpath(folder))
        if real.is_relative_to(root):
            below = real.relative_to(root).parts
            if not any(_hidden(part) for part in below):
                return root, below
    raise _missing()


def _hidden(part: str) -> bool:
    """Also what is no name: nothing, `.` and `..`."""
    return part.startswith(".") or not part or "\0" in part


def _told(path: str, entry: os.DirEntry[str]) -> dict[str, Any] | None:
    name, here = entry.name, f"{path}/{entry.name}"
    if _hidden(name) or not name.isprintable():
        return None
    with suppress(OSError, ValueError, NotFound):
        if entry.is_symlink() or entry.is_dir():
            _resolved(here)
        if entry.is_dir():
            return {"name": name, "path": here}
        if entry.is_file():
            return {"name": name, "path": here, "size_bytes": entry.stat().st_size}
    return None


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _missing() -> NotFound:
    return NotFound("There is no such file or folder among those that Nocturne was started with.")
