"""How positions are turned into angles (RoPE): the fields of config.json, in the old spelling and the new.

Old: rope_theta and rope_scaling. New (Transformers 5): rope_parameters, which holds both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from consolidation.errors import shorten
from consolidation.families.described_fields import MOST_PLACES, first, flag, number, plain, refuse, whole

_KINDS: Final = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")
_KEYS: Final = frozenset({
    "rope_type", "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
    "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "short_factor", "long_factor",
    "truncate",
})  # fmt: skip
_THETA: Final = 10_000.0
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "linear": ("factor",), "dynamic": ("factor",), "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
}  # fmt: skip
_RANGES: Final = {
    "factor": (1e-3, 1e6), "low_freq_factor": (1e-3, 1e6), "high_freq_factor": (1e-3, 1e6),
    "attention_factor": (0.0, 1e3), "beta_fast": (1e-3, 1e6), "beta_slow": (1e-3, 1e6),
    "mscale": (0.0, 1e3), "mscale_all_dim": (0.0, 1e3),
}  # fmt: skip


def read_rope(config: Mapping[str, Any], head: int) -> dict[str, Any]:
    """{"rope_theta": number, "rope_scaling": table or None}, whichever way it was spelled.

    Args:
        head: numbers of one head.

    Raises:
        NocturneInputError: `hf.config_range`.
    """
    new = config.get("rope_parameters")
    if new is None:
        theta = number(config, "rope_theta", 2.0, 1e12, _THETA)
        return {"rope_theta": theta, "rope_scaling": _scaling(config.get("rope_scaling"), head)}
    if not isinstance(new, Mapping):
        raise refuse(f"The model's config says rope_parameters = {shorten(new)}; it must be a table.")
    theta = number(new, "rope_theta", 2.0, 1e12, _THETA)
    return {
        "rope_theta": theta,
        "rope_scaling": _scaling({k: v for k, v in new.items() if k != "rope_theta"}, head),
    }


def new_spelling(clean: Mapping[str, Any]) -> dict[str, Any]:
    """`rope_parameters` from what `read_rope` gave."""
    return {"rope_theta": clean["rope_theta"], **(clean["rope_scaling"] or {"rope_type": "default"})}


def _scaling(value: Any, head: int) -> dict[str, Any] | None:
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
    found = {key: plain(key, one) for key, one in sorted(table.items())}
    _check(kind, found, head)
    return {"rope_type": kind, **found}


def _check(kind: str, table: Mapping[str, Any], head: int) -> None:
    """That angles can be made of it: nothing is missing, no number is absurd."""
    for key in _NEEDED[kind]:
        first(table, key)
    for key, (least, most) in _RANGES.items():
        number(table, key, least, most, least)
    whole(table, "original_max_position_embeddings", 2, MOST_PLACES, 2)
    flag(table, "truncate", True)
    if kind == "dynamic" and head < 4:
        raise refuse(f"Dynamic positions (rope_type) need heads of four numbers; these have {head}.")
    if kind == "llama3" and not table["low_freq_factor"] < table["high_freq_factor"]:
        raise refuse(
            "The model's config says that high_freq_factor is not above low_freq_factor; it must be."
        )
    for key in ("short_factor", "long_factor"):
        factors = table.get(key)
        if factors is None:
            continue
        if not isinstance(factors, list) or len(factors) != head // 2:
            raise refuse(
                f"The model's config says {key}; it must be a list of {head // 2} numbers, one for each pair "
                "of a head's."
            )
        for one in factors:
            number({key: one}, key, *_RANGES["factor"], 1.0)
