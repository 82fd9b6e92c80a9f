"""config.json of a model's folder: strict JSON, none of it believed yet, and nothing that asks for code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from consolidation.errors import NocturneInputError, shorten
from consolidation.formats.refusal import refuse
from consolidation.formats.strict_json import read_json

# What makes Transformers or Diffusers import a file that lies beside the weights, or fetch one.
_CODE: Final = ("auto_map", "trust_remote_code", "custom_pipelines", "_attn_implementation_internal")
_ATTENTION: Final = ("attn_implementation", "_attn_implementation", "experts_implementation")


def read_config(raw: bytes, *, name: str) -> dict[str, Any]:
    """The fields of a config.json, adapter_config.json or tokenizer_config.json.

    Raises:
        NocturneInputError: `hf.json`, `hf.config_range` (nested too deeply), `hf.remote_code`,
            `hf.quantized`.
    """
    config = read_json(raw, name=name, deep="hf.config_range")
    for table in _tables(config):
        for key in _CODE:
            if table.get(key):
                raise _remote(name, key)
        for key in _ATTENTION:
            # A name with a slash is a repository from which a kernel is fetched and run.
            if isinstance(table.get(key), str) and ("/" in table[key] or "\\" in table[key]):
                raise _remote(name, key)
    if config.get("quantization_config"):
        kind = config["quantization_config"]
        kind = kind.get("quant_method", "unknown") if isinstance(kind, dict) else kind
        raise refuse(
            "hf.quantized",
            f"The weights are packed by another library ({shorten(kind, 40)}), so they are no plain numbers. "
            "Upload the model as it was before, in 32 or 16 bits.",
        )
    return config


def _tables(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The config and every table in it; its depth is bounded already."""
    level: list[Any] = [config]
    while level:
        one = level.pop()
        if isinstance(one, dict):
            yield one
            level += one.values()
        elif isinstance(one, list):
            level += one


def _remote(name: str, key: str) -> NocturneInputError:
    return refuse(
        "hf.remote_code",
        f"{shorten(name)} asks for code of the repository to be run ({key}). Code that comes with a model is "
        "never run here. Save the model with an architecture of Transformers itself, without that entry.",
    )
