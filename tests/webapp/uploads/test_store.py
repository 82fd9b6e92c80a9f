"""The store: one file a content and workspace, never half-written, never another workspace's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections, transaction

from webapp.accounts.models import Workspace
from webapp.core.store import (
    file_sha256,
    in_words,
    store_discard,
    store_path,
    store_put,
    workspace_used_bytes,
)
from webapp.uploads.models import StoredFile


def a_file(name: str, data: bytes = b"content") -> tuple[Path, str, int]:
    path = Path(settings.STORE_DIR) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path, *file_sha256(path)


def put(workspace: Workspace, name: str, data: bytes = b"content") -> str:
    path, sha256, size = a_file(name, data)
    store_put(workspace=workspace, source=path, sha256=sha256, size_bytes=size)
    return sha256


def test_a_file_moves_in_read_only(workspace: Workspace) -> None:
    path, sha256, size = a_file("a")
    store_put(workspace=workspace, source=path, sha256=sha256, size_bytes=size)
    target = store_path(workspace.pk, sha256)
    assert target.read_bytes() == b"content"
    assert target.stat().st_mode & 0o777 == 0o444
    assert target.parent.name == sha256[:2]
    assert not path.exists()


def test_the_same_content_counts_once_a_workspace(workspace: Workspace) -> None:
    other = Workspace.objects.create(name="Elsewhere", quota_bytes=10)
    assert put(workspace, "a") == put(workspace, "b") == put(other, "c")
    assert workspace_used_bytes(workspace) == workspace_used_bytes(other) == 7
    assert StoredFile.objects.count() == 2


def test_a_damaged_file_in_the_place_is_replaced(workspace: Workspace) -> None:
    path, sha256, size = a_file("a")
    broken = store_path(workspace.pk, sha256)
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.unlink(missing_ok=True)
    broken.write_bytes(b"con")
    store_put(workspace=workspace, source=path, sha256=sha256, size_bytes=size)
    assert broken.read_bytes() == b"content"


def test_after_a_rollback_nothing_is_left(workspace: Workspace) -> None:
    path, sha256, size = a_file("a", b"rolled back")
    with pytest.raises(RuntimeError, match="later"), transaction.atomic():
        store_put(workspace=workspace, source=path, sha256=sha256, size_bytes=size)
        raise RuntimeError("something went wrong later")
    store_discard(workspace=workspace, sha256=sha256)
    assert not store_path(workspace.pk, sha256).exists()


def test_what_somebody_else_stored_survives_the_clean_up(workspace: Workspace) -> None:
    sha256 = put(workspace, "a", b"kept")
    store_discard(workspace=workspace, sha256=sha256)
    assert store_path(workspace.pk, sha256).read_bytes() == b"kept"


@pytest.mark.django_db(transaction=True)
def test_many_at_once_store_one_file(workspace: Workspace) -> None:
    def one(index: int) -> str:
        try:
            return put(workspace, f"many-{index}", b"x" * 100_000)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(one, range(24)))) == 1
    assert StoredFile.objects.count() == 1


def test_a_link_is_not_digested(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        file_sha256(tmp_path / "link")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (14_200_000_000, "14.2 GB"),
        (3 * 10**15, "3000.0 TB"),
    ],
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert in_words(size) == words
