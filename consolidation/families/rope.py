"""How positions are turned into angles (RoPE): the fields of config.json, in the old spelling and the new.

Old: rope_theta and rope_scaling. New (Transformers 5): rope_parameters, which holds both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from consolidation.errors import shorten
from consolidation.families.described_fields import number, plain, refuse

_KINDS: Final = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")
_KEYS: Final = frozenset({
    "rope_type", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
    "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "short_factor", "long_factor",
    "truncate",
})  # fmt: skip
_THETA: Final = 10_000.0


def read_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """{"rope_theta": number, "rope_scaling": table or None}, whichever way it was spelled.

    Raises:
        NocturneInputError: `hf.config_range`.
    """
    new = config.get("rope_parameters")
    if new is None:
        theta = number(config, "rope_theta", 1.0, 1e12, _THETA)
        return {"rope_theta": theta, "rope_scaling": _scaling(config.get("rope_scaling"))}
    if not isinstance(new, Mapping):
        raise refuse(f"The model's config says rope_parameters = {shorten(new)}; it must be a table.")
    theta = number(new, "rope_theta", 1.0, 1e12, _THETA)
    return {
        "rope_theta": theta,
        "rope_scaling": _scaling({k: v for k, v in new.items() if k != "rope_theta"}),
    }


def new_spelling(clean: Mapping[str, Any]) -> dict[str, Any]:
    """`rope_parameters` from what `read_rope` gave."""
    return {"rope_theta": clean["rope_theta"], **(clean["rope_scaling"] or {"rope_type": "default"})}


def _scaling(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise refuse(f"The model's config says rope_scaling = {shorten(value)}; it must be a table.")
    table = dict(value)
    kind = table.pop("type", None)
    kind = table.pop("rope_type", kind)
    if kind not in _KINDS:
        raise refuse(
            f"The model's config says rope_type = {shorten(kind)}; it must be one of {', '.join(_KINDS)}."
        )
    if unknown := sorted(str(key) for key in table if key not in _KEYS):
        raise refuse(
            f"The model's config has “{shorten(unknown[0])}” among the settings of RoPE, which is not known."
        )
    if kind == "default":
        return None
    return {"rope_type": kind, **{key: plain(key, one) for key, one in sorted(table.items())}}
