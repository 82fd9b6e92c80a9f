"""LoRA adapters over a tiny BERT: what they answer, what of them learns, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from consolidation.cycle import sleep
from consolidation.errors import NocturneInputError
from consolidation.families.adapter import adapter_of
from consolidation.families.lora import LoraModel
from consolidation.families.lora_pairs import BASE, pairs, scaling, targeted
from consolidation.families.registry import computable, described_family, ensure_computable
from consolidation.families.transformers_library import library
from consolidation.fit import io_widths, vocabulary_of
from consolidation.objectives import objective_of
from consolidation.phases.significance import estimate_fisher
from consolidation.recipe import WakeRecipe, preset
from consolidation.snapshot import fingerprint, read_snapshot, unlike
from consolidation.waking import wake
from consolidation.weights import load_model, save_model
from tests.consolidation.helpers import Recorder, bits
from tests.consolidation.lm_helpers import KINDS, tiny_lm, token_records
from tests.consolidation.lora_helpers import LORA, SPEC, adapted, adapter_tensors, write_adapter
from tests.consolidation.text_helpers import text_records, tiny_bert

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

CPU = torch.device("cpu")


def answers(model: nn.Module, count: int = 7) -> Tensor:
    with torch.no_grad():
        told: Tensor = model(torch.from_numpy(text_records(0, count, 4).inputs()))
    return told


def answers_of_peft(folder: Path, config: dict[str, Any], x: Tensor) -> Tensor:
    """Base and adapter as the two folders that PEFT opens, from the files that `adapted` wrote."""
    base = dict(load_model(folder / "base").nocturne_config)  # type: ignore[arg-type]
    for name in ("theirs", "peft"):
        (folder / name).mkdir()
    (folder / "base").rename(folder / "theirs" / "model.safetensors")
    home = described_family(base).home_config(base)
    if "num_labels" in base:
        home["id2label"] = {str(label): str(label) for label in range(base["num_labels"])}
    (folder / "theirs" / "config.json").write_text(json.dumps(home))
    (folder / "adapter").rename(folder / "peft" / "adapter_model.safetensors")
    (folder / "peft" / "adapter_config.json").write_text(json.dumps(SPEC.home_config(config)))
    kind = "AutoModelForSequenceClassification" if "num_labels" in base else "AutoModelForCausalLM"
    auto = getattr(library("models.auto.modeling_auto"), kind)
    model = pytest.importorskip("peft").PeftModel.from_pretrained(
        auto.from_pretrained(folder / "theirs"), folder / "peft"
    )
    ids = x.long() if "num_labels" in base else (x - 1).clamp_min(0).long()
    with torch.no_grad():
        logits: Tensor = model.eval()(input_ids=ids, attention_mask=(x > 0).long()).logits
    return logits


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_rslora": True, "modules_to_save": None, "task_type": None},
        {"target_modules": r".*layer\.[01]\.attention\.self\.(query|key)", "rank_pattern": {}},
    ],
    ids=["names, patterns, a head", "rslora", "one pattern"],
)
def test_the_answers_are_those_of_peft_on_the_same_files(changes: dict[str, Any], tmp_path: Path) -> None:
    found = answers(adapted(tmp_path, LORA | changes))
    x = torch.from_numpy(text_records(0, 7, 4).inputs())
    expected = answers_of_peft(tmp_path, LORA | changes, x)
    assert float((expected - answers(tiny_bert())).abs().max()) > 0.05
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)


SPEAKERS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"target_modules": ["q_proj", "v_proj", "down_proj"]}),
    "a tied head of its own": (
        "qwen2", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"], "layers_to_transform": None},
    ),
    "layers stored on their side": ("gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
}  # fmt: skip


@pytest.mark.parametrize("case", SPEAKERS)
def test_over_a_language_model_too(case: str, tmp_path: Path) -> None:
    kind, told = SPEAKERS[case]
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 5, "task_type": "CAUSAL_LM", **told}
    base, x = tiny_lm(KINDS[kind]), token_records(5, 13)
    with torch.no_grad():
        alone = base(x)
        model = adapted(tmp_path, config, base)
        found = model(x)
    save_model(model, tmp_path / "went")
    assert load_file(tmp_path / "went").keys() == load_file(tmp_path / "adapter").keys()
    expected, real = answers_of_peft(tmp_path, config, x), x > 0
    assert float((expected - alone)[real].abs().max()) > 0.05
    assert float((found - expected)[real].abs().max()) <= 1e-5 * float(expected[real].abs().max())
    assert vocabulary_of(model) == 24
    assert objective_of(model).name == "language"


def test_only_the_pairs_and_what_came_whole_learn(tmp_path: Path) -> None:
    model = adapted(tmp_path)
    came = load_file(tmp_path / "adapter")
    assert isinstance(model, LoraModel)
    assert {model.nocturne_names[name] for name, _ in model.named_parameters()} == set(came)
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    assert sum(weight.numel() for weight in model.parameters()) == sum(t.numel() for t in came.values())
    prunable = adapter_of(model).prunable(model)
    assert {name.split(".")[-2] for name in prunable} == {"lora_A", "lora_B"}
    assert len(prunable) == 2 * 2 * 4  # two layers of query, value and the two that end in output.dense
    assert [block.__class__.__name__ for block in adapter_of(model).blocks(model)] == ["BertOutput"] * 2
    assert io_widths(model) == (16, 3)
    assert vocabulary_of(model) == vocabulary_of(tiny_bert())


def test_it_goes_home_as_it_came_and_tells_of_its_base(tmp_path: Path) -> None:
    came = {name: tensor.half() for name, tensor in adapter_tensors(LORA).items()}
    save_model(tiny_bert(), tmp_path / "base")
    model = load_model(write_adapter(tmp_path / "adapter", LORA, came), base=tmp_path / "base")
    save_model(model, tmp_path / "went")
    went = load_file(tmp_path / "went")
    assert set(went) == set(came)
    assert all(went[name].dtype == torch.float16 and torch.equal(went[name], came[name]) for name in came)
    again = load_model(tmp_path / "went", base=tmp_path / "base")
    assert bits(again) == bits(model)
    assert again.nocturne_config == model.nocturne_config
    assert computable("lora", model.nocturne_config)  # type: ignore[arg-type]


def test_a_reference_shares_the_frozen_weights(tmp_path: Path) -> None:
    model = adapted(tmp_path)
    other = load_model(write_adapter(tmp_path / "other"), base=model)
    mine, theirs = dict(model.named_buffers()), dict(other.named_buffers())
    assert mine.keys() == theirs.keys()
    assert all(theirs[name] is tensor for name, tensor in mine.items())
    weights = dict(model.named_parameters())
    assert all(weight is not weights[name] for name, weight in other.named_parameters())
    assert torch.equal(answers(other.eval()), answers(model))
    write_adapter(tmp_path / "louder", LORA | {"lora_alpha": 7})
    with pytest.raises(NocturneInputError, match="another rank, scaling") as caught:
        load_model(tmp_path / "louder", base=model)
    assert caught.value.code == "reference.shapes"


def test_the_significance_is_that_of_brute_force_and_of_nothing_frozen(tmp_path: Path) -> None:
    model = adapted(tmp_path)
    records = text_records(0, 6, 2, width=8)
    found = estimate_fisher(
        model, records, samples=6, labels="true", device=CPU, generator=torch.Generator(), seed=0
    )
    weights = dict(model.named_parameters())
    expected = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for row in range(6):
        logits = model(torch.from_numpy(records.inputs(slice(row, row + 1))))
        loss = functional.cross_entropy(logits, torch.tensor([int(records.y[row])]))
        for name, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            expected[name] += gradient.square() / 6
    assert found.tensors.keys() == expected.keys()
    for name, squares in expected.items():
        assert torch.allclose(found.tensors[name], squares, rtol=1e-5, atol=1e-9 * float(squares.max())), name


def test_it_wakes_and_sleeps_and_its_base_stays_as_it_is(tmp_path: Path) -> None:
    model = adapted(tmp_path)
    frozen = {name: tensor.clone() for name, tensor in model.named_buffers()}
    probes = [text_records(0, 60, 9, width=10), text_records(1, 60, 9)]
    lesson = WakeRecipe(epochs=16, batch=16, optimizer="adamw", lr=0.02, memories=40, snapshot_every_s=0)
    first = wake(model, text_records(0, 120, 1, width=10), probes, lesson)
    assert first.memories is not None
    assert first.after["words 0"] > 0.6
    save_model(model, tmp_path / "before")
    second = wake(model, text_records(1, 120, 1), probes, lesson, history=first.matrix)
    assert second.memories is not None
    heard = Recorder()
    recipe = preset(
        "night", passes=8.0, lr=5e-3, optimizer="adamw", batch=8, fisher_samples=24, min_gain=0.0, dream=0.2,
        anchor=0.1, rounds=2, reconstruct="consistency",
    )  # fmt: skip
    folder = tmp_path / "work"
    report = sleep(
        model, [first.memories, second.memories], probes, recipe, history=second.matrix, workdir=folder,
        reference=load_model(tmp_path / "before", base=model), on_event=heard,
    )  # fmt: skip
    assert report.after["words 0"] > second.after["words 0"]
    assert {one["stage"] for one in heard.of("stage_ended")} >= {"merging", "significance", "downscaling"}
    cautions = [one["message"] for one in heard.of("log") if "product BA" in one["message"]]
    assert len(cautions) == 1
    assert report.fisher is not None
    assert set(report.fisher.tensors) == {name for name, _ in model.named_parameters()}
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in model.named_buffers())
    # a snapshot holds what an adapter has, and nothing of the base
    kept = read_snapshot(folder)
    assert kept is not None
    assert not [name for name in kept[0] if name.endswith(tuple(frozen))]


def test_another_base_makes_another_run(tmp_path: Path) -> None:
    model = adapted(tmp_path)
    save_model(tiny_bert(seed=2), tmp_path / "second")
    other = load_model(tmp_path / "adapter", base=tmp_path / "second")
    mine, theirs = (fingerprint("sleep", {}, one, []) for one in (model, other))
    assert unlike(mine, theirs) == ["model"]


# ---------------------------------------------------------------- what is refused


def test_without_a_base_it_is_kept_and_not_computed_with(tmp_path: Path) -> None:
    config = SPEC.validate_config(LORA)
    assert not computable("lora", config)
    with pytest.raises(NocturneInputError, match="a LoRA adapter whose base has not been chosen"):
        ensure_computable("lora", config)
    with pytest.raises(NocturneInputError, match="Give the checkpoint that it was trained on") as caught:
        load_model(write_adapter(tmp_path / "adapter"))
    assert caught.value.code == "peft.base"


Q = f"{BASE}bert.encoder.layer.0.attention.self.query.lora_"
MISFITS: dict[str, tuple[str, str, dict[str, Any], dict[str, Tensor]]] = {
    "wider than the base": (
        "peft.base", "query of 9 inputs and 8 outputs", LORA,
        {f"{Q}A.weight": torch.ones(3, 9), f"{Q}B.weight": torch.ones(8, 3)},
    ),
    "of a layer that is not there": (
        "peft.base", "layer.2.attention.self.query", LORA,
        {f"{Q.replace('layer.0', 'layer.2')}A.weight": torch.ones(3, 8),
         f"{Q.replace('layer.0', 'layer.2')}B.weight": torch.ones(8, 3)},
    ),
    "a head of another size": (
        "peft.base", "classifier.weight of 4 x 8", LORA, {f"{BASE}classifier.weight": torch.ones(4, 8)},
    ),
    "a head that has a pair too": (
        "peft.base", "changed by a pair too", LORA | {"target_modules": ["classifier"]},
        {f"{BASE}classifier.weight": torch.ones(3, 8)},
    ),
    "not named in its config": (
        "peft.pairs", "attention.self.key, which the adapter's config does not name", LORA,
        {f"{Q.replace('query', 'key')}A.weight": torch.ones(2, 8),
         f"{Q.replace('query', 'key')}B.weight": torch.ones(8, 2)},
    ),
    "of the rank of another module": (
        "peft.pairs", "a rank of 3; the file has 2", LORA,
        {f"{Q}A.weight": torch.ones(2, 8), f"{Q}B.weight": torch.ones(8, 2)},
    ),
    "an embedding": (
        "peft.embedding", "no linear layer", LORA,
        {f"{BASE}bert.embeddings.word_embeddings.lora_embedding_A": torch.ones(2, 40),
         f"{BASE}bert.embeddings.word_embeddings.lora_embedding_B": torch.ones(8, 2)},
    ),
    "not a number": (
        "weights.non_finite", "NaN", LORA, {f"{Q}A.weight": torch.full((3, 8), torch.nan)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_an_adapter_that_does_not_fit_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    code, says, config, tensors = MISFITS[case]
    save_model(tiny_bert(), tmp_path / "base")
    write_adapter(tmp_path / "adapter", config, tensors)
    with pytest.raises(NocturneInputError, match=says) as caught:
        load_model(tmp_path / "adapter", base=tmp_path / "base")
    assert caught.value.code == code
    assert len(caught.value.message) < 250


def test_patterns_that_take_for_ever_or_disagree_are_not_believed() -> None:
    pair = pairs({f"{Q}A.weight": (3, 8), f"{Q}B.weight": (8, 3)})[0]
    for changes in (
        {"target_modules": "(a+)+b"},
        {"target_modules": "[z-a]"},
    ):
        with pytest.raises(NocturneInputError, match="pattern") as caught:
            targeted(SPEC.validate_config(LORA | changes), pair.module)
        assert caught.value.code == "peft.pattern"
    twice = SPEC.validate_config(LORA | {"alpha_pattern": {"query": 4, "self.query": 5}})
    with pytest.raises(NocturneInputError, match="several numbers") as caught:
        scaling(twice, pair)
    assert caught.value.code == "peft.pattern"
    usual = SPEC.validate_config(LORA | {"use_rslora": True})
    assert scaling(usual, pair) == pytest.approx(6 / 3**0.5)


def test_a_base_is_one_of_the_models_that_are_known() -> None:
    for base in (
        {"family": "mlp", "config": {}},
        {"family": "lora", "config": LORA},
        "v1",
        {"family": "encoder"},
    ):
        with pytest.raises(NocturneInputError) as caught:
            SPEC.validate_config(LORA | {"base": base})
        assert caught.value.code == "hf.config_range"
