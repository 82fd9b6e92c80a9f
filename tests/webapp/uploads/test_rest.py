"""A file with bad rows: nothing of it is taken in until somebody says so, and then all of the others."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.urls import reverse
from django.utils import timezone

from consolidation.memory.store import Records
from tests.consolidation.formats.archives import picture, zipped
from tests.webapp.conftest import logged_in
from tests.webapp.uploads.conftest import incoming
from tests.webapp.uploads.test_records import checked, page
from webapp.core.errors import Conflict, Forbidden, InvalidInput
from webapp.core.models import AuditEntry
from webapp.core.store import room_left, store_path
from webapp.memories.models import RecordSet
from webapp.uploads.declared_import import clean_import
from webapp.uploads.models import Upload
from webapp.uploads.rest import rest_sweep, upload_drop_rest, upload_take_rest
from webapp.uploads.selectors import stray_files
from webapp.uploads.services import upload_verify

if TYPE_CHECKING:
    from pathlib import Path

    from webapp.accounts.models import User
    from webapp.projects.models import Project, Task

BAD = b"a,b,y\n" + b"".join(b"%d,2,%d\n" % (n, n % 2) for n in range(30)) + b"1,,0\n1,2,9\n"


@pytest.fixture
def refused(project: Project, alice: User, task: Task) -> Upload:
    upload = checked(project, alice, task, BAD, classes=2)
    assert (upload.state, upload.error_detail["others"]) == ("refused", 30)
    return upload


def test_a_refused_file_waits_and_is_taken_in_without_its_bad_rows(
    refused: Upload, project: Project, bob: User
) -> None:
    assert not RecordSet.objects.exists()
    assert incoming() == [f"{refused.pk}.part"]
    before = room_left(project.workspace)
    assert "Take in the other 30 records" in page(bob, project)
    client = logged_in(bob)
    told = client.get(f"/api/uploads/{refused.pk}").json()
    assert told["rest"]["rows"] == 30
    address = reverse("upload_take_rest", args=[refused.pk])
    assert client.post(address).status_code == 302
    assert upload_verify(refused.pk) == "ready"
    made = RecordSet.objects.get()
    assert made.rows == 30
    assert [line["line"] for line in made.left_out["lines"]] == [32, 33]
    records = Records.open(store_path(project.workspace_id, made.sha256))
    assert records.x[:, 0].tolist() == list(range(30))
    text = page(bob, project)
    assert "2 bad lines, the first 2" in text
    assert "column b is empty" in text
    assert "Take in the other" not in text
    assert incoming() == []
    assert room_left(project.workspace) != before
    assert AuditEntry.objects.filter(verb="upload_take_rest").exists()
    # A second press, from another tab, changes nothing.
    assert "not kept any more" in client.post(address, follow=True).content.decode()
    assert RecordSet.objects.count() == 1


def test_only_one_of_two_presses_counts(refused: Upload, alice: User) -> None:
    twin = Upload.objects.get(pk=refused.pk)
    upload_take_rest(actor=alice, upload=refused)
    for late in (upload_take_rest, upload_drop_rest):
        with pytest.raises(Conflict) as caught:
            late(actor=alice, upload=twin)
        assert caught.value.code == "upload.rest"
    assert upload_verify(refused.pk) == "ready"


def test_kept_bytes_count_until_they_are_removed(refused: Upload, project: Project, alice: User) -> None:
    with_it = room_left(project.workspace)
    answer = logged_in(alice).delete(f"/api/uploads/{refused.pk}/rest")
    assert (answer.status_code, answer.json()["rest"]) == (200, None)
    assert room_left(project.workspace) == with_it + len(BAD)
    assert incoming() == []


def test_after_a_day_they_are_gone(refused: Upload, alice: User) -> None:
    assert stray_files(timezone.now() + timedelta(hours=20)) == []
    assert rest_sweep() == 0
    assert rest_sweep(timezone.now() + timedelta(days=2)) == 1
    assert incoming() == []
    with pytest.raises(Conflict):
        upload_take_rest(actor=alice, upload=Upload.objects.get(pk=refused.pk))


def test_a_viewer_sees_the_lines_and_no_button(refused: Upload, project: Project, vera: User) -> None:
    assert "Take in the other" not in page(vera, project)
    with pytest.raises(Forbidden):
        upload_take_rest(actor=vera, upload=refused)
    upload_drop_rest(actor=refused.user, upload=refused)


def test_a_file_without_a_good_row_is_not_kept(project: Project, alice: User, task: Task) -> None:
    upload = checked(project, alice, task, b"a,y\noops,1\n")
    assert (upload.state, upload.kept_until, incoming()) == ("refused", None, [])
    assert "others" not in upload.error_detail


def test_whoever_says_so_before_has_them_left_out_at_once(project: Project, alice: User, task: Task) -> None:
    assert checked(project, alice, task, BAD, classes=2, leave_out="yes").state == "ready"
    assert RecordSet.objects.get().left_out["total"] == 2


# ------------------------------------------------------------ how many, and which


def test_a_budget_keeps_what_fits_and_says_so(project: Project, alice: User, task: Task) -> None:
    data = b"a,b,y\n" + b"".join(b"%d,2,%d\n" % (n, n < 5) for n in range(100))
    # two 32-bit floats and a label of a byte each: 9 bytes
    upload = checked(project, alice, task, data, budget={"bytes": 95})
    assert upload.state == "ready", upload.error_message
    made = RecordSet.objects.get()
    assert (made.rows, made.label_histogram) == (10, [5, 5])
    assert made.kept == {"offered": 100, "budget": 95, "bytes": 90, "rule": "class-balanced"}
    assert Records.open(store_path(project.workspace_id, made.sha256)).bytes["total"] == 90
    assert "10 of 100 rows: 90 bytes of 95 bytes" in page(alice, project)
    upload = checked(project, alice, task, data, budget={"bytes": 8})
    assert (upload.error_code, upload.kept_until) == ("memories.budget", None)


def test_what_the_form_says_of_an_import() -> None:
    assert clean_import({"budget": {"rule": "reservoir"}})["budget"] is None
    assert clean_import({"budget": {"megabytes": 2.5}})["budget"] == {
        "bytes": 2_500_000, "rule": "class-balanced",
    }  # fmt: skip
    assert clean_import({"split": " test ", "resize": "yes"}) == {
        "split": "test", "resize": True, "leave_out": False, "budget": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"budget": 3}, "memories.budget"), ({"budget": {"bytes": 1, "megabytes": 1}}, "memories.budget"),
        ({"budget": {"bytes": True}}, "memories.budget"), ({"budget": {"bytes": "nan"}}, "memories.budget"),
        ({"budget": {"bytes": 0}}, "memories.budget"), ({"budget": {"size": 1}}, "memories.budget"),
        ({"budget": {"bytes": 9, "rule": "herding"}}, "memories.selection"),
        ({"split": "../train"}, "records.split"), ({"split": "a\0b"}, "records.split"),
        ({"split": "a\ud800"}, "records.split"), ({"split": "a\u202eb"}, "records.split"),
    ],
)  # fmt: skip
def test_what_it_cannot_say(form: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        clean_import(form)
    assert caught.value.code == code


# ------------------------------------------------------------ pictures, behind the walls


def test_pictures_keep_the_names_of_their_folders(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    files = {"<b>cat/1.png": grey, "<b>cat/2.png": grey, "dog/1.png": grey + 1}
    data = zipped(tmp_path / "f.zip", {name: picture(one) for name, one in files.items()}).read_bytes()
    upload = checked(project, alice, task, data, "pets.zip")
    assert upload.state == "ready", upload.error_message
    made = RecordSet.objects.get()
    assert (made.label_names, made.x_shape, made.duplicates) == (["<b>cat", "dog"], [4, 6, 1], 1)
    text = page(alice, project)
    assert "&lt;b&gt;cat" in text
    assert "<b>cat" not in text
    assert "1 row repeats an earlier one" in text
    # The task's probe is numbered by the same names.
    probe = zipped(tmp_path / "g.zip", {"dog/1.png": picture(grey)}).read_bytes()
    upload = checked(project, alice, task, probe, "pets.zip", purpose="probe")
    assert RecordSet.objects.get(use="probe").label_histogram == [0, 1]
