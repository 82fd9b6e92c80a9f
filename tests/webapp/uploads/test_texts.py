"""Texts at the door: the confined child reads them with the tokenizer of the project's current checkpoint."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from django.conf import settings
from django.urls import reverse

from consolidation.families.registry import family_spec
from consolidation.formats.tokenizer_json import tokenizer_json as written_anew
from consolidation.memory.store import Records
from tests.consolidation.text_helpers import BERT, tokenizer_json
from tests.webapp.conftest import logged_in
from tests.webapp.rows import checkpoint
from tests.webapp.uploads.conftest import received
from tests.webapp.uploads.test_records import checked
from webapp.core.errors import InvalidInput, NocturneError
from webapp.core.store import store_path, store_put
from webapp.memories.models import RecordSet
from webapp.uploads.declared import clean_form
from webapp.uploads.services import upload_verify

if TYPE_CHECKING:
    from pathlib import Path

    from webapp.accounts.models import User
    from webapp.projects.models import Project, Task

TEXTS = b'{"text": "Good mornings", "y": 2}\n{"text": "a very bad night", "y": 0}\n'


def text_model(project: Project, folder: Path, *, tokenizer: bool = True, **config: Any) -> None:
    """A current checkpoint whose companions are a config and, perhaps, a tokenizer."""
    files = {"config.json": b"{}"} | ({"tokenizer.json": written_anew(tokenizer_json())} if tokenizer else {})
    data = b"".join(files.values())
    sha256 = hashlib.sha256(data).hexdigest()
    source = settings.INCOMING_DIR / "extras"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(data)
    store_put(workspace=project.workspace, source=source, sha256=sha256, size_bytes=len(data))
    extras: list[dict[str, Any]] = []
    for name, content in files.items():
        place = sum(extra["size"] for extra in extras)
        extras.append({"name": name, "offset": place, "size": len(content), "crc32": crc32(content)})
    made = checkpoint(project, extras_sha256=sha256, extras=extras)
    made.family, made.config = "encoder", family_spec("encoder").validate_config(BERT | config)
    made.save()
    project.refresh_from_db()


def test_texts_become_records_behind_the_walls(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    text_model(project, tmp_path)
    upload = checked(project, alice, task, TEXTS, "f.jsonl")
    assert (upload.state, upload.error_code, upload.error_message) == ("ready", "", "")
    made = RecordSet.objects.get()
    assert (made.rows, made.x_shape, made.classes) == (2, [6], 3)
    records = Records.open(store_path(project.workspace_id, made.sha256))
    assert records.x.tolist() == [[2, 4, 6, 8, 3, 0], [2, 1, 9, 5, 7, 3]]


def test_without_a_tokenizer_a_person_is_told_what_to_do(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    text_model(project, tmp_path, tokenizer=False)
    upload = checked(project, alice, task, TEXTS, "f.jsonl")
    assert (upload.state, upload.error_code) == ("refused", "records.tokenizer")
    assert "tokenizer.json" in upload.error_message


def test_a_text_that_is_too_long_for_the_model_is_told_with_its_line(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    text_model(project, tmp_path)
    data = TEXTS + json.dumps({"text": "good " * 40, "y": 1}).encode()
    upload = checked(project, alice, task, data, "f.jsonl")
    assert (upload.state, upload.error_code) == ("refused", "records.token")
    assert upload.error_message.startswith("Line 3: its text has 42 tokens, and the model reads at most 16")


def sets_of(project: Project) -> RecordSet:
    return RecordSet.objects.get(project=project, replaced_at__isnull=True)


def test_columns_and_names_of_labels_go_all_the_way(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    text_model(project, tmp_path)
    data = b"mood,words\nup,good\ndown,bad\nsame,very\n"
    upload = checked(project, alice, task, data, texts={"mapping": {"text": "words", "label": "mood"}})
    assert (upload.state, upload.error_message) == ("ready", "")
    assert sets_of(project).label_names == ["down", "same", "up"]
    page = logged_in(alice).get(reverse("records_list", args=[project.pk])).content.decode()
    assert "Label down: 1 rows" in page


def test_labels_by_name_are_those_of_the_model(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    names = {"0": "up", "1": "same", "2": "down"}
    text_model(project, tmp_path, id2label=names, head="sequence-classification")
    upload = checked(project, alice, task, b"text,label\ngood,Up\nbad,down\n")
    assert (upload.state, upload.error_message) == ("ready", "")
    made = sets_of(project)
    assert made.label_names == ["up", "same", "down"]
    assert Records.open(store_path(project.workspace_id, made.sha256)).y.tolist() == [0, 2]
    page = logged_in(alice).get(reverse("records_list", args=[project.pk])).content.decode()
    assert "It calls them up, same, down." in page


def test_a_probe_takes_the_numbers_of_its_tasks_labels(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    text_model(project, tmp_path)
    checked(project, alice, task, b"text,label\ngood,up\nbad,down\nvery,same\n")
    told = clean_form(project=project, purpose="probe", form={"task": str(task.pk)})
    upload = received(project, alice, b"text,label\ngood,up\n", purpose="probe", **told)
    upload_verify(upload.pk)
    probe = RecordSet.objects.get(use="probe")
    assert probe.label_names == ["down", "same", "up"]
    assert Records.open(store_path(project.workspace_id, probe.sha256)).y.tolist() == [2]


def test_more_labels_than_the_head_has_are_told_with_their_names(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    text_model(project, tmp_path)
    upload = checked(project, alice, task, b"text,label\n" + b"".join(b"good,%c\n" % c for c in b"abcd"))
    assert (upload.state, upload.error_code) == ("refused", "records.label_range")
    assert "4 labels (a, b, c, d), and the model tells 3 apart" in upload.error_message


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ({"mapping": {"text": "a" * 300, "label": "y"}}, "records.mapping"),
        ({"mapping": {"text": "a"}}, "records.mapping"),
        ({"mapping": {"question": "a", "context": "b", "answers": "c"}}, "records.mapping"),
        ({"mapping": {"owner": "a"}}, "field.read_only"),
        ({"mapping": ["a"]}, "records.mapping"),
        ({"length": 1}, "upload.number"),
        ({"length": 10**9}, "upload.number"),
        ({"path": "/etc/passwd"}, "field.read_only"),
        ("text", "upload.form"),
    ],
)
def test_a57_what_is_said_of_texts_is_checked(
    texts: Any, code: str, project: Project, task: Task, tmp_path: Path
) -> None:
    text_model(project, tmp_path)
    with pytest.raises((InvalidInput, NocturneError)) as caught:
        clean_form(project=project, purpose="memories", form={"task": str(task.pk), "texts": texts})
    assert caught.value.code == code
