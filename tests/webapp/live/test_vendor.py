"""What others wrote is here word for word, with its licence."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[3] / "webapp" / "static" / "vendor"
ROW = re.compile(r"^\| `([^`]+)` \| ([0-9a-f]{64}) \|$", re.MULTILINE)


def test_every_vendored_file_is_listed_and_has_the_hash_that_was_looked_at() -> None:
    listed = dict(ROW.findall((VENDOR / "README.md").read_text()))
    found = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name not in {"README.md", "hashes.json"}
    }
    assert found == listed


def test_every_vendored_package_brings_its_licence() -> None:
    folders = [path for path in VENDOR.iterdir() if path.is_dir()]
    assert folders
    assert all((folder / "LICENSE").is_file() for folder in folders)
