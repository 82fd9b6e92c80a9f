"""A store that is not mounted or is another installation's is neither read nor written; a person is told."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction

from webapp.core.models import Installation
from webapp.core.store import ensure_room, file_sha256, store_path, store_put
from webapp.core.store_identity import MARKER, StoreAway, store_check, store_ensure
from webapp.uploads.models import StoredFile, Upload
from webapp.uploads.services import upload_create, upload_sweep, upload_verify

if TYPE_CHECKING:
    from django.conf import LazySettings

    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project


@pytest.fixture
def folder(db: None, settings: LazySettings, tmp_path: Path) -> Path:
    """An empty folder in the store's place."""
    settings.STORE_DIR = tmp_path / "store"
    settings.INCOMING_DIR = settings.STORE_DIR / ".incoming"
    return tmp_path / "store"


def put(workspace: Workspace, tmp_path: Path, data: bytes = b"content") -> str:
    source = tmp_path / "incoming"
    source.write_bytes(data)
    sha256, size = file_sha256(source)
    store_put(workspace=workspace, source=source, sha256=sha256, size_bytes=size)
    return sha256


def unmount(folder: Path) -> Path:
    """What is there when the mount is gone: an empty folder. Returns where the store is now."""
    away = folder.with_name("away")
    folder.rename(away)
    folder.mkdir()
    return away


def refused() -> str:
    """The code with which both kinds of look refuse."""
    codes = set()
    for look in (store_check, store_ensure):
        with pytest.raises(StoreAway) as caught:
            look()
        assert caught.value.status == 503
        codes.add(caught.value.code)
    (code,) = codes
    return code


def test_an_installation_that_never_stored_anything_has_nothing_to_miss(folder: Path) -> None:
    store_check()
    assert not folder.exists()


def test_the_first_to_store_names_the_folder(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    put(workspace, tmp_path)
    (known,) = Installation.objects.all()
    assert (folder / MARKER).read_text().startswith(f"{known.store_id}\n")
    assert known.store_marked_at is not None
    store_check()


def test_an_empty_folder_in_its_place_is_neither_read_nor_written(
    workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    put(workspace, tmp_path)
    away = unmount(folder)
    assert refused() == "store.not_mounted"
    for write in (lambda: put(workspace, tmp_path, b"more"), lambda: ensure_room(workspace, 1)):
        with pytest.raises(StoreAway):
            write()
    assert not list(folder.iterdir())
    folder.rmdir()
    away.rename(folder)
    store_check()


def test_not_even_an_unused_store_is_named_twice(folder: Path) -> None:
    store_ensure()
    unmount(folder)
    assert refused() == "store.not_mounted"


def test_the_store_of_another_installation_is_left_alone(
    workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    put(workspace, tmp_path)
    (folder / MARKER).write_text(f"{uuid4()}\n")
    assert refused() == "store.foreign"
    (folder / MARKER).write_text("something else\n")
    assert refused() == "store.foreign"


def test_a_fresh_database_does_not_take_a_store_that_has_a_name(folder: Path) -> None:
    folder.mkdir()
    (folder / MARKER).write_text(f"{uuid4()}\n")
    Installation.objects.get_or_create(pk=1)  # as the migration leaves it
    assert refused() == "store.foreign"


def test_an_emptied_database_keeps_its_store(folder: Path) -> None:
    store_ensure()
    name = Installation.objects.get().store_id
    Installation.objects.all().delete()  # as `manage.py flush` does
    store_check()
    store_ensure()
    assert Installation.objects.get().store_id == name


def test_a_first_use_that_was_rolled_back_is_no_obstacle(
    workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    Installation.objects.get_or_create(pk=1)
    with pytest.raises(RuntimeError), transaction.atomic():
        put(workspace, tmp_path)
        raise RuntimeError("the power went")
    store_check()
    put(workspace, tmp_path)


def test_a_store_older_than_names_is_known_by_its_files(
    workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    sha256 = put(workspace, tmp_path)
    (folder / MARKER).unlink()
    Installation.objects.update(store_marked_at=None)
    store_ensure()
    assert (folder / MARKER).exists()
    (folder / MARKER).unlink()
    Installation.objects.update(store_marked_at=None)
    store_path(workspace.pk, sha256).unlink()
    assert refused() == "store.not_mounted"
    assert not (folder / MARKER).exists()


@pytest.mark.django_db(transaction=True)
def test_many_that_come_first_at_once_agree(folder: Path) -> None:
    def one(_: int) -> None:
        try:
            store_ensure()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(16)))
    assert (folder / MARKER).read_text().startswith(str(Installation.objects.get().store_id))
    assert [path.name for path in folder.iterdir()] == [MARKER]


def test_a_folder_that_cannot_be_made_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    folder.write_text("in the way")
    with pytest.raises(StoreAway, match="cannot be written") as caught:
        store_ensure()
    assert str(tmp_path) not in caught.value.message


def test_an_upload_under_way_waits_for_the_store_to_come_back(
    alice: User, project: Project, folder: Path
) -> None:
    upload = upload_create(
        actor=alice, project=project, purpose="checkpoint", filename="a.safetensors", size_bytes=9, form={}
    )
    Upload.objects.update(state="verifying")
    away = unmount(folder)
    assert upload_verify(upload.pk) == "verifying"
    assert upload_sweep() == 0
    assert not list(folder.iterdir())
    folder.rmdir()
    away.rename(folder)
    assert upload_verify(upload.pk) == "refused"  # its bytes never came


def adopt(*options: str) -> str:
    said = io.StringIO()
    call_command("store_adopt", *options, stdout=said)
    return said.getvalue()


def test_a_person_may_say_that_this_is_the_store(workspace: Workspace, folder: Path, tmp_path: Path) -> None:
    kept, lost = put(workspace, tmp_path, b"kept"), put(workspace, tmp_path, b"lost")
    (folder / MARKER).unlink()
    store_path(workspace.pk, lost).unlink()
    assert "1 of the files" in adopt()
    store_check()
    store_path(workspace.pk, kept).unlink()
    (folder / MARKER).unlink()
    with pytest.raises(CommandError, match=r"store\.not_mounted"):
        adopt()
    assert "2 of the files" in adopt("--force")
    store_check()


def test_nobody_takes_another_installations_store_by_mistake(folder: Path) -> None:
    folder.mkdir()
    Installation.objects.get_or_create(pk=1)
    (folder / MARKER).write_text(f"{uuid4()}\n")
    with pytest.raises(CommandError, match=r"store\.foreign"):
        adopt()
    adopt("--force")
    store_check()
    assert not StoredFile.objects.exists()
