"""A BERT the whole way: its folder comes in, then texts, it sleeps, and transformers opens what goes home."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import torch
from django.urls import reverse

from consolidation.families.transformers_library import library
from consolidation.weights import load_model, save_model
from tests.consolidation.text_helpers import BERT, WORDS, tiny_bert, tokenizer_json
from tests.webapp.streams import collected
from tests.webapp.uploads.conftest import received
from tests.workers.conftest import Run, trainer_log
from webapp.core.store import store_path
from webapp.cycles.choices import State
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use
from webapp.uploads.services import upload_verify

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

    from tests.support.jobs import Lab

CONFIG = {key: value for key, value in BERT.items() if key not in {"head", "num_labels"}} | {
    "architectures": ["BertForSequenceClassification"], "vocab_size": 24, "hidden_dropout_prob": 0.1,
    "id2label": {"0": "no", "1": "perhaps", "2": "yes"},
}  # fmt: skip


def folder(tmp_path: Path) -> bytes:
    """As save_pretrained leaves it, in a zip."""
    save_model(tiny_bert(vocab_size=24), tmp_path / "weights", metadata={"format": "pt"})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("config.json", json.dumps(CONFIG))
        archive.write(tmp_path / "weights", "model.safetensors")
        archive.writestr("tokenizer.json", tokenizer_json())
    return packed.getvalue()


def texts(count: int, seed: int) -> bytes:
    """Whether the morning is good, the night is bad, or neither."""
    rng = np.random.default_rng(seed)
    told = ("good morning", "bad night", "very very")
    labels = rng.integers(0, 3, count)
    rows = [{"text": f"{told[y]} {' '.join(rng.choice(WORDS[4:8], 3))}", "y": int(y)} for y in labels]
    return "\n".join(json.dumps(row) for row in rows).encode()


def put(lab: Lab, data: bytes, purpose: str, **form: object) -> None:
    upload = received(lab.project, lab.alice, data, purpose=purpose, **form)
    upload_verify(upload.pk)
    upload.refresh_from_db()
    assert (upload.state, upload.error_message) == ("ready", "")
    lab.project.refresh_from_db()


def test_from_a_folder_to_a_folder(lab: Lab, run_next: Run, client: Client, tmp_path: Path) -> None:
    put(lab, folder(tmp_path), "checkpoint")
    for seed, use in enumerate((Use.MEMORIES, Use.PROBE)):
        put(lab, texts(40, seed), use, task=str(lab.task(0).pk), classes=3)
    assert [item.x_shape for item in RecordSet.objects.all()] == [[7], [7]]
    cycle_start(
        actor=lab.alice, project=lab.project, kind="sleep",
        recipe={"preset": "night", "passes": 2, "lr": 0.01, "optimizer": "adamw", "batch": 8},
    )  # fmt: skip
    slept = run_next()
    assert slept.state in {State.SUCCEEDED, State.REJECTED}, trainer_log(slept)
    made = slept.result
    assert made is not None
    client.force_login(lab.alice)
    home = client.get(reverse("checkpoint_download", args=[made.pk]))
    with zipfile.ZipFile(io.BytesIO(collected(home))) as archive:
        assert set(archive.namelist()) == {"config.json", "model.safetensors", "tokenizer.json"}
        for member in archive.namelist():
            (tmp_path / member).write_bytes(archive.read(member))
    theirs = library("models.bert.modeling_bert").BertForSequenceClassification.from_pretrained(tmp_path)
    assert theirs.config.id2label == {0: "no", 1: "perhaps", 2: "yes"}
    ids = torch.tensor([[2, 4, 6, 3], [2, 5, 3, 0]])
    ours = load_model(store_path(lab.workspace.pk, made.sha256), family="encoder", config=made.config).eval()
    with torch.no_grad():
        expected = theirs.eval()(input_ids=ids, attention_mask=(ids > 0).long()).logits
        assert torch.allclose(ours(ids.float()), expected, atol=1e-5)
