"""Folders of Transformers: what is taken over to the bit, what is written anew, what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from consolidation.errors import NocturneInputError
from tests.consolidation.formats.files import code_of, mlp_file, mlp_tensors
from tests.consolidation.formats.folders import (
    BERT,
    GPT2,
    KINDS,
    LLAMA,
    TOKENIZER,
    Files,
    extras,
    inspected,
    js,
    model,
    numbers,
    packed,
    safe,
    sharded,
    torch_file,
)


def same(tmp_path: Path, tensors: dict[str, Any]) -> bool:
    copy = load_file(tmp_path / "copy")
    return set(copy) == set(tensors) and all(np.array_equal(copy[name], tensors[name]) for name in copy)


def refused(tmp_path: Path, files: Files | bytes, **options: Any) -> str:
    with pytest.raises(NocturneInputError) as caught:
        inspected(tmp_path, files, **options)
    return code_of(caught)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_read_from_every_kind_of_archive(kind: str, tmp_path: Path) -> None:
    info = inspected(tmp_path, packed(model(LLAMA), kind))
    assert (info["format"], info["family"], info["notes"]) == ("huggingface", "causal_lm", [])
    assert info["config"]["num_key_value_heads"] == 2
    assert same(tmp_path, numbers(LLAMA))
    with safe_open(tmp_path / "copy", "np") as file:
        assert file.metadata()["format"] == "pt"


WEIGHTS = {
    "shards": lambda tensors: sharded(tensors),
    "torch.save": lambda tensors: {"pytorch_model.bin": torch_file(tensors)},
    "shards of torch.save": lambda tensors: sharded(tensors, end="bin", stem="pytorch_model"),
    "another name": lambda tensors: {"consolidated.safetensors": safe(tensors)},
}


@pytest.mark.parametrize("kind", ["zip", "zip-deflated", "tar-gnu"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_come_in_one_file_or_in_many(weights: str, kind: str, tmp_path: Path) -> None:
    tensors = numbers(GPT2)
    files = WEIGHTS[weights](tensors)
    info = inspected(tmp_path, packed({"config.json": js(GPT2)} | files, kind))
    assert (info["format"], info["notes"]) == ("huggingface", [])
    assert same(tmp_path, tensors)


def test_numbers_of_sixteen_bits_stay_as_they_are(tmp_path: Path) -> None:
    tensors = {name: value.astype("f2") for name, value in numbers(BERT).items()}
    info = inspected(tmp_path, model(BERT | {"torch_dtype": "float16"}, tensors))
    assert {one["dtype"] for one in info["tensors"]} == {"F16"}
    assert same(tmp_path, tensors)
    assert json.loads(extras(tmp_path, info)["config.json"])["torch_dtype"] == "float16"


COMPANIONS: Files = {
    "generation_config.json": js({"max_length": 20, "top_p": 0.9, "_from_model_config": True}),
    "tokenizer.json": js(TOKENIZER),
    "tokenizer_config.json": js({
        "tokenizer_class": "LlamaTokenizer", "model_max_length": 1e30, "chat_template": "{{ 7 * 7 }}",
    }),
    "special_tokens_map.json": js({"bos_token": {"content": "<s>", "lstrip": False}}),
    "vocab.json": js({"a": 0, "é": 1}),
    "added_tokens.json": js({"<x>": 4}),
    "merges.txt": b"#version: 0.2\na b\n",
    "vocab.txt": "[PAD]\n[UNK]\nüber\n".encode(),
    "tokenizer.model": b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02",
    "chat_template.jinja": b"{% for m in messages %}{{ m }}{% endfor %}",
}  # fmt: skip


def test_the_small_files_come_along_and_mean_what_they_meant(tmp_path: Path) -> None:
    info = inspected(tmp_path, model(LLAMA) | COMPANIONS)
    found = extras(tmp_path, info)
    assert set(found) == {"config.json", *COMPANIONS}
    assert json.loads(found["tokenizer.json"]) == TOKENIZER
    assert json.loads(found["tokenizer_config.json"])["chat_template"] == "{{ 7 * 7 }}"
    assert json.loads(found["generation_config.json"]) == {"max_length": 20, "top_p": 0.9}
    for name in ("vocab.txt", "merges.txt", "tokenizer.model", "chat_template.jinja"):
        assert found[name] == COMPANIONS[name]
    for name in ("vocab.json", "added_tokens.json", "special_tokens_map.json"):
        assert json.loads(found[name]) == json.loads(COMPANIONS[name])
    assert info["notes"] == []


def test_what_is_not_known_is_left_out_and_said(tmp_path: Path) -> None:
    files = model(LLAMA | {"_name_or_path": "/home/me/secret", "custom": {"deep": [1]}}) | {
        "tokenizer_config.json": js({"vocab_file": "/etc/passwd", "tokenizer_class": "LlamaTokenizer"}),
        "README.md": b"# hello",
        "modeling_mine.py": b"import os",
        "onnx/model.onnx": b"x",
        "training_args.bin": b"\x80\x02.",
    }
    info = inspected(tmp_path, files)
    found = extras(tmp_path, info)
    home = json.loads(found["config.json"])
    assert home["hidden_size"] == 16
    assert not {"_name_or_path", "custom", "prefix"} & set(home)
    assert json.loads(found["tokenizer_config.json"]) == {"tokenizer_class": "LlamaTokenizer"}
    assert info["notes"] == [
        "Fields of config.json that are not known were left out: custom.",
        "Fields of tokenizer_config.json that are not known were left out: vocab_file.",
        "Left out, never opened and never run: modeling_mine.py.",
        "Not taken over: README.md, onnx/model.onnx, training_args.bin.",
    ]


def test_an_output_layer_that_is_the_embedding_is_kept_once(tmp_path: Path) -> None:
    tensors = numbers(GPT2)
    info = inspected(tmp_path, model(GPT2, tensors | {"lm_head.weight": tensors["transformer.wte.weight"]}))
    assert same(tmp_path, tensors)
    assert info["notes"] == ["lm_head.weight is the same as transformer.wte.weight and is kept once."]


def test_one_that_differs_from_the_embedding_is_not_guessed_at(tmp_path: Path) -> None:
    tensors = numbers(GPT2)
    other = tensors["transformer.wte.weight"] + 1
    assert refused(tmp_path, model(GPT2, tensors | {"lm_head.weight": other})) == "checkpoint.tied"
    assert refused(tmp_path, model(GPT2, tensors | {"lm_head.weight": other[:3]})) == "checkpoint.tied"


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_masks_and_position_numbers_are_no_weights(prefix: str, tmp_path: Path) -> None:
    tensors = numbers(GPT2, prefix=prefix)
    masks = {f"{prefix}h.{n}.attn.bias": np.ones((1, 1, 16, 16), "u1") for n in range(2)}
    info = inspected(tmp_path, model(GPT2, tensors | masks))
    assert same(tmp_path, tensors)
    assert info["config"]["prefix"] == prefix
    assert "the mask of the attention" in info["notes"][0]
    tensors = numbers(BERT)
    ids = {"bert.embeddings.position_ids": np.arange(16)[None]}
    (tmp_path / "copy").unlink()
    (tmp_path / "copy.extras").unlink()
    info = inspected(tmp_path, model(BERT, tensors | ids))
    assert same(tmp_path, tensors)
    assert "the numbers of the positions" in info["notes"][0]


def test_a_wrong_shape_a_missing_and_a_foreign_tensor_are_named(tmp_path: Path) -> None:
    tensors = numbers(LLAMA)
    assert refused(tmp_path, model(LLAMA | {"vocab_size": 33}, tensors)) == "checkpoint.shapes"
    fewer = {name: value for name, value in tensors.items() if name != "model.norm.weight"}
    assert refused(tmp_path, model(LLAMA, fewer)) == "checkpoint.shapes"
    more = tensors | {"backdoor.weight": np.zeros(3, "f4")}
    assert refused(tmp_path, model(LLAMA, more)) == "checkpoint.shapes"


def test_a_quantised_model_is_told_to_come_as_it_was_before(tmp_path: Path) -> None:
    config = LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    assert refused(tmp_path, model(config, numbers(LLAMA))) == "hf.quantized"


def test_a_folder_of_one_described_file_needs_no_config(tmp_path: Path) -> None:
    data = mlp_file(tmp_path / "copy").read_bytes()
    (tmp_path / "copy").unlink()
    info = inspected(tmp_path, {"weights.safetensors": data, "notes.txt": b"x"})
    assert (info["format"], info["family"], info["extras"]) == ("safetensors", "mlp", [])
    assert same(tmp_path, mlp_tensors())


NONE: dict[str, tuple[str, Files]] = {
    "nothing": ("hf.no_weights", {"config.json": js(LLAMA)}),
    "no file at all": ("hf.no_weights", {}),
    "two to choose from": ("hf.no_weights", {"a.safetensors": b"x", "b.safetensors": b"y"}),
    "weights below": ("hf.no_weights", {"config.json": js(LLAMA), "sub/model.safetensors": b"x"}),
    "shards without index": ("hf.index_mismatch", {"model-00001-of-00002.safetensors": b"x"}),
    "an archive in an archive": ("archive.nested", {"model.zip": packed(model(LLAMA))}),
    "an unknown architecture": (
        "checkpoint.family_unknown", {"config.json": js({"model_type": "t5"}), "model.safetensors": safe({})},
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", NONE)
def test_a_folder_that_holds_no_model(row: str, tmp_path: Path) -> None:
    code, files = NONE[row]
    assert refused(tmp_path, files) == code


def test_a_mistral_that_says_no_window_has_the_one_that_transformers_takes(tmp_path: Path) -> None:
    mistral = {**LLAMA, "model_type": "mistral"}
    assert inspected(tmp_path, model(mistral))["config"]["sliding_window"] == 4096
    (tmp_path / "copy").unlink()
    (tmp_path / "copy.extras").unlink()
    assert inspected(tmp_path, model({**mistral, "sliding_window": None}))["config"]["sliding_window"] is None
