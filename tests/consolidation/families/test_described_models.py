"""Families that a config.json describes: what is believed of it, and which tensors it asks for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from consolidation.errors import NocturneInputError
from consolidation.families.registry import check_shapes, computable, described_family, ensure_computable
from tests.consolidation.formats.folders import BERT, GPT2, LLAMA, LORA

if TYPE_CHECKING:
    from consolidation.families.described import Described


def spec_of(config: dict[str, Any]) -> Described:
    return described_family(config)


def total(config: dict[str, Any]) -> int:
    shapes = spec_of(config).expected_shapes(config)
    assert shapes is not None
    return sum(math.prod(shape) for shape in shapes.values())


# The counts that their papers and pages tell.
KNOWN: dict[str, tuple[int, dict[str, Any]]] = {
    "gpt2": (124_439_808, GPT2 | {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12,
                                  "n_head": 12}),
    "llama-2-7b": (6_738_415_616, LLAMA | {"vocab_size": 32000, "hidden_size": 4096,
                                           "intermediate_size": 11008, "num_hidden_layers": 32,
                                           "num_attention_heads": 32, "num_key_value_heads": 32}),
    "mistral-7b": (7_241_732_096, LLAMA | {"model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096,
                                           "intermediate_size": 14336, "num_hidden_layers": 32,
                                           "num_attention_heads": 32, "num_key_value_heads": 8}),
    "qwen2-0.5b": (494_032_768, LLAMA | {"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
                                         "intermediate_size": 4864, "num_hidden_layers": 24,
                                         "num_attention_heads": 14, "tie_word_embeddings": True}),
    "bert-base": (109_482_240, BERT | {"vocab_size": 30522, "hidden_size": 768, "intermediate_size": 3072,
                                       "num_hidden_layers": 12, "num_attention_heads": 12,
                                       "max_position_embeddings": 512}),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_model_has_as_many_numbers_as_is_known(name: str) -> None:
    count, config = KNOWN[name]
    assert total(config) == count


NAMES: dict[str, tuple[Any, list[str]]] = {
    "its own": ({"0": "POSITIVE", "1": " NEGATIVE"}, ["POSITIVE", "NEGATIVE"]),
    "those that say nothing": ({"0": "LABEL_0", "1": "LABEL_1"}, []),
    "numbers": ({"0": "1", "1": "2"}, []),
    "numbers with a point": ({"0": "1.0", "1": "2."}, []),
    "one twice": ({"0": "good", "1": "Good"}, []),
    "one that is missing": ({"0": "good", "2": "bad"}, []),
    "more than there are": ({"0": "a", "1": "b", "2": "c"}, []),
    "no text": ({"0": "good", "1": None}, []),
    "not to be printed": ({"0": "good", "1": "b\x00d"}, []),
    "too long": ({"0": "good", "1": "b" * 201}, []),
    "no table": (["good", "bad"], []),
}


@pytest.mark.parametrize("case", NAMES)
def test_what_a_classifier_calls_its_classes(case: str) -> None:
    told, names = NAMES[case]
    config = {**BERT, "num_labels": 2, "id2label": told, "head": "sequence-classification"}
    clean = spec_of(config).validate_config(config)
    assert clean["label_names"] == names
    assert spec_of(config).validate_config(clean) == clean
    assert spec_of(config).validate_config({**config, "label_names": ["x", "y"]})["label_names"] in (
        names,
        ["x", "y"],
    )
    assert "label_names" not in spec_of(config).home_config(clean)
    assert spec_of(config).validate_config({**config, "head": "none"})["label_names"] == []


@pytest.mark.parametrize("config", [LLAMA, GPT2, BERT, LORA], ids=["llama", "gpt2", "bert", "lora"])
def test_a_clean_config_stays_as_it_is_and_foreign_fields_are_dropped(config: dict[str, Any]) -> None:
    spec = spec_of(config)
    clean = spec.validate_config({**config, "_name_or_path": "/home/me/model", "auto": {"deep": [1]}})
    assert spec.validate_config(clean) == clean
    assert not {"_name_or_path", "auto"} & set(clean)
    home = spec.home_config({**config, "_name_or_path": "/home/me/model", "dtype": "bfloat16"})
    assert home["dtype"] == "bfloat16"
    assert "_name_or_path" not in home
    assert not set(spec.own) & set(home)


RANGES: dict[str, dict[str, Any]] = {
    "A40-wide": LLAMA | {"hidden_size": 10**9},
    "A40-deep": LLAMA | {"num_hidden_layers": 10**6},
    "A40-negative": LLAMA | {"vocab_size": -1},
    "A40-zero": GPT2 | {"n_layer": 0},
    "A40-text": LLAMA | {"hidden_size": "16"},
    "A40-true": LLAMA | {"num_hidden_layers": True},
    "A40-float": BERT | {"hidden_size": 8.0},
    "A40-not-a-number": LLAMA | {"rms_norm_eps": math.nan},
    "A40-infinite": LLAMA | {"rope_theta": math.inf},
    "A40-missing": {key: value for key, value in LLAMA.items() if key != "intermediate_size"},
    "A40-heads": GPT2 | {"n_head": 3},
    "A40-groups": LLAMA | {"num_key_value_heads": 3},
    "A40-activation": LLAMA | {"hidden_act": "os.system"},
    "A40-rope": LLAMA | {"rope_scaling": {"rope_type": "llama3", "code": "x"}},
    "A40-rope-short": LLAMA | {"rope_scaling": {"type": "longrope", "short_factor": [1.0],
                                                "long_factor": [1.0]}},
    "A40-rope-bare": LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
    "A40-rope-zero": LLAMA | {"rope_scaling": {"rope_type": "linear", "factor": 0.0}},
    "A40-rope-equal": LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
                                                "high_freq_factor": 4.0}},
    "A40-rope-dynamic": LLAMA | {"head_dim": 2, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "A40-odd-head": LLAMA | {"head_dim": 5},
    "A40-layer-types": LLAMA | {"model_type": "qwen2", "layer_types": ["full_attention"]},
    "A40-rope-list": LLAMA | {"rope_parameters": [1]},
    "A40-long-list": LLAMA | {"rope_scaling": {"type": "longrope", "short_factor": [1.0] * 10**5}},
    "A40-prefix": LLAMA | {"prefix": "../"},
    "A40-labels": BERT | {"num_labels": 10**9},
    "A40-decoder": BERT | {"is_decoder": True},
    "A40-relative-positions": BERT | {"position_embedding_type": "relative_key"},
    "A40-rank": LORA | {"r": 10**9},
    "A40-target": LORA | {"target_modules": ["../x"]},
    "A40-other-adapter": LORA | {"use_dora": True},
    "A40-other-kind": LORA | {"peft_type": "IA3"},
}  # fmt: skip


@pytest.mark.parametrize("row", RANGES)
def test_values_out_of_range_are_refused_before_anything_is_made_of_them(row: str) -> None:
    with pytest.raises(NocturneInputError) as caught:
        spec_of(RANGES[row]).validate_config(RANGES[row])
    assert caught.value.code == "hf.config_range"
    assert len(caught.value.message) < 400


def test_an_unknown_architecture_is_told_those_that_are_known() -> None:
    with pytest.raises(NocturneInputError) as caught:
        described_family({"model_type": "mamba"})
    assert caught.value.code == "checkpoint.family_unknown"
    assert "mamba" in caught.value.message
    assert "llama, mistral, qwen2, gpt2, mixtral, bert, LORA" in caught.value.message


def test_both_spellings_of_the_positions_mean_one_thing() -> None:
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    old = LLAMA | {"rope_theta": 5e5, "rope_scaling": {"type": "llama3", **scaling}}
    new = LLAMA | {"rope_parameters": {"rope_theta": 5e5, **scaling}}
    spec = spec_of(LLAMA)
    assert spec.validate_config(old) == spec.validate_config(new)
    assert spec.home_config(new)["rope_parameters"] == {"rope_theta": 5e5, **scaling}
    assert spec.home_config(old)["rope_scaling"] == scaling


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_gpt2_with_and_without_its_prefix(prefix: str) -> None:
    spec = spec_of(GPT2)
    shapes = spec.expected_shapes({**GPT2, "prefix": prefix})
    assert shapes is not None
    assert all(name.startswith(f"{prefix}h.") or name.startswith(prefix) for name in shapes)
    assert spec.layout(GPT2, shapes) == {"prefix": prefix}
    assert spec.left_out(f"{prefix}h.1.attn.bias")
    assert spec.left_out(f"{prefix}h.0.attn.masked_bias")
    assert not any(spec.left_out(name) for name in shapes)


HEADS = {
    "sequence-classification": "classifier.weight",
    "question-answering": "qa_outputs.weight",
    "masked-lm": "cls.predictions.transform.dense.weight",
    "pretraining": "cls.seq_relationship.weight",
    "none": "bert.pooler.dense.weight",
}


@pytest.mark.parametrize("head", HEADS)
def test_the_head_of_a_bert_is_seen_from_its_tensors(head: str) -> None:
    spec = spec_of(BERT)
    pooler = head not in {"question-answering", "masked-lm"}
    shapes = spec.expected_shapes({**BERT, "head": head, "pooler": pooler})
    assert shapes is not None
    assert HEADS[head] in shapes
    found = spec.layout(BERT, shapes)
    assert found == {"prefix": "bert.", "head": head, "pooler": pooler, "norms": "weight"}
    check_shapes(spec, spec.validate_config({**BERT, **found}), shapes)


def test_the_oldest_berts_call_their_norms_gamma_and_beta() -> None:
    spec = spec_of(BERT)
    shapes = spec.expected_shapes({**BERT, "norms": "gamma"})
    assert shapes is not None
    assert "bert.embeddings.LayerNorm.beta" in shapes
    assert spec.layout(BERT, shapes)["norms"] == "gamma"


A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
B = A.replace("lora_A", "lora_B")
PAIRS: dict[str, tuple[bool, dict[str, tuple[int, ...]]]] = {
    "a pair": (True, {A: (4, 16), B: (32, 4)}),
    "an embedding": (True, {"m.lora_embedding_A": (4, 100), "m.lora_embedding_B": (16, 4)}),
    "of another rank": (False, {A: (8, 16), B: (32, 8)}),
    "of two ranks": (False, {A: (4, 16), B: (32, 8)}),
    "alone": (False, {A: (4, 16)}),
    "a foreign tensor": (False, {A: (4, 16), B: (32, 4), "base_model.model.score.weight": (2, 16)}),
    "flat": (False, {A: (4,), B: (32, 4)}),
    "nothing": (False, {}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_two_halves_of_an_adapter(name: str) -> None:
    fits, shapes = PAIRS[name]
    spec = spec_of(LORA)
    clean = spec.validate_config(LORA)
    if fits:
        check_shapes(spec, clean, shapes)
        return
    with pytest.raises(NocturneInputError) as caught:
        check_shapes(spec, clean, shapes)
    assert caught.value.code == "peft.pairs"


def test_a_module_that_was_saved_whole_and_a_rank_of_its_own_are_known() -> None:
    config = LORA | {"modules_to_save": ["score"], "rank_pattern": {"q_proj": 8}}
    shapes = {A: (8, 16), B: (32, 8), "base_model.model.score.weight": (2, 16)}
    check_shapes(spec_of(config), spec_of(config).validate_config(config), shapes)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_language_models_are_computed_with(config: dict[str, Any]) -> None:
    spec = spec_of(config)
    clean = spec.validate_config(config)
    assert computable(spec.name, clean)
    assert spec.objective(clean) == "language"
    assert spec.infer_config({"lm_head.weight": (2, 2)}) is None


def test_an_adapter_alone_is_kept_and_nothing_computes_with_it() -> None:
    spec = spec_of(LORA)
    assert not computable(spec.name, spec.validate_config(LORA))
    assert computable("mlp", {})
    with pytest.raises(NocturneInputError) as caught:
        ensure_computable(spec.name, spec.validate_config(LORA))
    assert caught.value.code == "checkpoint.family_not_yet"
