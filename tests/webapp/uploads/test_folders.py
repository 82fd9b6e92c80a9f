"""A model's folder, from an upload to its page: through the real confined child, into the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.conf import settings
from django.urls import reverse
from safetensors.numpy import load_file

from tests.consolidation.formats.folders import (
    BERT,
    LLAMA,
    TOKENIZER,
    Files,
    adapter,
    js,
    numbers,
    packed,
    sharded,
)
from tests.webapp.conftest import logged_in
from tests.webapp.rows import record_set
from tests.webapp.uploads.conftest import incoming, received
from webapp.checkpoints.models import Checkpoint
from webapp.core.errors import InvalidInput
from webapp.core.store import store_path, workspace_used_bytes
from webapp.cycles.models import Cycle
from webapp.cycles.services import cycle_start
from webapp.memories.selectors import project_fit
from webapp.projects.models import Task
from webapp.uploads.services import upload_verify

if TYPE_CHECKING:
    from django.conf import LazySettings

    from webapp.accounts.models import User
    from webapp.projects.models import Project

FILES: Files = {
    "config.json": js(LLAMA | {"_name_or_path": "/home/me"}),
    **sharded(numbers(LLAMA)),
    "tokenizer.json": js(TOKENIZER),
    "run.py": b"import os",
}
# without a head, nothing can be computed with it
KEPT: Files = FILES | {"config.json": js(BERT), **sharded(numbers(BERT))}


def uploaded(project: Project, alice: User, data: bytes) -> Checkpoint:
    upload = received(project, alice, data)
    assert upload_verify(upload.pk) == "ready", upload.error_message
    return Checkpoint.objects.get(project=project)


@pytest.mark.parametrize("kind", ["zip-deflated", "tar.gz", "tar-pax"])
def test_a_folder_becomes_a_checkpoint_with_its_companions(kind: str, project: Project, alice: User) -> None:
    made = uploaded(project, alice, packed(FILES, kind))
    assert (made.format, made.family, made.config["hidden_size"]) == ("huggingface", "causal_lm", 16)
    assert [one["name"] for one in made.extras] == ["config.json", "tokenizer.json"]
    assert made.notes == ["Left out, never opened and never run: run.py."]
    copy = load_file(store_path(project.workspace_id, made.sha256))
    tensors = numbers(LLAMA)
    assert all(np.array_equal(copy[name], tensors[name]) for name in tensors)
    raw = store_path(project.workspace_id, made.extras_sha256).read_bytes()
    found = {one["name"]: raw[one["offset"] : one["offset"] + one["size"]] for one in made.extras}
    assert json.loads(found["tokenizer.json"]) == TOKENIZER
    assert "_name_or_path" not in json.loads(found["config.json"])
    assert made.crc32 is not None
    assert workspace_used_bytes(project.workspace) == made.size_bytes + len(raw)
    assert incoming() == []


def test_a_strict_server_refuses_a_folder_with_a_program(
    project: Project, alice: User, settings: LazySettings
) -> None:
    settings.STRICT_FOLDERS = True
    upload = received(project, alice, packed(FILES))
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "hf.file_forbidden"
    assert "run.py" in upload.error_message


def test_a_refused_folder_leaves_nothing_of_what_was_unpacked(project: Project, alice: User) -> None:
    upload = received(project, alice, packed(FILES | {"tokenizer.json": b"{"}, "tar.gz"))
    assert upload_verify(upload.pk) == "refused"
    upload.refresh_from_db()
    assert upload.error_code == "hf.json"
    assert str(settings.DATA_DIR) not in upload.error_message
    assert incoming() == []
    assert not Checkpoint.objects.exists()


@pytest.mark.parametrize("kind", ["wake", "sleep", "score"])
def test_nothing_computes_with_it_yet_and_that_is_said_before_anything_is_queued(
    kind: str, project: Project, alice: User
) -> None:
    uploaded(project, alice, packed(adapter() if kind == "score" else KEPT))
    task = Task.objects.get(project=project)
    data = record_set(task, "training")
    record_set(task, "memories")
    record_set(task, "probe")
    with pytest.raises(InvalidInput) as caught:
        cycle_start(actor=alice, project=project, kind=kind, recipe={}, data=data if kind == "wake" else None)
    assert caught.value.code == "cycle.family_not_yet"
    assert not Cycle.objects.exists()
    assert project_fit(project).width != 2048


def test_its_pages_say_so_up_front(project: Project, alice: User) -> None:
    made = uploaded(project, alice, packed(KEPT))
    browser = logged_in(alice)
    page = browser.get(reverse("checkpoint_detail", args=[made.pk])).content.decode()
    for words in ("Hugging Face folder", "tokenizer.json", "never run: run.py", "cycle.family_not_yet"):
        assert words in page
    assert "Score it now" not in page
    page = browser.get(reverse("project_detail", args=[project.pk])).content.decode()
    assert "v1 is here, checked and kept." in page
    assert "Put to sleep" not in page
    page = browser.get(reverse("cycle_create", args=[project.pk])).content.decode()
    assert "which cannot be put to sleep yet" in page
    page = browser.get(reverse("wake_create", args=[project.pk])).content.decode()
    assert "which cannot be trained yet" in page
    page = browser.get(reverse("checkpoint_upload", args=[project.pk])).content.decode()
    assert 'accept=".safetensors,.gguf,.pt,.pth,.bin,.ckpt,.zip,.tar,.gz,.tgz"' in page


def test_scoring_all_leaves_it_out(project: Project, alice: User) -> None:
    uploaded(project, alice, packed(KEPT))
    record_set(Task.objects.get(project=project), "probe")
    page = logged_in(alice).post(reverse("scores_create", args=[project.pk]), follow=True).content.decode()
    assert "Every checkpoint is scored." in page
    assert not Cycle.objects.exists()
