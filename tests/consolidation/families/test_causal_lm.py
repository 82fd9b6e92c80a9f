"""The causal_lm family: Llama, Mistral, Qwen2 and GPT-2, as transformers has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from consolidation.families.adapter import adapter_of
from consolidation.families.causal_lm import CausalLmAdapter
from consolidation.families.registry import described_family, family_spec, parameter_count, vocabulary
from consolidation.families.transformers_library import library
from consolidation.weights import load_model, new_model, save_model
from tests.consolidation.helpers import bits, hooks
from tests.consolidation.lm_helpers import GPT2, KINDS, LLAMA, tiny_lm, token_records

if TYPE_CHECKING:
    from pathlib import Path

SPEC = family_spec("causal_lm")
FACTORS = {"short_factor": [1.0, 1.5], "long_factor": [2.0, 3.0]}
ROPE: dict[str, dict[str, Any]] = {
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 6},
    "longrope": {"factor": 4.0, "original_max_position_embeddings": 6, **FACTORS},
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8},
}  # fmt: skip
ALL: dict[str, dict[str, Any]] = {
    **KINDS,
    "mistral without a window": KINDS["mistral"] | {"sliding_window": None},
    "qwen2 with windows": KINDS["qwen2"] | {
        "sliding_window": 3, "use_sliding_window": True, "max_window_layers": 1},
    "qwen2 with a list": KINDS["qwen2"] | {
        "sliding_window": 3, "use_sliding_window": True,
        "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2, scaled, untied": GPT2 | {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False,
                                    "reorder_and_upcast_attn": True, "tie_word_embeddings": False,
                                    "n_inner": 11},
    **{f"rope {kind}": LLAMA | {"rope_scaling": {"rope_type": kind, **t}} for kind, t in ROPE.items()},
}  # fmt: skip


def theirs(model: nn.Module, config: dict[str, Any], folder: Path) -> Any:
    """The model as transformers loads what we save."""
    save_model(model, folder / "model.safetensors")
    home = described_family(config).home_config(config)
    (folder / "config.json").write_text(json.dumps(home))
    return library("models.auto.modeling_auto").AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize("kind", ALL)
def test_the_answers_are_those_of_transformers_on_the_same_file(kind: str, tmp_path: Path) -> None:
    model = tiny_lm(ALL[kind])
    x = token_records(5, 13)
    with torch.no_grad():
        found = model(x)
        other = theirs(model, ALL[kind], tmp_path)
        expected = other(input_ids=(x - 1).clamp_min(0).long(), attention_mask=(x > 0).long()).logits
    assert found.shape == (5, 13, 23)
    assert float(found.std()) > 0.05
    real = x > 0
    assert float((found - expected)[real].abs().max()) <= 1e-5 * float(expected[real].abs().max())


def test_windows_and_scaled_positions_are_seen_in_the_answers() -> None:
    """Else the comparison with transformers would say little."""
    x = token_records(3, 13)
    plain = {"mistral": "mistral without a window", "qwen2 with windows": "qwen2"}
    plain |= {f"rope {kind}": "llama" for kind in ROPE if kind != "dynamic"}  # dynamic: beyond the context
    for kind, without in plain.items():
        with torch.no_grad():
            apart = tiny_lm(ALL[kind])(x) - tiny_lm(ALL[without])(x)
        assert float(apart.abs().max()) > 1e-3, kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_fills_a_record_up_changes_no_token_and_is_cut(kind: str) -> None:
    model, x = tiny_lm(KINDS[kind]), token_records(4, 9)
    wide = torch.cat([x, torch.zeros(4, 6)], 1)
    with torch.no_grad():
        together = model(wide)
        assert torch.equal(together, model(x))
        for row, told in zip(x, together, strict=True):
            length = int((row > 0).sum())
            assert torch.allclose(model(row[None, :length])[0], told[:length], rtol=0, atol=1e-5)
        assert model(torch.zeros(2, 7)).shape == (2, 1, 23)


def test_a_token_with_the_id_0_is_a_token() -> None:
    model, x = tiny_lm(LLAMA), torch.ones(1, 4)
    assert model(x).shape == (1, 4, 23)
    assert vocabulary("causal_lm", LLAMA) == 24


@pytest.mark.parametrize("config", [KINDS["llama, tied, with offsets"], GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("bare", [False, True])
def test_tensors_go_home_under_the_names_and_in_the_numbers_that_they_came_in(
    bare: bool, config: dict[str, Any], tmp_path: Path
) -> None:
    clean = SPEC.validate_config(config | ({"prefix": ""} if bare else {}))
    shapes = SPEC.expected_shapes(clean)
    assert shapes is not None
    rng = torch.Generator().manual_seed(0)
    given = {name: torch.randn(shape, generator=rng).half() for name, shape in shapes.items()}
    save_file(given, tmp_path / "came")
    model = load_model(tmp_path / "came", family="causal_lm", config=clean)
    assert sum(p.numel() for p in model.parameters()) == parameter_count("causal_lm", clean)
    save_model(model, tmp_path / "went")
    again = load_file(tmp_path / "went")
    assert set(again) == set(given)
    assert all(torch.equal(again[name], tensor) for name, tensor in given.items())
    assert bits(load_model(tmp_path / "went")) == bits(model)


def test_a_tied_output_layer_is_one_parameter_that_learns_by_both_its_uses() -> None:
    model = tiny_lm(KINDS["qwen2"])
    names = [name for name, _ in model.named_parameters()]
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in [*names, *model.state_dict()]
    model(torch.full((1, 3), 5.0)).sum().backward()
    gradient = model.get_parameter("model.embed_tokens.weight").grad
    assert gradient is not None
    assert int((gradient.abs().sum(1) > 0).sum()) == 23
    assert torch.equal(
        model.get_parameter("lm_head.weight"), model.get_parameter("model.embed_tokens.weight")
    )


def test_a_seed_makes_one_model_and_leaves_the_others_random_numbers_alone() -> None:
    torch.manual_seed(5)
    first = new_model("causal_lm", LLAMA, 3)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    assert bits(first) == bits(new_model("causal_lm", LLAMA, 3))
    assert bits(first) != bits(new_model("causal_lm", LLAMA, 4))


@pytest.mark.parametrize(("kind", "matrices"), [("llama", 7), ("gpt2", 4)])
def test_blocks_are_the_layers_and_only_their_matrices_are_pruned(kind: str, matrices: int) -> None:
    model = tiny_lm(KINDS[kind])
    adapter = adapter_of(model)
    assert len(adapter.blocks(model)) == 2
    prunable = adapter.prunable(model)
    assert len(prunable) == 2 * matrices
    outputs = {name: weight.shape[CausalLmAdapter.output_dim(name)] for name, weight in prunable.items()}
    for name, layer in model.named_modules():
        if f"{name}.weight" in prunable:
            expected = layer.out_features if isinstance(layer, nn.Linear) else layer.bias.numel()
            assert outputs[f"{name}.weight"] == expected
    assert all(".layers." in name or ".h." in name for name in prunable)
    assert hooks(model) == 0
