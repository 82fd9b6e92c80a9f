"""Whom the server runs as: PostgreSQL refuses uid 0, and Nocturne must work for root too."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webapp.core.embedded.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from webapp.core.embedded.binaries import Binaries

_PREFERRED_UID = 1000
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Identity:
    """How to start one of PostgreSQL's programs: words before the command, or a user to become."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def process_options(self) -> dict[str, Any]:
        """Keyword arguments for ``subprocess`` that make the process this user's."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take_over(self, path: Path) -> None:
        """Give a folder that this process has just made to the user the server runs as."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def choose_identity(*, data_dir: Path, cluster: Path, binaries: Binaries) -> Identity:
    """Whom to run as, given who owns the cluster that is already there, if one is.

    Raises:
        EmbeddedPostgresError: ``postgres.owner`` when the cluster belongs to somebody else, ``postgres.root``
            when this is root and neither a user namespace nor another user can do the work.
    """
    owner = cluster.stat().st_uid if cluster.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise EmbeddedPostgresError(
                "postgres.owner",
                f"The database in {data_dir} belongs to another user ({_name(owner)}). Start Nocturne as "
                "that user, or name another data folder with NOCTURNE_DATA.",
            )
        return Identity()
    if owner:
        return _checked(_as_user(owner), data_dir, binaries)
    namespace = _as_namespace()
    if namespace is not None:
        return namespace
    if owner == 0:
        raise _root_error()
    return _checked(_as_user(_unprivileged(data_dir)), data_dir, binaries)


def _as_namespace() -> Identity | None:
    """Root seen as an ordinary user inside a user namespace; files stay root's. None where not allowed."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    # initdb looks its user up by number, so the number has to be one that the system knows.
    known = sorted(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid > 0)
    if not known:
        return None
    uid = _PREFERRED_UID if _PREFERRED_UID in known else known[-1]
    prefix = (unshare, "--user", f"--map-user={uid}", f"--map-group={uid}")
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=10)
    return Identity(prefix=prefix) if tried.returncode == 0 else None


def _unprivileged(data_dir: Path) -> int:
    owner = data_dir.stat().st_uid
    if owner != 0:
        return owner
    for account in _ACCOUNTS:
        try:
            return pwd.getpwnam(account).pw_uid
        except KeyError:
            continue
    raise _root_error()


def _as_user(uid: int) -> Identity:
    try:
        return Identity(uid=uid, gid=pwd.getpwuid(uid).pw_gid)
    except KeyError:
        raise _root_error() from None


def _checked(identity: Identity, data_dir: Path, binaries: Binaries) -> Identity:
    """The same identity, once it is known to reach the data folder and to run the server's program."""
    tried = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$0" && exec "$1" --version', str(data_dir), binaries.postgres],
        capture_output=True,
        check=False,
        timeout=10,
        cwd="/",
        **identity.process_options(),
    )
    if tried.returncode != 0:
        raise _root_error()
    return identity


def _root_error() -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        "postgres.root",
        "PostgreSQL refuses to run as root, this system allows root no user namespace, and no other user can "
        "reach the data folder. Start as an ordinary user, or point DATABASE_URL at a running server.",
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"number {uid}"
