"""Where the embedded server listens, computed from the data folder alone."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import quote

USER = "nocturne"
DATABASE = "nocturne"
PORT = 5432

# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, one of them the closing NUL.
SOCKET_PATH_LIMIT = 107 if sys.platform == "linux" else 103
SOCKET = f".s.PGSQL.{PORT}"


def socket_dir(data_dir: Path | str) -> Path:
    """The folder of the server's socket: ``<data_dir>/run``, or a short folder when that path would not fit.

    The answer depends on the data folder and the user only, never on the environment, so that every process
    of one installation computes the same.
    """
    resolved = Path(data_dir).expanduser().resolve()
    run = resolved / "run"
    # libpq takes a comma in "host" for a list of hosts.
    if len(os.fsencode(run / SOCKET)) <= SOCKET_PATH_LIMIT and "," not in str(run):
        return run
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:16]
    # A fixed place instead of TMPDIR, see above; the server refuses it unless it is this user's own and 0700.
    return Path("/tmp") / f"nocturne-{os.geteuid()}-{digest}"  # noqa: S108


def dsn(data_dir: Path | str) -> str:
    """The connection URL of the embedded server; starts nothing and needs no server.

    Returns:
        ``postgresql://nocturne@/nocturne?host=<socket folder>&port=5432``, as libpq and SQLAlchemy read it.
    """
    host = quote(str(socket_dir(data_dir)), safe="")
    return f"postgresql://{USER}@/{DATABASE}?host={host}&port={PORT}"
