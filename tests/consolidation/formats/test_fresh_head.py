"""A bare BERT gets a head at the door; what it had stays to the bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save

from consolidation.errors import NocturneInputError
from consolidation.formats.checkpoint import extras_path, inspect_checkpoint
from consolidation.formats.fresh_head import CLASSIFICATION, QUESTIONS, Head
from consolidation.weights import load_model
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.folders import BERT, GPT2, js, model, numbers, packed

if TYPE_CHECKING:
    from pathlib import Path

NEW = {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}


def taken_in(folder: Path, tensors: dict[str, Any], head: Head | None, config: Any = BERT) -> dict[str, Any]:
    path = folder / "model.zip"
    path.write_bytes(packed(model(config, tensors), "zip"))
    return inspect_checkpoint(path, out=folder / "out", head=head)


def bare(**own: Any) -> dict[str, Any]:
    return numbers(BERT, prefix="", head="none", **own)


def test_a_bare_bert_gets_a_pooler_and_a_classifier(tmp_path: Path) -> None:
    old = bare(pooler=False)
    info = taken_in(tmp_path, old, Head(CLASSIFICATION, 5, seed=3))
    new = load_file(tmp_path / "out")
    assert set(new) - {f"bert.{name}" for name in old} == NEW
    assert all(np.array_equal(new[f"bert.{name}"], value) for name, value in old.items())
    assert info["config"]["num_labels"] == 5
    assert new["classifier.weight"].shape == (5, 8)
    assert not new["classifier.bias"].any() and not new["bert.pooler.dense.bias"].any()
    made = np.concatenate([new["classifier.weight"].ravel(), new["bert.pooler.dense.weight"].ravel()])
    assert 0.015 < made.std() < 0.025
    assert "A new head for 5 classes was added, with a pooler" in info["notes"][-1]


def test_the_config_that_goes_home_names_the_new_model(tmp_path: Path) -> None:
    info = taken_in(tmp_path, bare(), Head(CLASSIFICATION, 2))
    extra = next(extra for extra in info["extras"] if extra["name"] == "config.json")
    with extras_path(tmp_path / "out").open("rb") as file:
        file.seek(extra["offset"])
        home = json.loads(file.read(extra["size"]))
    assert home["architectures"] == ["BertForSequenceClassification"]
    assert home["id2label"] == {"0": "LABEL_0", "1": "LABEL_1"}


def test_it_can_be_computed_with(tmp_path: Path) -> None:
    taken_in(tmp_path, bare(), Head(CLASSIFICATION, 3))
    model: Any = load_model(tmp_path / "out")
    assert model(torch.tensor([[2.0, 3.0, 0.0]])).shape == (1, 3)


def test_the_same_seed_gives_the_same_head(tmp_path: Path) -> None:
    found = []
    for seed in (1, 1, 2):
        taken_in(tmp_path, bare(), Head(CLASSIFICATION, 2, seed))
        found.append(load_file(tmp_path / "out")["classifier.weight"])
        (tmp_path / "out").unlink()
        extras_path(tmp_path / "out").unlink()
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_question_answering_needs_no_pooler(tmp_path: Path) -> None:
    info = taken_in(tmp_path, bare(pooler=False), Head(QUESTIONS, classes=9))
    assert load_file(tmp_path / "out")["qa_outputs.weight"].shape == (2, 8)
    assert (info["config"]["head"], info["config"]["pooler"]) == ("question-answering", False)


def test_a_head_that_predicts_words_makes_room(tmp_path: Path) -> None:
    tensors = numbers(BERT, head="pretraining", pooler=True)
    info = taken_in(tmp_path, tensors, Head(CLASSIFICATION))
    new = load_file(tmp_path / "out")
    assert not any(name.startswith("cls.") for name in new)
    assert np.array_equal(new["bert.pooler.dense.weight"], tensors["bert.pooler.dense.weight"])
    assert "predicted words was left out" in info["notes"][-1]


@pytest.mark.parametrize("kind", ["<f2", "bf16"])
def test_a_head_has_the_models_own_number_format(kind: str, tmp_path: Path) -> None:
    dtype = torch.bfloat16 if kind == "bf16" else torch.float16
    weights = {name: torch.from_numpy(value).to(dtype) for name, value in bare().items()}
    files = {"config.json": js(BERT), "model.safetensors": save(weights)}
    (tmp_path / "m.zip").write_bytes(packed(files, "zip"))
    info = inspect_checkpoint(tmp_path / "m.zip", out=tmp_path / "out", head=Head(CLASSIFICATION))
    assert {tensor["dtype"] for tensor in info["tensors"]} == {"BF16" if kind == "bf16" else "F16"}
    model = load_model(tmp_path / "out")
    made = next(value for name, value in model.named_parameters() if name == "classifier.weight")
    assert 0.005 < float(made.detach().float().std()) < 0.05


@pytest.mark.parametrize(
    ("tensors", "config", "says"),
    [
        (numbers(BERT, head="sequence-classification"), BERT, "has a head for sequence classification"),
        (numbers(BERT, head="question-answering", pooler=False), BERT, "has a head for question answering"),
        (numbers(GPT2), GPT2, "this is of the family causal_lm"),
    ],
)  # fmt: skip
def test_who_has_a_head_gets_no_other(tensors: Any, config: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(NocturneInputError, match=says) as caught:
        taken_in(tmp_path, tensors, Head(CLASSIFICATION), config)
    assert code_of(caught) == "checkpoint.head"
    assert not (tmp_path / "out").exists()
