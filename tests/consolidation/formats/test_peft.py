"""Adapters of PEFT: low-rank pairs without their base, which is named and never fetched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, load_file

from consolidation.errors import NocturneInputError
from tests.consolidation.formats.files import code_of
from tests.consolidation.formats.folders import (
    KINDS,
    LLAMA,
    LORA,
    TOKENIZER,
    Files,
    adapter,
    extras,
    inspected,
    js,
    model,
    packed,
    torch_file,
)


def refused(tmp_path: Path, files: Files) -> str:
    with pytest.raises(NocturneInputError) as caught:
        inspected(tmp_path, files)
    return code_of(caught)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_comes_in_with_its_config(kind: str, tmp_path: Path) -> None:
    config = LORA | {"base_model_name_or_path": "meta/llama", "task_type": "CAUSAL_LM", "eva_config": None}
    files = adapter(config) | {"tokenizer.json": js(TOKENIZER), "README.md": b"x"}
    info = inspected(tmp_path, packed(files, kind))
    assert (info["format"], info["family"]) == ("peft", "lora")
    assert (info["config"]["r"], info["config"]["base_model_name_or_path"]) == (4, "meta/llama")
    copy, came = load_file(tmp_path / "copy"), load(files["adapter_model.safetensors"])
    assert set(copy) == set(came)
    assert all(np.array_equal(copy[name], came[name]) for name in came)
    home = json.loads(extras(tmp_path, info)["adapter_config.json"])
    assert {key: home.get(key) for key in config} == config
    assert "eva_config" not in home
    assert set(extras(tmp_path, info)) == {"adapter_config.json", "tokenizer.json"}
    assert info["notes"] == ["Not taken over: README.md."]


def test_one_of_torch_save_is_read_without_being_loaded(tmp_path: Path) -> None:
    files = adapter()
    tensors = load(files.pop("adapter_model.safetensors"))
    info = inspected(tmp_path, files | {"adapter_model.bin": torch_file(tensors)})
    assert info["format"] == "peft"
    copy = load_file(tmp_path / "copy")
    assert all(np.array_equal(copy[name], tensors[name]) for name in tensors)


def test_beside_a_whole_model_the_adapter_is_left_where_it_is(tmp_path: Path) -> None:
    info = inspected(tmp_path, model(LLAMA) | adapter())
    assert info["format"] == "huggingface"
    assert info["notes"] == ["Not taken over: adapter_config.json, adapter_model.safetensors."]


PAIRS: dict[str, tuple[str, Files]] = {
    "half": ("peft.pairs", adapter(more={"m.lora_A.weight": np.zeros((4, 2), "f4")})),
    "rank": ("peft.pairs", adapter(LORA | {"r": 8})),
    "foreign": ("peft.pairs", adapter(more={"base_model.model.score.weight": np.zeros((2, 2), "f4")})),
    "no rank": ("hf.config_range", adapter({"peft_type": "LORA", "target_modules": ["q"]})),
    "another kind": ("hf.config_range", adapter(LORA | {"peft_type": "PROMPT_TUNING"})),
    "a pattern that takes for ever": (
        "hf.config_range", adapter(LORA | {"target_modules": "(.*)*_proj"}),
    ),
    "A39-code": (
        "hf.remote_code",
        adapter(LORA | {"auto_mapping": {"base_model_class": "X", "parent_library": "os"}}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", PAIRS)
def test_an_adapter_that_fits_nothing_is_refused(row: str, tmp_path: Path) -> None:
    code, files = PAIRS[row]
    assert refused(tmp_path, files) == code


def test_the_class_of_its_base_is_kept_when_it_is_one_of_transformers(tmp_path: Path) -> None:
    mapping = {
        "base_model_class": "LlamaForCausalLM",
        "parent_library": "transformers.models.llama.modeling_llama",
    }
    info = inspected(tmp_path, adapter(LORA | {"auto_mapping": mapping, "megatron_core": "megatron.core"}))
    assert json.loads(extras(tmp_path, info)["adapter_config.json"])["auto_mapping"] == mapping
    assert info["notes"] == []


def test_modules_that_were_saved_whole_come_along(tmp_path: Path) -> None:
    files = adapter(
        LORA | {"modules_to_save": ["score"]}, {"base_model.model.score.weight": np.ones((2, 2), "f4")}
    )
    info = inspected(tmp_path, files)
    assert "base_model.model.score.weight" in {one["name"] for one in info["tensors"]}
