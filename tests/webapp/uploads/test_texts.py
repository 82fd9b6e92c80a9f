"""Texts at the door: the confined child reads them with the tokenizer of the project's current checkpoint."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.conf import settings

from consolidation.families.registry import family_spec
from consolidation.formats.tokenizer_json import tokenizer_json as written_anew
from consolidation.memory.store import Records
from tests.consolidation.text_helpers import BERT, tokenizer_json
from tests.webapp.rows import checkpoint
from tests.webapp.uploads.test_records import checked
from webapp.core.store import store_path, store_put
from webapp.memories.models import RecordSet

if TYPE_CHECKING:
    from pathlib import Path

    from webapp.accounts.models import User
    from webapp.projects.models import Project, Task

TEXTS = b'{"text": "Good mornings", "y": 2}\n{"text": "a very bad night", "y": 0}\n'


def text_model(project: Project, folder: Path, *, tokenizer: bool = True) -> None:
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
        extras.append({"name": name, "offset": sum(e["size"] for e in extras), "size": len(content)})
    made = checkpoint(project, extras_sha256=sha256, extras=extras)
    made.family, made.config = "encoder", family_spec("encoder").validate_config(BERT)
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
