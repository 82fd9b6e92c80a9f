"""Whether a worker may take a cycle at all: asked before every claim, so it must cost next to nothing."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings

from webapp.core.store_identity import StoreAway, store_check


def worker_problem() -> tuple[str, str]:
    """Why this worker should take nothing, as a code and a sentence; ("", "") when all is well."""
    try:
        store_check()
    except StoreAway as error:
        return error.code, error.message
    return _cycles_folder()


def _cycles_folder() -> tuple[str, str]:
    """Attempts write here; a disk that is full or read-only is found out before one is spent on it."""
    folder = Path(settings.CYCLES_DIR)
    trial = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"x")
        trial.unlink(missing_ok=True)
    except OSError as error:
        return (
            "worker.cycles_folder",
            f"This worker cannot write to its folder of cycles ({error.strerror or 'no reason given'}), so "
            "it takes nothing. Free some space there, or correct NOCTURNE_CYCLES or the folder's owner.",
        )
    return "", ""
