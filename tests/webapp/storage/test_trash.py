"""The trash: who may, what is protected, what disappears, what comes back, and when files really go."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.db import connections, transaction
from django.urls import reverse
from django.utils import timezone

from tests.webapp import rows
from tests.webapp.checkpoints.test_services import create
from tests.webapp.conftest import logged_in
from tests.webapp.storage.kept import keep, keep_set, kept
from webapp.checkpoints import promotion, trash
from webapp.checkpoints.aliases import alias_set
from webapp.checkpoints.models import Checkpoint
from webapp.core import store_release
from webapp.core.errors import Forbidden, NocturneError
from webapp.core.models import AuditEntry
from webapp.core.references import REFERENCES, trash_frees
from webapp.core.store import file_sha256, store_path, store_put
from webapp.core.store_release import contents_release, contents_release_forgotten
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_retry
from webapp.memories import trash as sets
from webapp.memories.models import RecordSet, Use
from webapp.projects.models import Project, Task
from webapp.storage.services import trash_empty, trash_purge
from webapp.uploads.models import StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from webapp.accounts.models import User, Workspace


def code_of(call: Callable[[], Any]) -> str:
    with pytest.raises(NocturneError) as error:
        call()
    assert error.value.message.endswith(".") and "/" not in error.value.message
    return error.value.code


@pytest.fixture
def old(project: Project) -> Checkpoint:
    """v1, whose place v2 has taken."""
    first = keep(project, b"first weights")
    keep(project, b"second weights", parent=first)
    return first


# ---------------------------------------------------------------- who, and what stays


def test_it_needs_the_role_admin(bob: User, alice: User, charlie: User, old: Checkpoint) -> None:
    with pytest.raises(Forbidden):
        trash.checkpoint_trash(actor=bob, checkpoint=old)
    assert code_of(lambda: trash.checkpoint_trash(actor=charlie, checkpoint=old)) == "not_found"
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    for call in (trash.checkpoint_restore, trash.checkpoint_delete):
        with pytest.raises(Forbidden):
            call(actor=bob, checkpoint=old)


def test_the_current_one_stays(alice: User, project: Project) -> None:
    made = keep(project, b"only")
    assert code_of(lambda: trash.checkpoint_trash(actor=alice, checkpoint=made)) == "trash.current"


def test_one_that_has_a_name_stays(alice: User, project: Project, old: Checkpoint) -> None:
    alias_set(actor=alice, project=project, name="best", checkpoint=old)
    assert code_of(lambda: trash.checkpoint_trash(actor=alice, checkpoint=old)) == "trash.aliased"


@pytest.mark.parametrize("link", ["base", "reference"])
def test_one_that_an_unfinished_cycle_needs_stays(
    link: str, alice: User, project: Project, old: Checkpoint
) -> None:
    cycle = Cycle.objects.create(
        project=project, number=1, kind="sleep", protocol=1, state="queued", **{link: old}
    )
    assert code_of(lambda: trash.checkpoint_trash(actor=alice, checkpoint=old)) == "trash.in_use"
    Cycle.objects.filter(pk=cycle.pk).update(state="cancelled")
    trash.checkpoint_trash(actor=alice, checkpoint=old)


@pytest.mark.parametrize("link", ["memories", "probes", "data", "used_sets"])
def test_records_that_an_unfinished_cycle_needs_stay(link: str, alice: User, project: Project) -> None:
    item = keep_set(project, b"rows", Use.PROBE)
    columns: dict[str, dict[str, Any]] = {"data": {"data": item}, "used_sets": {"used_sets": [str(item.pk)]}}
    fields = columns.get(link, {})
    cycle = Cycle.objects.create(project=project, number=1, kind="wake", protocol=1, state="queued", **fields)
    if not fields:
        getattr(cycle, link).set([item])
    assert code_of(lambda: sets.record_set_trash(actor=alice, record_set=item)) == "trash.in_use"
    Cycle.objects.filter(pk=cycle.pk).update(state="cancelled")
    sets.record_set_trash(actor=alice, record_set=item)
    assert code_of(lambda: cycle_retry(actor=alice, cycle=Cycle.objects.get())) == "records.trashed"


# ---------------------------------------------------------------- there and back


def test_there_and_back(alice: User, project: Project, old: Checkpoint) -> None:
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    assert not Checkpoint.objects.filter(pk=old.pk).exists()
    assert kept(old)
    assert code_of(lambda: trash.checkpoint_trash(actor=alice, checkpoint=old)) == "trash.there"
    for use in (
        lambda: promotion.checkpoint_promote(actor=alice, checkpoint=old),
        lambda: alias_set(actor=alice, project=project, name="best", checkpoint=old),
    ):
        assert code_of(use) == "checkpoint.trashed"
    trash.checkpoint_restore(actor=alice, checkpoint=old)
    assert Checkpoint.objects.get(pk=old.pk).trashed_by is None
    assert code_of(lambda: trash.checkpoint_restore(actor=alice, checkpoint=old)) == "trash.not_there"
    assert code_of(lambda: trash.checkpoint_delete(actor=alice, checkpoint=old)) == "trash.not_there"
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert {"checkpoint_trash", "checkpoint_restore"} <= verbs


def test_deleting_leaves_a_row_that_says_so_and_a_number_that_is_never_used_again(
    alice: User, project: Project, old: Checkpoint
) -> None:
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    assert trash.checkpoint_delete(actor=alice, checkpoint=old) == len(b"first weights")
    assert not kept(old)
    assert not StoredFile.objects.filter(sha256=old.sha256).exists()
    gone = Checkpoint.everything.get(pk=old.pk)
    assert (gone.label, gone.sha256, gone.in_trash) == ("v1 (deleted)", old.sha256, False)
    assert create(project).number == 3
    for call in (trash.checkpoint_restore, trash.checkpoint_delete, trash.checkpoint_trash):
        assert code_of(lambda call=call: call(actor=alice, checkpoint=old)) == "trash.deleted"  # type: ignore[misc]
    answer = logged_in(alice).get(reverse("checkpoint_download", args=[old.pk]))
    assert answer.status_code == 404


def test_a_set_whose_place_is_taken_stays_in_the_trash(alice: User, project: Project) -> None:
    first = keep_set(project, b"old rows", Use.PROBE)
    sets.record_set_trash(actor=alice, record_set=first)
    second = keep_set(project, b"new rows", Use.PROBE)
    assert code_of(lambda: sets.record_set_restore(actor=alice, record_set=first)) == "trash.replaced"
    sets.record_set_trash(actor=alice, record_set=second)
    sets.record_set_restore(actor=alice, record_set=first)
    assert RecordSet.objects.get() == first


# ---------------------------------------------------------------- what really becomes free


def test_a_content_goes_with_the_last_row_that_needs_it(alice: User, project: Project) -> None:
    data = b"the same weights"
    first = keep(project, data)
    second = keep(project, data, parent=first)
    keep(project, b"others", parent=second)
    trash.checkpoint_trash(actor=alice, checkpoint=first)
    assert trash_frees(project.workspace_id) == 0
    assert trash.checkpoint_delete(actor=alice, checkpoint=first) == 0
    assert kept(second)
    trash.checkpoint_trash(actor=alice, checkpoint=second)
    assert trash_frees(project.workspace_id) == len(data)
    assert trash_empty(actor=alice, workspace=project.workspace).freed == len(data)
    assert not kept(second)


def test_two_in_the_trash_with_one_content_free_it_once(alice: User, project: Project) -> None:
    data = b"twice"
    rows = [keep(project, data), keep(project, data)]
    keep(project, b"others")
    for row in rows:
        trash.checkpoint_trash(actor=alice, checkpoint=row)
    assert trash_frees(project.workspace_id) == len(data)
    done = trash_empty(actor=alice, workspace=project.workspace)
    assert (done.checkpoints, done.record_sets, done.freed) == (2, 0, len(data))


def test_companions_and_fisher_go_too_and_stay_for_a_child(alice: User, project: Project) -> None:
    first = keep(project, b"parent", extras=b"{}", fisher=b"f" * 30)
    child = keep(project, b"child", parent=first, extras=b"{}")
    trash.checkpoint_trash(actor=alice, checkpoint=first)
    assert trash_frees(project.workspace_id) == len(b"parent") + 30
    assert trash.checkpoint_delete(actor=alice, checkpoint=first) == len(b"parent") + 30
    assert store_path(project.workspace_id, child.extras_sha256).is_file()


def test_every_column_that_names_a_stored_file_is_on_the_list() -> None:
    """A new one that is not would lose its files; what is listed here names no file of the store."""
    from django.apps import apps

    others = {
        ("uploads.Upload", "sha256"),
        ("uploads.Upload", "told_sha256"),
        ("uploads.StoredFile", "sha256"),
        ("memories.ErasedSet", "sha256_before"),  # facts for the certificate
        ("memories.ErasedSet", "sha256_after"),
    }
    listed = {(one.model._meta.label, one.column) for one in REFERENCES}
    named = {
        (model._meta.label, field.name)
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if "sha256" in field.name
    }
    assert named - others == listed


# ---------------------------------------------------------------- the clock


def test_after_seven_days_it_goes_by_itself(alice: User, project: Project, old: Checkpoint) -> None:
    item = keep_set(project, b"rows", Use.TRAINING)
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    sets.record_set_trash(actor=alice, record_set=item)
    begun = Checkpoint.everything.get(pk=old.pk).trashed_at
    assert begun is not None
    assert trash_purge(now=begun + timedelta(days=6, hours=23)) == 0
    assert kept(old)
    later = timezone.now() + timedelta(days=7, seconds=1)
    assert trash_purge(now=later) == 2
    assert not kept(old) and not kept(item)
    assert trash_purge(now=later) == 0
    entry = AuditEntry.objects.get(verb="checkpoint_delete")
    assert entry.actor is None


def test_the_clock_of_the_database_decides(alice: User, old: Checkpoint) -> None:
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    assert trash_purge() == 0
    Checkpoint.everything.filter(pk=old.pk).update(trashed_at=timezone.now() - timedelta(days=7, seconds=5))
    assert trash_purge() == 1


def test_days_left_count_down_to_nothing() -> None:
    now = timezone.now()
    ages = {
        timedelta(minutes=1): 7,
        timedelta(days=1, minutes=1): 6,
        timedelta(days=6.5): 1,
        timedelta(days=9): 0,
    }
    assert {age: Checkpoint(trashed_at=now - age).days_left for age in ages} == ages


def test_a_crash_before_the_release_is_made_good(alice: User, project: Project, old: Checkpoint) -> None:
    """The row says that its files are gone, and nobody has let go of them."""
    now = timezone.now()
    Checkpoint.everything.filter(pk=old.pk).update(trashed_at=now, purged_at=now)
    assert contents_release_forgotten(older_than=3600, at_once=10) == 0
    StoredFile.objects.update(created_at=now - timedelta(hours=2))
    assert contents_release_forgotten(older_than=3600, at_once=10) == 1
    assert not kept(old)
    assert StoredFile.objects.count() == 1


# ---------------------------------------------------------------- at the same moment


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["upload", "purge"])
def test_a_purge_and_an_upload_of_the_same_content_take_turns(
    first: str, alice: User, project: Project, workspace: Workspace
) -> None:
    """Whoever comes second waits for the lock; in the end the new version has its file."""
    data = b"weights that come back"
    old = keep(project, data)
    keep(project, b"others")
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    source = Path(settings.INCOMING_DIR) / "again.part"
    source.write_bytes(data)
    sha256, size = file_sha256(source)
    inside, go = threading.Event(), threading.Event()

    def upload() -> None:
        with transaction.atomic():
            store_put(workspace=workspace, source=source, sha256=sha256, size_bytes=size)
            if first == "upload":
                inside.set()
                go.wait(10)
            create(project, sha256=sha256, size_bytes=size)

    def ended(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        if first == "upload":
            coming = pool.submit(ended, upload)
            assert inside.wait(10)
            going = pool.submit(ended, lambda: trash.checkpoint_delete(actor=alice, checkpoint=old))
            wait_for_a_lock()
            go.set()
        else:
            going = pool.submit(ended, lambda: trash.checkpoint_delete(actor=alice, checkpoint=old))
            coming = pool.submit(ended, upload)
        coming.result(20)
        freed = going.result(20)
    made = Checkpoint.objects.get(sha256=sha256)
    assert file_sha256(store_path(workspace.pk, made.sha256)) == (sha256, size)
    assert StoredFile.objects.filter(sha256=sha256).count() == 1
    assert freed == 0 if first == "upload" else freed in {0, size}


@pytest.mark.django_db(transaction=True)
def test_an_upload_between_the_row_and_the_file_of_a_purge_keeps_the_file(
    alice: User, project: Project, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the purge has let go of the content, and its file is about to be removed."""
    data = b"weights that come back"
    old = keep(project, data)
    keep(project, b"others")
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    inside, go = threading.Event(), threading.Event()

    def stop(point: str) -> None:
        inside.set()
        assert go.wait(10)

    def purge() -> int:
        try:
            return trash.checkpoint_delete(actor=alice, checkpoint=old)
        finally:
            connections.close_all()

    monkeypatch.setattr(store_release, "fault", stop)
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(purge)
        assert inside.wait(10)
        made = keep(project, data)
        go.set()
        assert going.result(20) == len(data)
    assert kept(made)
    assert StoredFile.objects.filter(sha256=made.sha256).count() == 1


def wait_for_a_lock() -> None:
    """Until some session waits for an advisory lock."""
    from django.db import connection

    for _ in range(2000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if cursor.fetchone()[0]:
                return
        threading.Event().wait(0.005)
    raise AssertionError("nobody waited")


@pytest.mark.django_db(transaction=True)
def test_many_uploads_and_purges_of_one_content_never_lose_it(
    alice: User, project: Project, workspace: Workspace
) -> None:
    """Rounds of both at once: after each, every version that is there has its file, whole."""
    data = b"again and again"
    keep(project, b"others")

    def come(index: int) -> None:
        try:
            with transaction.atomic():
                source = Path(settings.INCOMING_DIR) / f"{index}.part"
                source.write_bytes(data)
                sha256, size = file_sha256(source)
                store_put(workspace=workspace, source=source, sha256=sha256, size_bytes=size)
                create(project, sha256=sha256, size_bytes=size, standing="candidate")
        finally:
            connections.close_all()

    def go(pk: Any) -> None:
        try:
            row = Checkpoint.everything.select_related("project__workspace").get(pk=pk)
            trash.checkpoint_trash(actor=alice, checkpoint=row)
            trash.checkpoint_delete(actor=alice, checkpoint=row)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        come(0)
        for turn in range(1, 9):
            there = list(Checkpoint.objects.filter(standing="candidate").values_list("pk", flat=True))
            jobs = [pool.submit(go, pk) for pk in there] + [pool.submit(come, 2 * turn + n) for n in (0, 1)]
            for job in jobs:
                job.result(20)
            for row in Checkpoint.objects.filter(standing="candidate"):
                assert kept(row)
                assert StoredFile.objects.filter(sha256=row.sha256).count() == 1


def test_a_restore_that_comes_first_keeps_the_files(alice: User, old: Checkpoint) -> None:
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    trash.checkpoint_restore(actor=alice, checkpoint=old)
    assert trash_empty(actor=alice, workspace=old.project.workspace).checkpoints == 0
    assert contents_release(workspace=old.project.workspace, digests=[old.sha256]) == 0
    assert kept(old)


# ---------------------------------------------------------------- pages and API


def test_the_button_its_undo_and_the_dialog(alice: User, old: Checkpoint) -> None:
    browser = logged_in(alice)
    page = browser.post(reverse("checkpoint_trash", args=[old.pk]), follow=True).content.decode()
    assert "v1 is in the trash for seven days." in page
    assert reverse("checkpoint_restore", args=[old.pk]) in page
    assert "In the trash since" in page
    listed = browser.get(reverse("trash")).content.decode()
    assert "7 days" in listed and "frees 13 bytes" in listed
    page = browser.post(reverse("checkpoint_restore", args=[old.pk]), follow=True).content.decode()
    assert "v1 is back." in page
    browser.post(reverse("checkpoint_trash", args=[old.pk]))
    page = browser.post(reverse("trash_empty"), follow=True).content.decode()
    assert "13 bytes are free again" in page and "The trash is empty" in page
    page = browser.get(reverse("checkpoint_detail", args=[old.pk])).content.decode()
    assert "Its files were deleted" in page


def test_the_undo_of_a_promotion_says_why_it_cannot_go_back(alice: User, old: Checkpoint) -> None:
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    browser = logged_in(alice)
    page = browser.post(reverse("checkpoint_promote", args=[old.pk]), follow=True).content.decode()
    assert "Checkpoint v1 is in the trash or deleted" in page
    answer = browser.post(f"/api/checkpoints/{old.pk}/promote", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "checkpoint.trashed")


def test_a_protected_one_says_why_instead_of_a_button(alice: User, project: Project) -> None:
    made = keep(project, b"only")
    browser = logged_in(alice)
    page = browser.get(reverse("checkpoint_detail", args=[made.pk])).content.decode()
    assert "v1 is the current checkpoint of its project" in page
    assert reverse("checkpoint_trash", args=[made.pk]) not in page
    page = browser.post(reverse("checkpoint_trash", args=[made.pk]), follow=True).content.decode()
    assert "so it stays" in page and Checkpoint.objects.filter(pk=made.pk).exists()


def test_trashed_rows_are_in_no_list_and_the_lineage_still_reads(
    alice: User, project: Project, old: Checkpoint
) -> None:
    aside = keep(project, b"a branch", parent=old, standing="branch")
    for row in (old, aside):
        trash.checkpoint_trash(actor=alice, checkpoint=row)
    browser = logged_in(alice)
    listed = browser.get(reverse("project_detail", args=[project.pk])).content.decode()
    assert reverse("checkpoint_detail", args=[aside.pk]) not in listed
    picked = browser.get(reverse("cycle_create", args=[project.pk])).content.decode()
    assert '<option value="1"' not in picked
    assert reverse("checkpoint_detail", args=[old.pk]) not in browser.get("/search/?q=v1").content.decode()
    project.refresh_from_db()
    assert project.current_id is not None
    page = browser.get(reverse("checkpoint_detail", args=[project.current_id])).content.decode()
    assert "v1 (deleted)" in page
    assert browser.post(reverse("score_create", args=[old.pk])).status_code == 404


def test_what_is_in_the_trash_can_still_be_downloaded(vera: User, alice: User, old: Checkpoint) -> None:
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    assert logged_in(vera).get(reverse("checkpoint_download", args=[old.pk])).status_code == 200


def test_over_the_api(alice: User, bob: User, project: Project, old: Checkpoint) -> None:
    item = keep_set(project, b"rows", Use.PROBE)
    api = logged_in(alice)

    def post(path: str, browser: Client = api) -> Any:
        return browser.post(f"/api/{path}", content_type="application/json")

    assert post(f"checkpoints/{old.pk}/trash", logged_in(bob)).json()["code"] == "role.missing"
    assert post(f"checkpoints/{old.pk}/trash").json()["trashed_at"]
    assert post(f"record-sets/{item.pk}/trash").status_code == 200
    names = {row["name"] for row in api.get("/api/trash").json()["items"]}
    assert names == {"v1", "Probe of “returns”"}
    assert post(f"checkpoints/{old.pk}/restore").json()["trashed_at"] is None
    assert post(f"record-sets/{item.pk}/restore").status_code == 200
    assert api.delete(f"/api/checkpoints/{old.pk}").json()["code"] == "trash.not_there"
    post(f"checkpoints/{old.pk}/trash")
    assert api.delete(f"/api/checkpoints/{old.pk}").json() == {"freed": 13}
    assert api.get(f"/api/checkpoints/{old.pk}").json()["downloads"] == []
    post(f"record-sets/{item.pk}/trash")
    assert post("trash/empty").json() == {"checkpoints": 0, "record_sets": 1, "freed": 4}


def test_a_waking_whose_parent_is_gone_sleeps_without_a_reference(
    alice: User, project: Project, old: Checkpoint
) -> None:
    from webapp.cycles.services import cycle_start

    task = Task.objects.get(project=project)
    for use in (Use.MEMORIES, Use.PROBE):
        keep_set(project, f"{use} rows".encode(), use, task=task)
    slept = cycle_start(actor=alice, project=project, kind="sleep", recipe={}, preset="nap")
    assert slept.reference == old
    Cycle.objects.update(state="cancelled")
    trash.checkpoint_trash(actor=alice, checkpoint=old)
    assert cycle_start(actor=alice, project=project, kind="sleep", recipe={}, preset="nap").reference is None
    again = Cycle.objects.get(pk=slept.pk)
    assert code_of(lambda: cycle_retry(actor=alice, cycle=again)) == "checkpoint.trashed"


def test_the_page_of_a_cycle_offers_nothing_that_is_gone(alice: User, project: Project) -> None:
    base = keep(project, b"base")
    cycle = rows.cycle(project, "sleep", "rejected", base=base, verdict="rejected", reasons=["It forgot."])
    made = keep(project, b"candidate", parent=base, standing="candidate", origin="sleep", cycle=cycle)
    browser, address = logged_in(alice), reverse("cycle_detail", args=[cycle.pk])
    offers = (reverse("checkpoint_download", args=[made.pk]), reverse("checkpoint_promote", args=[made.pk]))
    page = browser.get(address).content.decode()
    assert all(offer in page for offer in offers)
    trash.checkpoint_trash(actor=alice, checkpoint=made)
    page = browser.get(address).content.decode()
    assert not any(offer in page for offer in offers)
    assert "v2 is in the trash since then." in page
