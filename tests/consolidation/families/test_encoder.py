"""The encoder family: BERT for sequence classification, as transformers has it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from consolidation.errors import NocturneInputError
from consolidation.families.adapter import adapter_of
from consolidation.families.registry import (
    FAMILIES,
    computable,
    described_family,
    parameter_count,
    vocabulary,
)
from consolidation.families.transformers_library import library
from consolidation.fit import check_fit, without_probes
from consolidation.memory.sampling import Sampler
from consolidation.memory.store import Records, Transform
from consolidation.weights import load_model, new_model, save_model
from tests.consolidation.helpers import bits, hooks
from tests.consolidation.text_helpers import BERT, text_records, tiny_bert

if TYPE_CHECKING:
    from pathlib import Path

SPEC = FAMILIES["encoder"]


def test_the_answers_are_those_of_transformers_on_the_same_file(tmp_path: Path) -> None:
    model = tiny_bert()
    save_model(model, tmp_path / "model.safetensors", metadata={"format": "pt"})
    labels = {"0": "a", "1": "b", "2": "c"}
    home = described_family(BERT).home_config({**BERT, "num_labels": 3, "id2label": labels})
    (tmp_path / "config.json").write_text(json.dumps(home))
    theirs = library("models.bert.modeling_bert").BertForSequenceClassification.from_pretrained(tmp_path)
    x = torch.from_numpy(text_records(0, 9, 4).inputs())
    ids = x.long()
    with torch.no_grad():
        expected = theirs.eval()(input_ids=ids, attention_mask=(ids != 0).long()).logits
        found = model(x)
    assert float(found.std()) > 0.05
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)


def pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, whether of the second segment, and the records of both: the second begins at the fourth token."""
    ids = torch.from_numpy(text_records(0, 9, 4).inputs()).long()
    second = (torch.arange(ids.shape[1]) >= 3) & (ids != 0)
    return ids, second, (ids + 40 * second).float()


@pytest.mark.parametrize("head", ["sequence-classification", "question-answering"])
def test_the_answers_to_pairs_are_those_of_transformers_on_the_same_file(head: str, tmp_path: Path) -> None:
    asked = head == "question-answering"
    model = tiny_bert(head=head, pooler=not asked, num_labels=2)
    save_model(model, tmp_path / "model.safetensors")
    home = described_family(BERT).home_config({**BERT, "num_labels": 2, "id2label": {"0": "a", "1": "b"}})
    (tmp_path / "config.json").write_text(json.dumps(home))
    name = "BertForQuestionAnswering" if asked else "BertForSequenceClassification"
    theirs = getattr(library("models.bert.modeling_bert"), name).from_pretrained(tmp_path).eval()
    ids, second, x = pairs()
    with torch.no_grad():
        told = theirs(input_ids=ids, attention_mask=(ids != 0).long(), token_type_ids=second.long())
        found, first_only = model(x), model(ids.float())
    assert float((found - first_only).abs().max()) > 0.05
    if not asked:
        assert torch.allclose(found, told.logits, rtol=0, atol=1e-5)
        return
    expected = torch.stack([told.start_logits, told.end_logits], 1)
    inside = second[:, None].expand_as(expected)
    assert found.shape == expected.shape
    assert torch.allclose(found[inside], expected[inside], rtol=0, atol=1e-5)
    assert bool((found[~inside] == -1e4).all())
    # a record of one segment is a text altogether
    assert torch.equal(first_only == -1e4, (ids == 0)[:, None].expand_as(expected))


def test_a_pooler_that_nothing_asks_goes_home_as_it_came(tmp_path: Path) -> None:
    model = tiny_bert(head="question-answering", pooler=True, num_labels=2)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [
        "bert.pooler.dense.weight", "bert.pooler.dense.bias"
    ]  # fmt: skip
    save_model(model, tmp_path / "m")
    assert bits(load_model(tmp_path / "m")) == bits(model)


def test_the_vocabulary_has_every_token_of_both_segments() -> None:
    assert vocabulary("encoder", SPEC.validate_config(BERT)) == 80
    one = SPEC.validate_config(BERT | {"type_vocab_size": 1})
    assert vocabulary("encoder", one) == 40
    with pytest.raises(NocturneInputError, match="has 40, which is no token"):
        check_fit(tiny_bert(type_vocab_size=1), [records([[1, 2], [3, 40]])], "memories")


def test_what_fills_a_record_up_changes_nothing() -> None:
    model = tiny_bert()
    x = torch.from_numpy(text_records(0, 6, 4).inputs())
    wide = torch.zeros(6, 16)
    wide[:, :12] = x
    with torch.no_grad():
        alone = torch.cat([model(row[None]) for row in x])
        assert torch.allclose(model(wide), model(x), rtol=0, atol=1e-6)
        assert torch.allclose(model(x), alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prefix", ["bert.", ""])
@pytest.mark.parametrize("norms", ["weight", "gamma"])
def test_tensors_go_home_under_the_names_and_in_the_numbers_that_they_came_in(
    prefix: str, norms: str, tmp_path: Path
) -> None:
    config = SPEC.validate_config(BERT | {"prefix": prefix, "norms": norms})
    shapes = SPEC.expected_shapes(config)
    assert shapes is not None
    rng = torch.Generator().manual_seed(0)
    given = {name: torch.randn(shape, generator=rng).half() for name, shape in shapes.items()}
    save_file(given, tmp_path / "came")
    model = load_model(tmp_path / "came", family="encoder", config=config)
    assert sum(p.numel() for p in model.parameters()) == parameter_count("encoder", config)
    save_model(model, tmp_path / "went")
    again = load_file(tmp_path / "went")
    assert set(again) == set(given)
    for name, tensor in given.items():
        assert again[name].dtype == torch.float16
        assert torch.equal(again[name], tensor), name
    assert bits(load_model(tmp_path / "went")) == bits(model)


def test_a_seed_makes_one_model_and_leaves_the_others_random_numbers_alone() -> None:
    torch.manual_seed(5)
    first = new_model("encoder", BERT, 3)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    assert bits(first) == bits(new_model("encoder", BERT, 3))
    assert bits(first) != bits(new_model("encoder", BERT, 4))


def test_blocks_are_the_layers_and_only_their_matrices_are_pruned() -> None:
    model = tiny_bert()
    adapter = adapter_of(model)
    assert len(adapter.blocks(model)) == 2
    prunable = adapter.prunable(model)
    assert len(prunable) == 2 * 6
    assert all(
        name.startswith("bert.encoder.layer.") and weight.dim() == 2 for name, weight in prunable.items()
    )
    assert hooks(model) == 0


@pytest.mark.parametrize("head", ["none", "masked-lm", "token-classification"])
def test_other_heads_are_kept_and_not_computed_with(head: str, tmp_path: Path) -> None:
    config = SPEC.validate_config(BERT | {"head": head, "pooler": head == "none"})
    assert not computable("encoder", config)
    shapes = SPEC.expected_shapes(config)
    assert shapes is not None
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "m")
    with pytest.raises(NocturneInputError, match="cannot train them") as caught:
        new_model("encoder", config, 0)
    assert caught.value.code == "checkpoint.family_not_yet"
    with pytest.raises(NocturneInputError, match="a model of the family encoder with head = ") as caught:
        load_model(tmp_path / "m", family="encoder", config=config)
    assert caught.value.code == "checkpoint.family_not_yet"


def test_without_transformers_the_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(NocturneInputError, match=r"pip install 'nocturne\[llm\]'") as caught:
        new_model("encoder", BERT, 0)
    assert caught.value.code == "family.extra"


# ---------------------------------------------------------------- records that are no text for this model


def records(x: Any, y: Any = (0, 1), **more: Any) -> Records:
    return Records(task="words", x=np.asarray(x), y=np.asarray(y), classes=3, **more)


MISFITS: dict[str, tuple[str, str, Records]] = {
    "longer than the context": ("records.width", "reads at most 16", records(np.ones((2, 17), "u1"))),
    "an unknown token": ("records.token", "Record 1 .* has 80, which", records([[1, 2], [3, 80]])),
    "below zero": ("records.token", "Record 0 .* has -1", records([[-1, 2], [3, 4]])),
    "between two tokens": ("records.token", "has 2.5", records([[1, 2.5], [3, 4]])),
    "no token at all": ("records.token", "Record 1 .* no token at all", records([[1, 2], [0, 0]])),
    "amounts": ("records.transform", "no amounts", records([[1], [2]], transform=Transform(mean=1))),
    "another head": ("records.classes", "tells 3 apart", Records(
        task="words", x=np.ones((2, 4), "u1"), y=np.array([0, 3]), classes=4)),
    "logits of another head": ("records.classes", "tells 3 apart", Records(
        task="words", x=np.ones((2, 4), "u1"), y=np.array([0, 1]), classes=4, z=np.zeros((2, 4), "f2"))),
    "not a number": ("records.non_finite", "NaN", records([[1, np.nan], [3, 4]])),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_records_that_are_no_text_for_this_model_are_refused_in_a_sentence(case: str) -> None:
    code, says, given = MISFITS[case]
    with pytest.raises(NocturneInputError, match=says) as caught:
        check_fit(tiny_bert(), [given], "memories")
    assert caught.value.code == code
    assert len(caught.value.message) < 250


def test_a_text_in_a_probe_is_found_among_the_memories_however_far_it_is_filled_up() -> None:
    text = [[5, 6, 7, 0], [8, 9, 0, 0]]
    wide = np.zeros((2, 9), np.int32)
    wide[:, :4] = text
    wide[1, 0] = 30
    left, dropped = without_probes([records(np.array(text, "u1"))], [records(wide)], "memories")
    assert dropped == 1
    assert left[0].x.tolist() == [[8, 9, 0, 0]]


def test_sets_of_several_lengths_make_one_batch() -> None:
    sampler = Sampler([text_records(0, 7, 1, width=6), text_records(1, 7, 1, width=10)], 6)
    for _ in range(8):  # from the files, later from memory
        batch = sampler.next(3, torch.device("cpu"))
        narrow = batch.task == 0
        assert batch.x.shape == (6, 10)
        assert int(narrow.sum()) == 3
        assert not batch.x[narrow, 6:].any()
        assert bool((batch.x[:, :4] > 0).all())
