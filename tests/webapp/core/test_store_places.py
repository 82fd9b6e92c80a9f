"""Two places of one store: what goes where, what is found where, and moves that lose nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.urls import reverse

from tests.webapp.conftest import logged_in
from tests.webapp.storage.kept import keep, put
from tests.webapp.streams import collected
from webapp.checkpoints import parcels, trash
from webapp.checkpoints.parcels import parcel_of, parcel_open
from webapp.config.env import env_folders
from webapp.core import store_move as moving
from webapp.core.errors import NocturneError
from webapp.core.places import Place, place_for_new, places
from webapp.core.store import PUBLISH_PREFIX, store_path
from webapp.core.store_collect import store_collect
from webapp.core.store_identity import MARKER, StoreAway, store_check, store_ensure
from webapp.core.store_move import Moved, store_move
from webapp.cycles.models import Cycle
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from django.conf import LazySettings

    from webapp.accounts.models import User, Workspace
    from webapp.projects.models import Project

DATA = b"weights" * 1000


@pytest.fixture
def local(db: None, settings: LazySettings, tmp_path: Path) -> Place:
    """The one place of an installation that has stored nothing yet."""
    settings.STORE_DIR = tmp_path / "local"
    settings.INCOMING_DIR = settings.STORE_DIR / ".incoming"
    return place_for_new()


@pytest.fixture
def shared(local: Place, settings: LazySettings, tmp_path: Path) -> Place:
    """A second place, added and adopted; new content still goes to the first."""
    store_ensure()
    settings.STORE_FOLDERS = {"shared": tmp_path / "shared"}
    call_command("store_adopt", place="shared", stdout=io.StringIO())
    return next(place for place in places() if place.name == "shared")


def new_goes_to(settings: LazySettings, place: Place) -> None:
    settings.STORE_NEW, settings.INCOMING_DIR = place.name, place.incoming


def files(place: Place) -> int:
    return sum(1 for path in place.root.rglob("*") if path.is_file() and not path.name.startswith("."))


def test_new_content_goes_to_the_chosen_place_and_is_found_in_either(
    project: Project, local: Place, shared: Place, settings: LazySettings
) -> None:
    first = put(project, b"first")
    new_goes_to(settings, shared)
    second = put(project, b"second")
    again = put(project, b"first")
    workspace = project.workspace_id
    assert local.find(workspace, first) and shared.find(workspace, second)
    assert again == first and shared.find(workspace, first) is None, "a content is not stored twice"
    assert {store_path(workspace, sha).read_bytes() for sha in (first, second)} == {b"first", b"second"}
    assert list(shared.contents(workspace)) == [second]


def test_what_is_deleted_goes_wherever_it_lies(
    alice: User, project: Project, local: Place, shared: Place, settings: LazySettings
) -> None:
    new_goes_to(settings, shared)
    old = keep(project, DATA)
    new_goes_to(settings, local)
    keep(project, b"new")
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    assert trash.checkpoint_delete(actor=alice, checkpoint=old) == len(DATA)
    assert (files(local), files(shared)) == (1, 0)


# ---------------------------------------------------------------- whose place it is


def test_a_first_store_marks_all_its_places(local: Place, settings: LazySettings, tmp_path: Path) -> None:
    settings.STORE_FOLDERS = {"shared": tmp_path / "shared"}
    store_ensure()
    assert {(place.root / MARKER).read_text() for place in places()} == {(local.root / MARKER).read_text()}


def test_an_added_place_is_adopted_by_a_person(local: Place, settings: LazySettings, tmp_path: Path) -> None:
    store_ensure()
    settings.STORE_FOLDERS = {"shared": tmp_path / "shared"}
    for look in (store_check, store_ensure):
        with pytest.raises(StoreAway) as error:
            look()
        assert error.value.code == "store.not_mounted"
        assert "store_adopt --place shared" in error.value.message
    call_command("store_adopt", place="shared", stdout=io.StringIO())
    store_ensure()


def test_a_place_that_is_not_mounted_stops_reading_and_writing(shared: Place) -> None:
    store_check()
    shared.root.rename(shared.root.with_name("away"))
    with pytest.raises(StoreAway) as error:
        store_check()
    assert error.value.code == "store.not_mounted"


def test_a_place_of_another_installation_is_left_alone(shared: Place) -> None:
    (shared.root / MARKER).write_text("00000000-0000-0000-0000-000000000000\n")
    with pytest.raises(StoreAway) as error:
        store_ensure()
    assert error.value.code == "store.foreign"
    with pytest.raises(CommandError, match=r"store\.foreign"):
        call_command("store_adopt", place="shared")


# ---------------------------------------------------------------- moving


def rows() -> Any:
    return StoredFile.objects.order_by("created_at")


def test_there_and_back(alice: User, project: Project, local: Place, shared: Place) -> None:
    made = keep(project, DATA)
    put(project, b"another")
    assert store_move(to=shared, stored=rows()) == Moved(moved=2)
    assert (files(local), files(shared)) == (0, 2)
    assert store_path(project.workspace_id, made.sha256).stat().st_mode & 0o777 == 0o444
    answer = logged_in(alice).get(reverse("checkpoint_download", args=[made.pk]))
    assert collected(answer) == DATA
    assert store_move(to=shared, stored=rows()) == Moved(there=2)
    assert store_move(to=local, stored=rows()) == Moved(moved=2)
    assert (files(local), files(shared)) == (2, 0)


def test_a_damaged_file_stays_where_it_is(project: Project, local: Place, shared: Place) -> None:
    path = local.path(project.workspace_id, put(project, DATA))
    path.chmod(0o644)
    path.write_bytes(b"W" + DATA[1:])
    with pytest.raises(NocturneError) as error:
        store_move(to=shared, stored=rows())
    assert error.value.code == "store.damaged"
    assert path.is_file()
    assert files(shared) == 0 and list(shared.incoming.iterdir()) == []


def test_what_a_cycle_uses_stays_in_both_until_it_has_ended(
    project: Project, local: Place, shared: Place
) -> None:
    made = keep(project, DATA)
    cycle = Cycle.objects.create(
        project=project, number=1, kind="sleep", protocol=1, state="queued", base=made
    )
    assert store_move(to=shared, stored=rows()) == Moved(kept=1)
    assert (files(local), files(shared)) == (1, 1)
    Cycle.objects.filter(pk=cycle.pk).update(state="cancelled")
    assert store_move(to=shared, stored=rows()) == Moved(moved=1)
    assert (files(local), files(shared)) == (0, 1)


def test_a_full_place_is_told_and_nothing_is_lost(
    project: Project, local: Place, shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, DATA)
    monkeypatch.setattr(Place, "free", lambda self: 0)
    with pytest.raises(NocturneError) as error:
        store_move(to=shared, stored=rows())
    assert (error.value.code, error.value.status) == ("store.disk_full", 507)
    assert (files(local), files(shared)) == (1, 0)


def test_a_content_that_somebody_lets_go_of_meanwhile_is_not_brought_back(
    project: Project, local: Place, shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = put(project, DATA)
    stored = list(rows())
    copied = moving._copied

    def and_then_gone(*args: Any) -> Path:
        made = copied(*args)
        StoredFile.objects.all().delete()
        local.discard(project.workspace_id, sha256)
        return made

    monkeypatch.setattr(moving, "_copied", and_then_gone)
    assert store_move(to=shared, stored=stored) == Moved(missing=1)
    assert files(shared) == 0 and list(shared.incoming.iterdir()) == []


def test_a_download_that_asked_before_the_move_finds_it_after(
    project: Project, local: Place, shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between finding the file and opening it, it is moved; the second look finds it."""
    made = keep(project, DATA)
    looked = []

    def then_moved(workspace_id: Any, sha256: str) -> Path:
        looked.append(store_path(workspace_id, sha256))
        if len(looked) == 1:
            store_move(to=shared, stored=rows())
        return looked[-1]

    monkeypatch.setattr(parcels, "store_path", then_moved)
    with parcel_open(parcel_of(made), made) as segments:
        assert segments.read(0, 7) == b"weights"
    assert [path.is_relative_to(shared.root) for path in looked] == [False, True]


def test_what_a_move_that_died_left_is_collected(
    project: Project, workspace: Workspace, local: Place, shared: Place
) -> None:
    put(project, DATA)
    shared.incoming.mkdir(parents=True, exist_ok=True)
    left = shared.incoming / f"{PUBLISH_PREFIX}half"
    left.write_bytes(b"half")
    orphan = shared.path(workspace.pk, "d" * 64)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"no row")
    assert store_collect(every=0, older_than=-5) == 2
    assert not left.exists() and not orphan.exists()
    assert files(local) == 1


def test_the_command_says_what_it_did(project: Project, local: Place, shared: Place) -> None:
    keep(project, DATA)
    said = io.StringIO()
    call_command("store_move", "shared", stdout=said)
    assert said.getvalue() == "1 moved, 0 were there already.\n"
    local.path(project.workspace_id, "d" * 64).parent.mkdir(parents=True)
    local.path(project.workspace_id, "d" * 64).write_bytes(b"no row")
    call_command("store_move", "shared", workspace=str(project.workspace_id), stdout=said)
    assert "Files that lie in other places still: 1." in said.getvalue()
    with pytest.raises(CommandError, match="local, shared"):
        call_command("store_move", "moon")


# ---------------------------------------------------------------- the setting


def test_names_and_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLACES", f" shared={tmp_path} , slow=/mnt/slow")
    assert env_folders("PLACES") == {"shared": tmp_path, "slow": Path("/mnt/slow")}
    for wrong in ("shared", "=/mnt", "local=/mnt", "a=/x,a=/y", "Shared=/mnt", "s="):
        monkeypatch.setenv("PLACES", wrong)
        with pytest.raises(ImproperlyConfigured):
            env_folders("PLACES")
    monkeypatch.delenv("PLACES")
    assert env_folders("PLACES") == {}
