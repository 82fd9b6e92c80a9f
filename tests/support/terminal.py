"""Starting Nocturne as a person at a terminal does."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def up(data_dir: Path, *options: str, settings: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start it as `make run` does, with the given settings and none of this test run."""
    ours = ("DATABASE_URL", "NOCTURNE_", "CELERY_", "DJANGO_SETTINGS_MODULE", "OMP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**environment, **(settings or {}), "NOCTURNE_DATA": str(data_dir)},
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What it says up to and including the line with ``words``."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}; it said:\n{said}")


def status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310  (our own address)
        return int(answer.status)
