"""What comes home is what Transformers itself opens: saved by it, packed, checked, rebuilt, the same answers.

Here and not among the quick tests because importing that library takes seconds.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.consolidation.formats.folders import TOKENIZER, extras, inspected, packed

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore")]

IDS = torch.arange(12).reshape(2, 6) % 29
LLAMA = {
    "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "eos_token_id": 2,
}  # fmt: skip
BERT = {
    "vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip
SCALED = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip

MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA),
    "llama, scaled and tied": (
        "LlamaForCausalLM", "LlamaConfig", LLAMA | {"tie_word_embeddings": True, "rope_parameters": SCALED},
    ),
    "mistral": ("MistralForCausalLM", "MistralConfig", LLAMA | {"sliding_window": 3}),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", LLAMA),
    "gpt2": (
        "GPT2LMHeadModel", "GPT2Config",
        {"vocab_size": 32, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
         "scale_attn_by_inverse_layer_idx": True, "bos_token_id": 0, "eos_token_id": 0},
    ),
    "gpt2 without its prefix": (
        "GPT2Model", "GPT2Config", {"vocab_size": 32, "n_positions": 16, "n_embd": 8, "n_layer": 1,
                                    "n_head": 2, "bos_token_id": 0, "eos_token_id": 0},
    ),
    "bert, classes": ("BertForSequenceClassification", "BertConfig", BERT | {"num_labels": 3}),
    "bert, answers": ("BertForQuestionAnswering", "BertConfig", BERT),
    "bert, words": ("BertForMaskedLM", "BertConfig", BERT),
    "bert": ("BertModel", "BertConfig", BERT),
}  # fmt: skip


def answers(model: Any) -> list[torch.Tensor]:
    with torch.no_grad():
        return [value for value in model.eval()(input_ids=IDS).to_tuple() if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("shard", ["2KB", "1GB"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_home_as_it_went(name: str, shard: str, tmp_path: Path) -> None:
    kind, config, fields = MODELS[name]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, config)(**fields))
    model.save_pretrained(tmp_path / "went", max_shard_size=shard)
    files = {path.name: path.read_bytes() for path in (tmp_path / "went").iterdir()}
    assert (len([file for file in files if file.endswith(".safetensors")]) > 1) == (shard == "2KB")
    work = tmp_path / "work"
    work.mkdir()
    info = inspected(work, packed(files, "zip-deflated"))
    home = tmp_path / "home"
    home.mkdir()
    (home / "model.safetensors").write_bytes((work / "copy").read_bytes())
    for file, content in extras(work, info).items():
        (home / file).write_bytes(content)
    back, about = getattr(transformers, kind).from_pretrained(home, output_loading_info=True)
    assert not any(about[trouble] for trouble in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert back.state_dict().keys() == model.state_dict().keys()
    for ours, theirs in zip(answers(back), answers(model), strict=True):
        assert torch.equal(ours, theirs)
    auto = transformers.AutoConfig.from_pretrained(home)
    assert auto.architectures == [kind]


def test_its_tokenizer_comes_home_too(tmp_path: Path) -> None:
    library = tokenizers.Tokenizer.from_str(json.dumps(TOKENIZER))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=library,
        bos_token="<s>",
        chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
    )
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**MODELS["gpt2"][2]))
    for saved in (fast, model):
        saved.save_pretrained(tmp_path / "went")
    files = {path.name: path.read_bytes() for path in (tmp_path / "went").iterdir()}
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    for file, content in extras(work, inspected(work, packed(files))).items():
        (home / file).write_bytes(content)
    back = transformers.AutoTokenizer.from_pretrained(home)
    text = "ab a b <s> 'tab"
    assert back(text).input_ids == fast(text).input_ids
    assert back.bos_token == "<s>"
    assert back.chat_template == fast.chat_template
