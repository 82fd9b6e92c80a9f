"""An adapter the whole way: it comes after its base, learns, sleeps, and PEFT opens what goes home."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch
from django.urls import reverse

from consolidation.families.transformers_library import library
from consolidation.weights import load_model
from tests.consolidation.lora_helpers import LORA, SPEC, write_adapter
from tests.consolidation.text_helpers import BERT
from tests.webapp.streams import collected
from tests.workers.conftest import Run, trainer_log
from tests.workers.test_text_whole import CONFIG, folder, put, texts
from webapp.checkpoints.models import Checkpoint
from webapp.core.store import store_path
from webapp.cycles.choices import State
from webapp.cycles.services import cycle_start
from webapp.memories.models import RecordSet, Use

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

    from tests.support.jobs import Lab


def adapter_folder(tmp_path: Path) -> bytes:
    """As save_pretrained of PEFT leaves it, in a zip; without a tokenizer."""
    write_adapter(tmp_path / "adapter", base=BERT | {"vocab_size": 24})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("adapter_config.json", json.dumps(SPEC.home_config(LORA)))
        archive.write(tmp_path / "adapter", "adapter_model.safetensors")
    return packed.getvalue()


def test_from_an_adapter_to_an_adapter(lab: Lab, run_next: Run, client: Client, tmp_path: Path) -> None:
    put(lab, folder(tmp_path), "checkpoint")
    base = lab.project.current
    put(lab, adapter_folder(tmp_path), "checkpoint")
    assert base is not None
    assert lab.project.current is not None
    assert lab.project.current.base == base
    for seed, use in enumerate((Use.TRAINING, Use.MEMORIES, Use.PROBE)):
        put(lab, texts(40, seed), use, task=str(lab.task(0).pk), classes=3)  # read with the base's tokenizer
    lesson = RecordSet.objects.get(use=Use.TRAINING)
    recipe = {"epochs": 1, "batch": 8, "optimizer": "adamw", "lr": 0.01, "memories": 10}
    cycle_start(actor=lab.alice, project=lab.project, kind="wake", recipe=recipe, data=lesson)
    woke = run_next()
    assert woke.state == State.SUCCEEDED, trainer_log(woke)
    lab.project.refresh_from_db()
    assert Checkpoint.objects.get(pk=woke.result.pk).base == base
    cycle_start(
        actor=lab.alice, project=lab.project, kind="sleep",
        recipe={"preset": "night", "passes": 2, "lr": 0.01, "optimizer": "adamw", "batch": 8, "anchor": 0.1},
    )  # fmt: skip
    slept = run_next()
    assert slept.state in {State.SUCCEEDED, State.REJECTED}, trainer_log(slept)
    assert slept.reference == lab.project.current.parent  # the adapter before waking, over the same base
    made = Checkpoint.objects.get(pk=slept.result.pk)
    assert (made.base, made.family) == (base, "lora")
    assert made.size_bytes < base.size_bytes
    client.force_login(lab.alice)
    home = client.get(reverse("checkpoint_download", args=[made.pk]))
    peft = tmp_path / "peft"
    with zipfile.ZipFile(io.BytesIO(collected(home))) as archive:
        assert set(archive.namelist()) == {"adapter_config.json", "adapter_model.safetensors"}
        archive.extractall(peft)
    ours = load_model(
        store_path(lab.workspace.pk, made.sha256), base=store_path(lab.workspace.pk, base.sha256)
    ).eval()
    ids = torch.tensor([[2, 4, 6, 3], [2, 5, 3, 0]])
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "weights").rename(tmp_path / "model.safetensors")
    bert = library("models.bert.modeling_bert").BertForSequenceClassification.from_pretrained(tmp_path)
    theirs = pytest.importorskip("peft").PeftModel.from_pretrained(bert, peft).eval()
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=(ids > 0).long()).logits
        assert torch.allclose(ours(ids.float()), expected, atol=1e-5)
