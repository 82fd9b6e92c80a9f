"""What the description beside the weights says: config.json of Transformers, adapter_config.json of PEFT.

Neither is kept as it came: what goes home is written anew from the fields that the family knows, so nothing
in it that asks for code, or names a path, ever comes back.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from consolidation.errors import shorten
from consolidation.families.registry import described_family
from consolidation.formats.hf_config import read_config
from consolidation.formats.pattern_check import danger
from consolidation.formats.refusal import refuse
from consolidation.formats.strict_json import write_json
from consolidation.formats.tokenizer_files import companions

if TYPE_CHECKING:
    from consolidation.formats.folder import Folder
    from consolidation.formats.tensor_source import TensorSource

_CONFIG, _ADAPTER = "config.json", "adapter_config.json"
_CONFIG_BYTES: Final = 4 * 2**20
_LIBRARY: Final = re.compile(r"transformers\.models\.[a-z0-9_]+\.modeling_[a-z0-9_]+")
# Settings of other kinds of adapters, which PEFT writes into every config.
_IDLE: Final = frozenset({"megatron_core", "qalora_group_size", "init_lora_weights", "add_cross_attention"})
_SHOWN: Final = 6


def open_transformers(folder: Folder, weights: TensorSource) -> TensorSource:
    """The weights of a folder with config.json, with what belongs to them.

    Raises:
        NocturneInputError: `hf.*`, `tokenizer.limit`, `checkpoint.family_unknown`.
    """
    return _described(folder, weights, _CONFIG, _read(folder, _CONFIG), "huggingface")


def open_adapter(folder: Folder, weights: TensorSource) -> TensorSource:
    """The weights of an adapter's folder, with what belongs to them.

    Raises:
        NocturneInputError: as `open_transformers`.
    """
    config = _read(folder, _ADAPTER)
    mapping = config.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else mapping
    if library and not (isinstance(library, str) and _LIBRARY.fullmatch(library)):
        raise refuse(
            "hf.remote_code",
            f"{_ADAPTER} asks for code of {shorten(library, 60)} to be imported. Code that comes with a "
            "model is never run here. Save the adapter with auto_mapping left empty.",
        )
    pattern = config.get("target_modules")
    if isinstance(pattern, str) and (why := danger(pattern)):
        raise refuse(
            "hf.config_range",
            f"{_ADAPTER} has a pattern in target_modules that {why}. Name the modules instead.",
        )
    return _described(folder, weights, _ADAPTER, config, "peft")


def _read(folder: Folder, name: str) -> dict[str, Any]:
    if folder.size(name) > _CONFIG_BYTES:
        raise refuse(
            "hf.config_range",
            f"{name} has {folder.size(name):,} bytes; at most {_CONFIG_BYTES:,} are read. Save the model "
            "again.",
        )
    return read_config(folder.region(name).read(), name=name)


def _described(
    folder: Folder, weights: TensorSource, name: str, config: dict[str, Any], format_: str
) -> TensorSource:
    home = described_family(config).home_config(config)
    files, notes = companions(folder, {name: write_json(home, name=name)})
    if dropped := _dropped(config, home):
        shown = ", ".join(shorten(key, 30) for key in dropped[:_SHOWN])
        more = ", ..." if len(dropped) > _SHOWN else ""
        notes.insert(0, f"Fields of {name} that are not known were left out: {shown}{more}.")
    # Transformers opens only safetensors that say for which library they were written.
    return replace(
        weights,
        format=format_,
        metadata={**weights.metadata, "format": "pt"},
        config=config,
        companions=files,
        notes=(*weights.notes, *notes),
    )


def _dropped(config: dict[str, Any], home: dict[str, Any]) -> list[str]:
    """Fields that said something and do not come home; those with an underscore are notes of a library."""
    spelled = {"hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings"}
    again = spelled | {"rope_theta", "rope_scaling", "rope_parameters"}
    return sorted(
        key
        for key, value in config.items()
        if key not in home and key not in again and key not in _IDLE and not key.startswith("_") and value
    )
