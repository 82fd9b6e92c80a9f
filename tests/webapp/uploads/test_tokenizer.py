"""A tokenizer that comes after its checkpoint: checked behind the walls, kept beside the weights, audited."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.urls import reverse

from tests.consolidation.text_helpers import WORDS, tokenizer_json
from tests.webapp.conftest import logged_in
from tests.webapp.rows import checkpoint
from tests.webapp.uploads.conftest import received
from tests.webapp.uploads.test_records import checked
from tests.webapp.uploads.test_texts import TEXTS, text_model
from webapp.checkpoints.models import Checkpoint
from webapp.checkpoints.parcels import FOLDER, parcel_of
from webapp.core.errors import Conflict, InvalidInput, NocturneError
from webapp.core.models import AuditEntry
from webapp.core.store import store_path
from webapp.uploads.declared import clean_form
from webapp.uploads.models import StoredFile, Upload
from webapp.uploads.services import upload_verify
from webapp.uploads.texts import project_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from webapp.accounts.models import User
    from webapp.projects.models import Project, Task


def sent(project: Project, user: User, data: bytes) -> Upload:
    # A folder's checkpoint knows it; its file is not needed then.
    Checkpoint.objects.exclude(extras_sha256="").update(crc32=7)
    form = {"checkpoint": str(project.current_id)}
    told = clean_form(project=project, purpose="tokenizer", form=form)
    upload = received(project, user, data, purpose="tokenizer", **told)
    upload_verify(upload.pk)
    upload.refresh_from_db()
    return upload


def companion(found: Checkpoint, name: str) -> bytes:
    extra = next(extra for extra in found.extras if extra["name"] == name)
    whole = store_path(found.project.workspace_id, found.extras_sha256).read_bytes()
    return whole[extra["offset"] :][: extra["size"]]


def test_a_tokenizer_joins_the_companions_and_texts_can_be_read(
    project: Project, alice: User, task: Task, tmp_path: Path
) -> None:
    text_model(project, tmp_path, tokenizer=False)
    assert project.current is not None
    before = project.current.extras_sha256
    upload = sent(project, alice, tokenizer_json())
    assert (upload.state, upload.error_message) == ("ready", "")
    assert upload.result_id == project.current_id
    now = Checkpoint.objects.get()
    assert companion(now, "config.json") == b"{}"
    assert json.loads(companion(now, "tokenizer.json"))["model"]["vocab"]["good"] == WORDS.index("good")
    assert now.sha256 == project.current.sha256
    assert not StoredFile.objects.filter(sha256=before).exists(), "what nobody names any more is let go"
    entry = AuditEntry.objects.get(verb="tokenizer_attach")
    assert (entry.actor, entry.object_id) == (alice, now.pk)
    told = project_tokenizer(type(project).objects.select_related("current").get(pk=project.pk))
    assert told is not None and told["path"] is not None
    project.refresh_from_db()
    assert checked(project, alice, task, TEXTS, "f.jsonl").state == "ready"


def test_a_checkpoint_without_companions_goes_home_in_a_folder_from_then_on(
    project: Project, alice: User, tmp_path: Path
) -> None:
    text_model(project, tmp_path, tokenizer=False)
    Checkpoint.objects.update(extras=[], extras_sha256="", crc32=None)
    weights = store_path(project.workspace_id, Checkpoint.objects.get().sha256)
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(b"weights")
    project.refresh_from_db()
    assert sent(project, alice, tokenizer_json()).state == "ready"
    parcel = parcel_of(Checkpoint.objects.select_related("project").get())
    assert parcel.what == FOLDER


HOSTILE: dict[str, tuple[str, bytes]] = {
    "A44-not-json": ("hf.json", b"tokenizer"),
    "A44-cut": ("hf.json", tokenizer_json()[:-9]),
    "A44-deep": ("tokenizer.limit", b'{"model":' + b"[" * 10**5 + b"]" * 10**5 + b"}"),
    "A44-slow-pattern": (
        "tokenizer.limit",
        json.dumps(
            json.loads(tokenizer_json())
            | {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+b"}, "behavior": "Isolated",
                                 "invert": False}}
        ).encode(),
    ),
    "another vocabulary": (
        "tokenizer.vocabulary", tokenizer_json((*WORDS, *(f"w{n}" for n in range(40)))),
    ),
    "one that cannot be run": ("records.tokenizer", tokenizer_json().replace(b"WordPiece", b"Unigram")),
    "weights": ("hf.json", b"\x80\x02cposix\nsystem\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_tokenizer_that_is_none_leaves_everything_as_it_was(
    case: str, project: Project, alice: User, tmp_path: Path
) -> None:
    code, data = HOSTILE[case]
    text_model(project, tmp_path, tokenizer=False)
    upload = sent(project, alice, data)
    assert (upload.state, upload.error_code) == ("refused", code)
    now = Checkpoint.objects.get()
    assert [extra["name"] for extra in now.extras] == ["config.json"]
    assert store_path(project.workspace_id, now.extras_sha256).is_file()


def test_one_that_has_a_tokenizer_keeps_it(project: Project, alice: User, tmp_path: Path) -> None:
    text_model(project, tmp_path)
    with pytest.raises(Conflict) as caught:
        sent(project, alice, tokenizer_json())
    assert caught.value.code == "tokenizer.exists"


def test_two_at_once_do_not_both_win(project: Project, alice: User, tmp_path: Path) -> None:
    text_model(project, tmp_path, tokenizer=False)
    form = {"checkpoint": str(project.current_id)}
    late = received(project, alice, tokenizer_json(), purpose="tokenizer", **form)
    assert sent(project, alice, tokenizer_json()).state == "ready"
    upload_verify(late.pk)
    late.refresh_from_db()
    assert (late.state, late.error_code) == ("refused", "tokenizer.exists")


def test_a_model_of_numbers_needs_none(project: Project, alice: User) -> None:
    made = checkpoint(project)
    with pytest.raises(InvalidInput) as caught:
        clean_form(project=project, purpose="tokenizer", form={"checkpoint": str(made.pk)})
    assert caught.value.code == "tokenizer.unwanted"


@pytest.mark.parametrize("form", [{}, {"checkpoint": "x"}, {"checkpoint": str(uuid4())}])
def test_a57_an_unknown_checkpoint_is_told(form: dict[str, Any], project: Project) -> None:
    with pytest.raises(InvalidInput) as caught:
        clean_form(project=project, purpose="tokenizer", form=form)
    assert caught.value.code == "upload.checkpoint"


def test_a57_nothing_else_can_be_said(project: Project) -> None:
    with pytest.raises(NocturneError) as caught:
        clean_form(project=project, purpose="tokenizer", form={"checkpoint": "x", "extras": []})
    assert caught.value.code == "field.read_only"


def test_the_page_offers_it_where_it_is_missing(project: Project, alice: User, tmp_path: Path) -> None:
    text_model(project, tmp_path, tokenizer=False)
    address = reverse("checkpoint_detail", args=[project.current_id])
    assert "Attach the tokenizer" in logged_in(alice).get(address).content.decode()
    sent(project, alice, tokenizer_json())
    assert "Attach the tokenizer" not in logged_in(alice).get(address).content.decode()
