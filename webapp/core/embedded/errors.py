"""One exception for everything that can stop the embedded server from serving."""

from __future__ import annotations

import errno
from pathlib import Path


class EmbeddedPostgresError(Exception):
    """A sentence for the person at the terminal and a stable code.

    Codes: ``postgres.binaries_missing``, ``postgres.version``, ``postgres.root``, ``postgres.owner``,
    ``postgres.init_failed``, ``postgres.start_failed``, ``postgres.start_timeout``,
    ``postgres.stop_timeout``, ``postgres.socket_dir``, ``data.not_writable``, ``data.full``,
    ``data.not_a_folder``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


_FULL = (errno.ENOSPC, errno.EDQUOT)
_BLOCKED = (errno.EEXIST, errno.ENOTDIR)


def data_error(data_dir: Path, problem: OSError) -> EmbeddedPostgresError:
    """Say in one sentence why the data folder cannot be used.

    Args:
        data_dir: the folder that Nocturne was told to keep its data in.
        problem: what the operating system answered.
    """
    if problem.errno in _FULL:
        return EmbeddedPostgresError(
            "data.full",
            f"The disk that holds the data folder {data_dir} is full. Free some space and start again; "
            "nothing was damaged.",
        )
    if problem.errno in _BLOCKED:
        return EmbeddedPostgresError(
            "data.not_a_folder",
            f"The data folder {data_dir} cannot be made because a file is in its way. "
            "Move that file, or name another folder with NOCTURNE_DATA.",
        )
    return EmbeddedPostgresError(
        "data.not_writable",
        f"The data folder {data_dir} cannot be written to by this user. "
        "Give this user write access to it, or name another folder with NOCTURNE_DATA.",
    )
