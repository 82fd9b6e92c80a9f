"""Models' folders as Transformers and PEFT write them, small, and packed in every way."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from consolidation.families.registry import described_family
from consolidation.formats.checkpoint import inspect_checkpoint

LLAMA: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "model_type": "gpt2", "vocab_size": 32, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2,
}  # fmt: skip
BERT: dict[str, Any] = {
    "model_type": "bert", "vocab_size": 32, "hidden_size": 8, "intermediate_size": 16,
    "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16,
}  # fmt: skip
LORA: dict[str, Any] = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"], "lora_alpha": 8}

TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [
        {"id": 0, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True},
    ],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
    "pre_tokenizer": {
        "type": "Split",
        "pattern": {"Regex": r"'s|'t| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"},
        "behavior": "Isolated",
        "invert": False,
    },
    "model": {"type": "BPE", "vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3}, "merges": ["a b"]},
}  # fmt: skip

Files = dict[str, bytes]
KINDS = ("zip", "zip-deflated", "tar-gnu", "tar-pax", "tar.gz")


def numbers(config: dict[str, Any], **own: Any) -> dict[str, Any]:
    """A tensor for each that the config asks for, no two alike."""
    shapes = described_family(config).expected_shapes({**config, **own})
    assert shapes is not None
    rng = np.random.default_rng(7)
    return {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}


def js(value: Any) -> bytes:
    return json.dumps(value).encode()


def safe(tensors: dict[str, Any]) -> bytes:
    return bytes(save(tensors, metadata={"format": "pt"}))


def torch_file(tensors: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(value.copy()) for name, value in tensors.items()}, buffer)
    return buffer.getvalue()


def model(config: dict[str, Any], tensors: dict[str, Any] | None = None) -> Files:
    """config.json and model.safetensors."""
    return {"config.json": js(config), "model.safetensors": safe(tensors or numbers(config))}


def sharded(tensors: dict[str, Any], *, end: str = "safetensors", stem: str = "model") -> Files:
    """Two shards and their index, each tensor alternately in one of them."""
    names = [f"{stem}-0000{number}-of-00002.{end}" for number in (1, 2)]
    places = {tensor: names[number % 2] for number, tensor in enumerate(sorted(tensors))}
    pack = safe if end == "safetensors" else torch_file
    files = {
        name: pack({tensor: tensors[tensor] for tensor in tensors if places[tensor] == name})
        for name in names
    }
    total = sum(value.nbytes for value in tensors.values())
    files[f"{stem}.{end}.index.json"] = js({"metadata": {"total_size": total}, "weight_map": places})
    return files


def adapter(config: dict[str, Any] | None = None, more: dict[str, Any] | None = None) -> Files:
    """An adapter of two layers, and perhaps more tensors."""
    base = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    pairs = {
        base.format(layer, half): np.full(shape, layer + 1, "f4")
        for layer in range(2)
        for half, shape in (("A", (4, 16)), ("B", (32, 4)))
    }
    return {
        "adapter_config.json": js(config or LORA),
        "adapter_model.safetensors": safe(pairs | (more or {})),
    }


def packed(files: Files, kind: str = "zip", *, top: str = "my-model/") -> bytes:
    """The folder as one file."""
    buffer = io.BytesIO()
    if kind.startswith("zip"):
        method = zipfile.ZIP_DEFLATED if kind == "zip-deflated" else zipfile.ZIP_STORED
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(top + name), content, method)
        return buffer.getvalue()
    form = tarfile.GNU_FORMAT if kind == "tar-gnu" else tarfile.PAX_FORMAT
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1) if kind == "tar.gz" else buffer.getvalue()


def inspected(tmp_path: Path, data: bytes | Files, **options: Any) -> dict[str, Any]:
    """What the inspector says of an archive, or of files as a zip; nothing but the copy may be left."""
    path, out = tmp_path / "model.zip", tmp_path / "copy"
    path.write_bytes(data if isinstance(data, bytes) else packed(data))
    try:
        return inspect_checkpoint(path, out=out, **options)
    finally:
        assert {left.name for left in tmp_path.iterdir()} <= {"model.zip", "copy", "copy.extras"}


def extras(tmp_path: Path, info: dict[str, Any]) -> Files:
    """The companions of the copy, by name."""
    data = (tmp_path / "copy.extras").read_bytes() if info["extras"] else b""
    return {one["name"]: data[one["offset"] : one["offset"] + one["size"]] for one in info["extras"]}
