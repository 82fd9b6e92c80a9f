"""Files without a row: collected when they are old, never while somebody stores them."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.db import connections, transaction

from webapp.accounts.models import Workspace
from webapp.core import store_collect as collecting
from webapp.core.store import file_sha256, store_path, store_put
from webapp.core.store_collect import TURN_FILE, old_seconds, store_collect
from webapp.uploads.models import StoredFile
from webapp.uploads.selectors import stray_files

if TYPE_CHECKING:
    from django.conf import LazySettings


@pytest.fixture(autouse=True)
def store(tmp_path: Path, settings: LazySettings) -> Path:
    """A store of the test's own."""
    folder = tmp_path / "store"
    settings.STORE_DIR, settings.INCOMING_DIR = folder, folder / ".incoming"
    (folder / ".incoming").mkdir(parents=True)
    return folder


def put(workspace: Workspace, data: bytes) -> Path:
    """Stored, with its row."""
    source = store_path(workspace.pk, "x").parents[2] / f"source-{uuid4()}"
    source.write_bytes(data)
    sha256, size = file_sha256(source)
    store_put(workspace=workspace, source=source, sha256=sha256, size_bytes=size)
    return store_path(workspace.pk, sha256)


def left(workspace_id: object, data: bytes) -> Path:
    """In its place, without a row: what a crash leaves between the rename and the commit."""
    path = store_path(workspace_id, hashlib.sha256(data).hexdigest())  # type: ignore[arg-type]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def collect(older_than: float = -1.0, at_once: int = 10_000) -> int:
    """At once; by default files may be brand-new."""
    return store_collect(every=0, at_once=at_once, older_than=older_than)


def test_only_what_no_row_claims_goes(workspace: Workspace) -> None:
    kept, gone = put(workspace, b"kept"), left(workspace.pk, b"gone")
    assert collect() == 1
    assert kept.exists()
    assert not gone.exists()
    assert collect() == 0


def test_what_is_young_stays(workspace: Workspace, store: Path) -> None:
    young = left(workspace.pk, b"young")
    coming = store / ".incoming" / "publish-1"
    coming.write_bytes(b"coming")
    assert old_seconds() > 900
    assert store_collect(every=0) == 0
    # An old file that was just given its name is young too.
    for path in (young, coming):
        os.utime(path, (0, 0))
    assert store_collect(every=0) == 0
    assert young.exists()
    assert coming.exists()


def test_what_was_to_be_published_by_a_dead_process(workspace: Workspace, store: Path) -> None:
    folder = store / ".incoming"
    for name in ("publish-1", "publish-2", "other.part"):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (0, 0))
    # It belongs to no upload, and is not the uploads' to sweep: it may be a link to an old file.
    assert [path.name for path in stray_files()] == ["other.part"]
    assert collect() == 2
    assert sorted(path.name for path in folder.iterdir()) == ["other.part"]


def test_a_workspace_that_the_database_does_not_know(workspace: Workspace) -> None:
    """Another database's: a wrong DATABASE_URL must not cost anybody's models."""
    foreign = left(uuid4(), b"foreign")
    assert collect() == 0
    assert foreign.exists()


def test_a_store_of_another_installation_is_not_touched(workspace: Workspace, store: Path) -> None:
    put(workspace, b"ours")
    mine = left(workspace.pk, b"mine")
    (store / ".nocturne-store").write_text(f"{uuid4()}\n")
    assert collect() == 0
    assert mine.exists()


def test_links_are_not_followed_and_not_taken(workspace: Workspace, store: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    name = hashlib.sha256(b"outside").hexdigest()
    (outside / name).write_bytes(b"outside")
    home = store / str(workspace.pk)
    home.mkdir()
    (home / name[:2]).symlink_to(outside)
    other = Workspace.objects.create(name="Other", quota_bytes=1)
    (store / str(other.pk)).symlink_to(tmp_path)
    (store / ".incoming" / "publish-link").symlink_to(outside / name)
    shelf = home / "aa"
    shelf.mkdir()
    (shelf / ("aa" + "0" * 62)).symlink_to(outside / name)
    assert collect() == 0
    assert (outside / name).exists()
    assert (shelf / ("aa" + "0" * 62)).is_symlink()


def test_other_names_are_none_of_its_business(workspace: Workspace, store: Path) -> None:
    shelf = store / str(workspace.pk) / "ab"
    shelf.mkdir(parents=True)
    for name in ("README", "ab" + "0" * 61, "AB" + "0" * 62):
        (shelf / name).write_bytes(b"x")
    (store / "notes.txt").write_text("x")
    assert collect() == 0


def test_once_an_hour_and_a_little_at_a_time(workspace: Workspace, store: Path) -> None:
    for index in range(40):
        left(workspace.pk, b"%d" % index)
    shelves = len(list((store / str(workspace.pk)).iterdir()))
    turns = 0
    while list((store / str(workspace.pk)).glob("*/*")):
        assert collect(at_once=10) <= 10
        turns += 1
    assert 4 <= turns <= 1 + (shelves + 40) // 10
    left(workspace.pk, b"late")
    assert store_collect(older_than=-1.0) == 0  # too early
    os.utime(store / TURN_FILE, (0, 0))
    (store / TURN_FILE).write_text("")
    os.utime(store / TURN_FILE, (0, 0))
    assert store_collect(older_than=-1.0) == 1


@pytest.mark.django_db(transaction=True)
def test_a_file_whose_row_is_not_committed_yet_is_left_alone(workspace: Workspace) -> None:
    def look() -> int:
        try:
            return collect()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            path = put(workspace, b"in a long transaction")
            assert path.exists()
            assert pool.submit(look).result() == 0
        assert pool.submit(look).result() == 0
        assert path.exists()
        with pytest.raises(RuntimeError, match="rolled back"), transaction.atomic():
            path = put(workspace, b"another")
            raise RuntimeError("rolled back")
        assert pool.submit(look).result() == 1
        assert not path.exists()


@pytest.mark.django_db(transaction=True)
def test_storing_and_collecting_at_the_same_time(workspace: Workspace) -> None:
    """Whatever the order, a content with a row has its file."""
    contents = [b"content %d" % index for index in range(12)]
    over = threading.Event()

    def sweep() -> None:
        try:
            while not over.is_set():
                collect()
        finally:
            connections.close_all()

    def store_them(order: int) -> None:
        try:
            for data in contents[::order]:
                left(workspace.pk, data) if order == 1 and len(data) % 2 else None
                put(workspace, data)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        sweepers = [pool.submit(sweep) for _ in range(2)]
        writers = [pool.submit(store_them, order) for order in (1, -1)]
        for writer in writers:
            writer.result()
        over.set()
        for sweeper in sweepers:
            sweeper.result()
    assert StoredFile.objects.count() == len(contents)
    for row in StoredFile.objects.all():
        path = store_path(workspace.pk, row.sha256)
        assert file_sha256(path) == (row.sha256, row.size_bytes)
    assert collect() == 0


def test_it_is_a_chore() -> None:
    from workers.chores import CHORES

    assert CHORES["store_collect"] is collecting.store_collect
