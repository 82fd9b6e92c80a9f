"""The whole way of a GGUF model: from transformers into llama.cpp's format, and by our copy back again.

Not among the fast tests only because loading transformers takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

from consolidation.formats.gguf import open_gguf
from consolidation.formats.region import Region
from consolidation.formats.safetensors import header_bytes
from tests.consolidation.formats.gguf_files import converted, written

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.services


def transformers(module: str = "") -> Any:
    """The library, or a module of it; loaded late, because it takes seconds."""
    return import_module("transformers" + module)


def model(name: str) -> Any:
    """A tiny model with random weights; Llama with fewer keys than queries, and LLaMA 3's positions."""
    hf = transformers()
    torch.manual_seed(0)
    size = {"vocab_size": 96, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    wide = size | {"intermediate_size": 96, "num_key_value_heads": 2, "max_position_embeddings": 64}
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    scaled = {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_theta": 500000.0,
    }  # fmt: skip
    made = {
        "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**wide, **ends)),
        "llama-tied": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**wide, **ends, tie_word_embeddings=True)),
        "llama-3": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**wide, **ends, rope_parameters=scaled)),
        "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**wide, **ends)),
        "gpt2": lambda: hf.GPT2LMHeadModel(
            hf.GPT2Config(vocab_size=96, n_embd=64, n_layer=2, n_head=4, n_positions=64, **ends)
        ),
        "bert": lambda: hf.BertModel(
            hf.BertConfig(**size, intermediate_size=96, max_position_embeddings=64), add_pooling_layer=False
        ),
    }[name]()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 0, 0.2)
    return made.eval()


def fields(config: Any) -> dict[str, Any]:
    """The key-values that llama.cpp's converter writes for such a model."""
    found = {
        "context_length": config.max_position_embeddings, "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers, "attention.head_count": config.num_attention_heads,
        "feed_forward_length": getattr(config, "intermediate_size", 4 * config.hidden_size),
    }  # fmt: skip
    if config.model_type == "gpt2":
        return found | {"attention.layer_norm_epsilon": config.layer_norm_epsilon}
    if config.model_type == "bert":
        return found | {"attention.layer_norm_epsilon": config.layer_norm_eps, "attention.causal": False}
    return found | {
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
    }


def in_gguf(made: Any, path: Path, quantised: dict[str, str] | None = None) -> Path:
    config = made.config
    weights = {
        name: value.numpy().copy()
        for name, value in made.state_dict().items()
        if not (config.tie_word_embeddings and name == "lm_head.weight")
    }
    tensors = converted(config.model_type, weights, fields(config))
    if config.model_type == "llama" and config.rope_parameters["rope_type"] == "llama3":
        tensors["rope_freqs.weight"] = factors(config.rope_parameters, config.head_dim)
    ends = {f"tokenizer.ggml.{name}": getattr(config, name) for name in ("bos_token_id", "eos_token_id")}
    more = {key: value for key, value in ends.items() if value is not None}
    return written(path, config.model_type, tensors, fields(config), more=more, quantised=quantised)


def factors(rope: dict[str, Any], head: int) -> Any:
    """What the frequencies of the positions are divided by, as transformers itself computes them."""
    config = transformers().LlamaConfig(
        hidden_size=4 * head, num_attention_heads=4, head_dim=head, rope_parameters=rope
    )
    scaled, _ = transformers(".modeling_rope_utils").ROPE_INIT_FUNCTIONS["llama3"](
        config, torch.device("cpu")
    )
    plain = 1.0 / rope["rope_theta"] ** (torch.arange(0, head, 2).float() / head)
    return (plain / scaled).numpy()


def folder(path: Path, out: Path) -> Path:
    """Our copy and its companions, as a folder of Hugging Face."""
    out.mkdir()
    source = open_gguf(Region.of(path), filename="model.gguf")
    shapes = {name: (entry.dtype, entry.shape) for name, entry in source.tensors.items()}
    with (out / "model.safetensors").open("wb") as file:
        file.write(header_bytes(shapes, source.metadata))
        for name in source.tensors:
            for piece in source.read(name):
                file.write(piece)
    for name, content in source.companions.items():
        (out / name).write_bytes(content)
    return out


def answers(made: Any) -> Any:
    tokens = torch.arange(40).reshape(2, 20) % 90
    with torch.no_grad():
        out = made(tokens)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


@pytest.mark.parametrize("name", ["llama", "llama-tied", "llama-3", "qwen2", "gpt2", "bert"])
def test_the_model_that_comes_home_answers_as_the_one_that_left(name: str, tmp_path: Path) -> None:
    made = model(name)
    home = folder(in_gguf(made, tmp_path / "model.gguf"), tmp_path / "home")
    more = {"add_pooling_layer": False} if name == "bert" else {}
    back, info = type(made).from_pretrained(home, local_files_only=True, output_loading_info=True, **more)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert torch.equal(answers(back), answers(made))


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_the_weights_are_those_that_transformers_itself_finds(name: str, kind: str, tmp_path: Path) -> None:
    load_gguf_checkpoint = transformers(".modeling_gguf_pytorch_utils").load_gguf_checkpoint
    made = model(name)
    parts = ("attn_q", "attn_k", "ffn_down") if name != "gpt2" else ("attn_qkv", "ffn_down", "ffn_up")
    names = [f"blk.{n}.{part}.weight" for n in range(2) for part in parts]
    path = in_gguf(made, tmp_path / "model.gguf", dict.fromkeys(names, kind))
    theirs = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=made)["tensors"]
    ours = load_file(folder(path, tmp_path / "home") / "model.safetensors")
    assert set(ours) == set(theirs)
    for key, value in ours.items():
        assert torch.equal(value.float(), theirs[key].float()), key
