"""Records through the real confined child: what is noted, what is refused, what a person is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.urls import reverse

from consolidation.memory.store import Records
from tests.hostile import parquet_files
from tests.webapp.conftest import logged_in
from tests.webapp.uploads.conftest import incoming, received
from webapp.core.bad_lines import bad_lines
from webapp.core.errors import InvalidInput, NocturneError
from webapp.core.store import store_path
from webapp.memories.erasing import record_set_erase, wanted
from webapp.memories.models import RecordSet
from webapp.uploads.declared import clean_form
from webapp.uploads.models import Upload
from webapp.uploads.rest import upload_drop_rest
from webapp.uploads.services import upload_verify

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project, Task


def checked(
    project: Project,
    user: User,
    task: Task,
    data: bytes,
    name: str = "f.csv",
    purpose: str = "memories",
    **form: Any,
) -> Upload:
    """An upload of memories after its check."""
    told = clean_form(project=project, purpose=purpose, form={"task": str(task.pk), **form})
    upload = received(project, user, data, purpose=purpose, **told)
    Upload.objects.filter(pk=upload.pk).update(filename=name)
    upload_verify(upload.pk)
    upload.refresh_from_db()
    return upload


def page(user: User, project: Project) -> str:
    return logged_in(user).get(reverse("records_list", args=[project.pk])).content.decode()


HEAD = "a,b,y,owner\n"


def test_a46_the_bad_lines_are_kept_and_shown(project: Project, alice: User, task: Task) -> None:
    rows = "".join("1,2,0,\n" if n % 2 else "1,<b>,0,\n" for n in range(60))
    upload = checked(project, alice, task, (HEAD + rows).encode())
    assert (upload.state, upload.error_code) == ("refused", "csv.number")
    assert [item["line"] for item in upload.error_detail["lines"]] == list(range(2, 42, 2))
    assert upload.error_detail["total"] == 30
    text = page(alice, project)
    assert "30 bad lines, the first 20" in text
    assert text.count('<code class="tiny">csv.number</code>') == 20
    assert "<b>," not in text
    told = logged_in(alice).get(f"/api/uploads/{upload.pk}").json()["error"]
    assert told["detail"] == upload.error_detail
    upload_drop_rest(actor=alice, upload=upload)


@pytest.mark.parametrize(
    "said",
    [None, [], {}, {"lines": 3}, {"lines": []}, {"lines": [{"line": "1", "code": "a", "message": "b"}]},
     {"lines": [{"line": -1, "code": "a", "message": "b"}]}, {"lines": [{"line": 2**70, "code": 1}]}],
)  # fmt: skip
def test_a_report_that_is_none_is_not_kept(said: Any) -> None:
    assert bad_lines(said) == {}


def test_a_report_is_cut_to_what_is_shown() -> None:
    lines = [{"line": n, "code": "c" * 99, "message": "m\n" * 999, "more": "x"} for n in range(1, 99)]
    found = bad_lines({"lines": lines, "total": True, "more": 1})
    assert (len(found["lines"]), found["total"], set(found)) == (20, 20, {"lines", "total", "unit"})
    assert set(found["lines"][0]) == {"line", "code", "message"}
    assert len(json.dumps(found)) < 20_000


def test_a53_what_the_form_tells_of_all_goes_into_the_file(project: Project, alice: User, task: Task) -> None:
    rights = {"owner": " Ann ", "purpose": "support", "expiry": "2040-01-31"}
    data = (HEAD + "1,2,0,\n3,4,1,Bob\n").encode()
    upload = checked(project, alice, task, data, rights=rights, rights_required="yes")
    assert upload.state == "ready", upload.error_message
    made = RecordSet.objects.get()
    assert sorted(made.rights) == ["expiry", "owner", "purpose"]
    opened = Records.open(store_path(project.workspace_id, made.sha256)).rights
    assert opened.owner is not None
    assert [opened.owner[0], opened.owner[1]] == ["Ann", "Bob"]
    assert "owner, purpose, expiry" in page(alice, project)


def test_a53_records_without_rights_are_refused_where_they_are_required(
    project: Project, alice: User, task: Task
) -> None:
    data = (HEAD + "1,2,0,\n3,4,1,Bob\n").encode()
    upload = checked(project, alice, task, data, rights={"licence": "CC0"}, rights_required=True)
    assert (upload.state, upload.error_code) == ("refused", "replay.rights_missing")
    assert "1 of 2 records" in upload.error_message
    assert incoming() == []


def test_a53_a_subject_who_was_erased_does_not_come_back(project: Project, alice: User, task: Task) -> None:
    data = (HEAD + "1,2,0,Ann\n3,4,1,Bo\n").encode()
    first = checked(project, alice, task, data, retention_days="30")
    assert first.state == "ready"
    item = RecordSet.objects.get()
    assert item.expires_in_days == 30
    record_set_erase(actor=alice, asked=wanted(record_set=item, scope="set", subject="Ann"), rows=1)
    upload = checked(project, alice, task, (HEAD + "9,9,0,Bo\n8,8,1,ANN\n1,2,0,\n").encode())
    assert (upload.state, upload.error_code) == ("refused", "replay.subject_erased")
    assert "2 of 3 records" in upload.error_message
    assert "(1 by their content, 1 by their owner)" in upload.error_message
    assert "record 2, 3." in upload.error_message
    assert RecordSet.objects.get() == item
    assert list(incoming()) == []


def test_the_form_of_rights_is_checked(project: Project, task: Task) -> None:
    def clean(**form: Any) -> dict[str, Any]:
        return clean_form(project=project, purpose="probe", form={"task": str(task.pk), **form})

    assert clean(rights={"owner": ""})["rights"] == {}
    assert clean(rights_required="no")["rights_required"] is False
    for wrong in ({"rights": "mine"}, {"rights": {"expiry": "tomorrow"}}):
        with pytest.raises(InvalidInput) as error:
            clean(**wrong)
        assert error.value.code == "replay.rights"
    with pytest.raises(NocturneError, match="subject"):
        clean(rights={"subject": "x"})


def test_a54_a_skewed_set_is_taken_in_with_its_warning(project: Project, alice: User, task: Task) -> None:
    data = HEAD + "1,2,0,\n" * 30 + "".join(f"{n},2,1,\n" for n in range(30))
    upload = checked(project, alice, task, data.encode())
    assert upload.state == "ready", upload.error_message
    (note,) = RecordSet.objects.get().notes
    assert note["code"] == "replay.skew_warning"
    text = page(alice, project)
    assert note["text"] in text
    assert "promote it by hand" in text


def test_parquet_goes_through_the_confined_child(project: Project, alice: User, task: Task) -> None:
    upload = checked(project, alice, task, parquet_files.table(), "f.parquet")
    assert upload.state == "ready", upload.error_message
    made = RecordSet.objects.get()
    assert np.array_equal(Records.open(store_path(project.workspace_id, made.sha256)).y, [0, 1, 2])


@pytest.mark.parametrize("end", ["kill -9 $$", "kill -XCPU $$"])
def test_a48_a_checker_that_is_killed_over_parquet_is_the_files_limit(
    end: str, project: Project, alice: User, task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text(f"#!/bin/sh\n{end}\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    upload = checked(project, alice, task, parquet_files.table(), "f.parquet")
    assert upload.error_code == "parquet.limit"
    assert checked(project, alice, task, b"a,y\n1,1\n").error_code == "verify.failed"
    assert incoming() == []
